//! Lines from standard input.

use crate::sys::{self, Errno, STDIN};

/// The longest line, in bytes. The client never sends one this long.
const LONGEST: usize = 64 * 1024;

/// How long the client may be silent, in seconds: the engine can lose the end of its input.
const PATIENCE: i64 = 120;

pub struct Lines {
    buffer: &'static mut [u8; LONGEST + 1],
    /// The length of the last returned line, including its line break.
    taken: usize,
    filled: usize,
}

pub enum Line<'a> {
    Whole(&'a [u8]),
    TooLong,
    /// There is no complete line any more. The rest of the input was cut off and must not be executed.
    None,
}

impl Lines {
    pub fn of_stdin() -> Self {
        Self {
            buffer: sys::allocate(),
            taken: 0,
            filled: 0,
        }
    }

    pub fn next(&mut self) -> Line<'_> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        let mut searched = 0;
        loop {
            let fresh = &self.buffer[searched..self.filled];
            if let Some(at) = fresh.iter().position(|&byte| byte == b'\n') {
                self.taken = searched + at + 1;
                return Line::Whole(&self.buffer[..searched + at]);
            }
            searched = self.filled;
            if searched == self.buffer.len() {
                return Line::TooLong;
            }
            if !STDIN.is_readable_within(PATIENCE) {
                return Line::None;
            }
            match STDIN.read(&mut self.buffer[searched..]) {
                Ok(0) => return Line::None,
                Ok(more) => self.filled += more,
                Err(Errno::EAGAIN) => {}
                Err(_) => return Line::None,
            }
        }
    }
}
