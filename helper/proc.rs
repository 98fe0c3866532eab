//! What `/proc` tells about processes.

use crate::sys::{self, Errno, File};
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

/// Whose a process is.
pub struct Owner {
    /// The real one, by which a signal is allowed.
    pub uid: u32,
    gid: u32,
}

impl Owner {
    /// None where there is no such process any more.
    pub fn of(pid: u32) -> Option<Self> {
        // The groups can make it much longer, but come later. The name comes before, with its line breaks escaped.
        let mut status = [0; 2048];
        let length = open(pid, b"status").ok()?.read_full(&mut status).ok()?;
        let field = |name: &[u8]| {
            let at = status[..length].windows(name.len()).position(|window| window == name)? + name.len();
            text::small_number(status[at..length].split(|&byte| byte == b'\t').next()?)
        };
        Some(Self {
            uid: field(b"\nUid:\t")?,
            gid: field(b"\nGid:\t")?,
        })
    }
}

/// Whether we can act as other users, which takes capabilities that a container's root can lack.
pub fn can_act_as_others() -> bool {
    const NOBODY: Owner = Owner { uid: 65534, gid: 65534 };
    sys::effective_uid() == 0 && with_file_access_of(&NOBODY, || ()).is_some()
}

/// Does something with the file access of a process's owner: `/proc/PID/environ` is for that one alone. None where we
/// can't have it.
pub fn with_file_access_of<T>(owner: &Owner, act: impl FnOnce() -> T) -> Option<T> {
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    let is_owner = sys::set_file_gid(owner.gid) && sys::set_file_uid(owner.uid);
    let done = is_owner.then(act);
    sys::set_file_uid(uid);
    sys::set_file_gid(gid);
    done
}

/// Does something as another user. None where we can't become that one.
pub fn as_user<T>(uid: u32, act: impl FnOnce() -> T) -> Option<T> {
    let own = sys::effective_uid();
    sys::set_effective_uid(uid).ok()?;
    let done = act();
    // The saved user is still ours, so this can't be refused.
    let _ = sys::set_effective_uid(own);
    Some(done)
}

/// In which cgroups we are, and so the container.
pub struct Cgroup {
    own: [u8; Self::LONGEST],
    length: usize,
}

impl Cgroup {
    /// A line for each of a dozen hierarchies.
    const LONGEST: usize = 4096;

    pub fn own() -> Self {
        let mut own = [0; Self::LONGEST];
        let length = Self::read(sys::own_pid(), &mut own).unwrap_or(0);
        Self { own, length }
    }

    fn read(pid: u32, text: &mut [u8; Self::LONGEST]) -> Option<usize> {
        open(pid, b"cgroup").ok()?.read_full(text).ok()
    }

    /// Whether a process is in our cgroups, or below them. Where that can't be told it counts as being there.
    pub fn holds(&self, pid: u32) -> bool {
        let mut text = [0; Self::LONGEST];
        let Some(length) = Self::read(pid, &mut text) else {
            return true;
        };
        let lines = |text| <[u8]>::split(text, |&byte| byte == b'\n');
        lines(&self.own[..self.length])
            .zip(lines(&text[..length]))
            .all(|(own, other)| match other.strip_prefix(own) {
                Some(below) if own.last() == Some(&b'/') => !below.starts_with(b".."),
                Some(below) => below.is_empty() || own.is_empty() || below.first() == Some(&b'/'),
                None => false,
            })
    }
}
