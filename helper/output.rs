//! Lines to standard output and standard error.

use crate::sys::{self, Errno, File};
use crate::text::Digits;

/// As much as a pipe that is ready takes without waiting (`PIPE_BUF`).
const SIZE: usize = 4096;

/// How long a reader may not read. The engine can hold the other end open although its client is gone.
const PATIENCE: i64 = 120;

/// What was written and not flushed yet is written when it is dropped.
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

    /// The bytes within one line: a line break among them becomes a space.
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

    /// Ends the program where nobody takes what is written.
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
