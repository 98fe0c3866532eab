//! What `/proc` tells about processes.

use crate::sys::{Errno, File};
use crate::text::{self, Digits, Path};

/// Opens `/proc/PID/NAME`.
pub fn open(pid: u32, name: &[u8]) -> Result<File, Errno> {
    let pid = Digits::of(pid.into());
    let path = Path::<64>::of(&[b"/proc/", pid.as_bytes(), b"/", name]).ok_or(Errno::EINVAL)?;
    File::open(path.as_c_str())
}

/// The processes that there are, one after the other.
pub struct Processes {
    directory: File,
    entries: [u8; 4096],
    at: usize,
    end: usize,
}

impl Processes {
    pub fn all() -> Result<Self, Errno> {
        Ok(Self {
            directory: File::open(c"/proc")?,
            entries: [0; 4096],
            at: 0,
            end: 0,
        })
    }

    pub fn next(&mut self) -> Result<Option<u32>, Errno> {
        // An entry is a `struct linux_dirent64`.
        const LENGTH: usize = 16;
        const NAME: usize = 19;
        loop {
            if self.at == self.end {
                self.at = 0;
                self.end = self.directory.entries(&mut self.entries)?;
                if self.end == 0 {
                    return Ok(None);
                }
            }
            let entry = &self.entries[self.at..self.end];
            self.at += usize::from(u16::from_ne_bytes([entry[LENGTH], entry[LENGTH + 1]]));
            let name = entry[NAME..].split(|&byte| byte == 0).next().unwrap_or_default();
            if let Some(pid) = text::small_number(name) {
                return Ok(Some(pid));
            }
        }
    }
}

/// `/proc/PID/stat`.
pub struct Stat {
    text: [u8; 2048],
    length: usize,
}

impl Stat {
    /// None where there is no such process any more.
    pub fn of(pid: u32) -> Option<Self> {
        let mut text = [0; 2048];
        let length = open(pid, b"stat").ok()?.read_full(&mut text).ok()?;
        (length > 0).then_some(Self { text, length })
    }

    /// Without the line break that ends it. The process's name, which can hold anything, may have more.
    pub fn as_bytes(&self) -> &[u8] {
        let text = &self.text[..self.length];
        text.strip_suffix(b"\n").unwrap_or(text)
    }

    /// When the process was started, in the kernel's own unit.
    pub fn start_time(&self) -> Option<u64> {
        let text = self.as_bytes();
        // The name may hold parentheses and spaces; nothing behind it does.
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        // The state behind the name is field 3, the start field 22.
        text::number(text[name_end + 1..].split(|&byte| byte == b' ').nth(22 - 2)?)
    }
}

/// The real user of a process; None where there is no such process any more.
pub fn user(pid: u32) -> Option<u32> {
    const FIELD: &[u8] = b"\nUid:\t";
    // The groups can make it much longer, but come later. The name comes before, with its line breaks escaped.
    let mut status = [0; 2048];
    let length = open(pid, b"status").ok()?.read_full(&mut status).ok()?;
    let status = &status[..length];
    let at = status.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    text::small_number(status[at..].split(|&byte| byte == b'\t').next()?)
}
