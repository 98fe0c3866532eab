//! The environment that processes were started with, of any length.

use crate::proc::{self, Owner};
use crate::sys::{Errno, File};

/// The kernel returns the environment one page at a time.
const CHUNK: usize = 4096;

/// Searches for one entry in pieces that may be split anywhere.
struct Search<'a> {
    wanted: &'a [u8],
    /// How many bytes of `wanted` the current entry begins with; `None` if it differs.
    matched: Option<usize>,
}

impl<'a> Search<'a> {
    fn of(wanted: &'a [u8]) -> Self {
        Self {
            wanted,
            matched: Some(0),
        }
    }

    /// Whether the current entry, as far as it was read, equals `wanted`.
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

/// Opens a process's environment, with its owner's file access if the helper's own is denied.
fn open(pid: u32, owner: &Owner) -> Result<File, Errno> {
    match proc::open(pid, b"environ") {
        Err(errno @ (Errno::EACCES | Errno::EPERM)) => {
            proc::with_file_access_of(owner, || proc::open(pid, b"environ")).unwrap_or(Err(errno))
        }
        opened => opened,
    }
}

/// Whether the environment contains exactly this entry.
fn has_entry(environ: &File, entry: &[u8]) -> Result<bool, Errno> {
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

/// What a process's environment says about the command that the process belongs to.
#[derive(Clone, Copy)]
pub enum Sign {
    /// It has the command's marker.
    Marked,
    /// It has the marker of another command.
    Foreign,
    /// It has no marker. During an execve, a process has none for a moment.
    None,
    /// No user that the helper can act as may read it.
    Unreadable,
}

impl Sign {
    pub fn of(pid: u32, owner: &Owner, entry: &[u8], variable: &[u8]) -> Self {
        match Self::read(pid, owner, entry, variable) {
            Ok(sign) => sign,
            Err(Errno::EACCES | Errno::EPERM) => Self::Unreadable,
            Err(_) => Self::None,
        }
    }

    fn read(pid: u32, owner: &Owner, entry: &[u8], variable: &[u8]) -> Result<Self, Errno> {
        let environ = open(pid, owner)?;
        let (mut own, mut any) = (Search::of(entry), Search::of(variable));
        let mut is_foreign = false;
        let mut chunk = [0; CHUNK];
        loop {
            let length = environ.read(&mut chunk)?;
            for &byte in &chunk[..length] {
                if byte == 0 && own.is_complete() {
                    return Ok(Self::Marked);
                }
                own.take(byte);
                any.take(byte);
                is_foreign |= any.is_complete();
            }
            if length == 0 {
                return Ok(match (own.is_complete(), is_foreign) {
                    (true, _) => Self::Marked,
                    (false, true) => Self::Foreign,
                    (false, false) => Self::None,
                });
            }
        }
    }

    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Marked => b"marked",
            Self::Foreign => b"foreign",
            Self::None => b"none",
            Self::Unreadable => b"unreadable",
        }
    }
}

/// Whether a process's environment contains every entry of the environment of `first`, and the latter is not empty: all
/// processes that the container's first process starts inherit its environment. Returns false if an entry is longer
/// than `CHUNK`.
pub fn has_all_of(pid: u32, first: u32) -> Result<bool, Errno> {
    let owner = |pid| Owner::of(pid).ok_or(Errno::ESRCH);
    let (first_owner, owner) = (owner(first)?, owner(pid)?);
    let has_entry = |entry: &[u8]| has_entry(&open(pid, &owner)?, entry);
    let first = open(first, &first_owner)?;
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
            if length > 0 && !has_entry(&entry[..length])? {
                return Ok(false);
            }
            has_some |= length > 0;
            length = 0;
        }
        if read == 0 {
            return Ok(has_some && (length == 0 || has_entry(&entry[..length])?));
        }
    }
}
