//! Buffered output to standard output and standard error.

use crate::sys::{self, Errno, File};
use crate::text::Digits;

/// The number of bytes that a ready pipe accepts without blocking (`PIPE_BUF`).
const SIZE: usize = 4096;

/// How long the reader may pause, in seconds. The engine can keep the other end open after its client is gone.
const PATIENCE: i64 = 120;

/// A buffered writer, which is flushed when it is dropped.
pub struct Output {
    file: &'static File,
    buffer: [u8; SIZE],
    length: usize,
}

impl Output {
    pub fn stdout() -> Self {
        Self::to(&sys::STDOUT)
    }

    pub fn stderr() -> Self {
        Self::to(&sys::STDERR)
    }

    fn to(file: &'static File) -> Self {
        Self {
            file,
            buffer: [0; SIZE],
            length: 0,
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            self.byte(byte);
        }
        self
    }

    /// Writes bytes within one line: line breaks among them become spaces.
    pub fn in_line(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            self.byte(if byte == b'\n' { b' ' } else { byte });
        }
        self
    }

    pub fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        self.bytes(Digits::of(number.into()).as_bytes())
    }

    pub fn end_line(&mut self) {
        self.byte(b'\n');
    }

    fn byte(&mut self, byte: u8) {
        if self.length == SIZE {
            self.flush();
        }
        self.buffer[self.length] = byte;
        self.length += 1;
    }

    /// Writes the buffer. Exits the program if that fails or takes longer than [`PATIENCE`].
    pub fn flush(&mut self) {
        let mut written = 0;
        while written < self.length {
            if !self.file.is_writable_within(PATIENCE) {
                sys::exit(1);
            }
            match self.file.write(&self.buffer[written..self.length]) {
                Ok(more) => written += more,
                Err(Errno::EAGAIN) => {}
                Err(_) => sys::exit(1),
            }
        }
        self.length = 0;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.flush();
    }
}
