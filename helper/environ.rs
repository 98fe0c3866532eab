//! What processes were started with as their environment, of whatever length.

use crate::proc;
use crate::sys::{Errno, File};

/// The kernel reads it page by page.
const CHUNK: usize = 4096;

/// Looks for one entry, in pieces that are cut anywhere.
struct Search<'a> {
    wanted: &'a [u8],
    /// How much of `wanted` the entry at hand begins with; None where it is another.
    matched: Option<usize>,
}

impl<'a> Search<'a> {
    fn of(wanted: &'a [u8]) -> Self {
        Self {
            wanted,
            matched: Some(0),
        }
    }

    /// Whether the entry at hand begins with `wanted`, and is no longer than it is so far.
    fn is_complete(&self) -> bool {
        self.matched == Some(self.wanted.len())
    }

    fn take(&mut self, byte: u8) {
        self.matched = match self.matched {
            _ if byte == 0 => Some(0),
            Some(length) if self.wanted.get(length) == Some(&byte) => Some(length + 1),
            _ => None,
        };
    }
}

/// Whether the environment has exactly this entry.
pub fn has_entry(pid: u32, entry: &[u8]) -> Result<bool, Errno> {
    let environ = proc::open(pid, b"environ")?;
    let mut search = Search::of(entry);
    let mut chunk = [0; CHUNK];
    loop {
        let length = environ.read(&mut chunk)?;
        if length == 0 {
            return Ok(search.is_complete());
        }
        for &byte in &chunk[..length] {
            if byte == 0 && search.is_complete() {
                return Ok(true);
            }
            search.take(byte);
        }
    }
}

/// Whether the environment has an entry that begins so.
fn has_entry_with(environ: &File, beginning: &[u8]) -> Result<bool, Errno> {
    let mut search = Search::of(beginning);
    let mut chunk = [0; CHUNK];
    loop {
        let length = environ.read(&mut chunk)?;
        if length == 0 {
            return Ok(false);
        }
        for &byte in &chunk[..length] {
            search.take(byte);
            if search.is_complete() {
                return Ok(true);
            }
        }
    }
}

/// Whether the environment has every entry of the first process's, and that has some. An entry that is longer than
/// `CHUNK` can't be compared.
fn has_all_of_first(pid: u32) -> Result<bool, Errno> {
    let first = proc::open(1, b"environ")?;
    let mut chunk = [0; CHUNK];
    let mut entry = [0; CHUNK];
    let mut length = 0;
    let mut has_some = false;
    loop {
        let read = first.read(&mut chunk)?;
        for &byte in &chunk[..read] {
            if byte != 0 {
                let Some(place) = entry.get_mut(length) else {
                    return Ok(false);
                };
                *place = byte;
                length += 1;
                continue;
            }
            if length > 0 && !has_entry(pid, &entry[..length])? {
                return Ok(false);
            }
            has_some |= length > 0;
            length = 0;
        }
        if read == 0 {
            return Ok(has_some && (length == 0 || has_entry(pid, &entry[..length])?));
        }
    }
}

/// What an environment tells about where its process comes from.
#[derive(Clone, Copy)]
pub enum Origin {
    /// We are not allowed to read it.
    Unreadable,
    /// It has the variable.
    Other,
    /// It has what that of the container's first process has, so one of the container's own began it.
    Own,
    Unknown,
}

impl Origin {
    pub fn of(pid: u32, variable: &[u8]) -> Self {
        Self::read(pid, variable).unwrap_or_else(|errno| match errno {
            Errno::EACCES | Errno::EPERM => Self::Unreadable,
            _ => Self::Unknown,
        })
    }

    fn read(pid: u32, variable: &[u8]) -> Result<Self, Errno> {
        if has_entry_with(&proc::open(pid, b"environ")?, variable)? {
            return Ok(Self::Other);
        }
        let is_own = has_all_of_first(pid).unwrap_or(false);
        Ok(if is_own { Self::Own } else { Self::Unknown })
    }

    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Unreadable => b"unreadable",
            Self::Other => b"other",
            Self::Own => b"own",
            Self::Unknown => b"unknown",
        }
    }
}
