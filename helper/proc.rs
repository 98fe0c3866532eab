//! Information about processes from `/proc`.

use crate::sys::{self, Errno, File};
use crate::text::{self, Digits, Path};

/// Opens `/proc/PID/NAME`.
pub fn open(pid: u32, name: &[u8]) -> Result<File, Errno> {
    let pid = Digits::of(pid.into());
    let path = Path::<64>::of(&[b"/proc/", pid.as_bytes(), b"/", name]).ok_or(Errno::EINVAL)?;
    File::open(path.as_c_str())
}

/// Lists all processes, one at a time.
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
        // Offsets in a `struct linux_dirent64`.
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

/// The contents of `/proc/PID/stat`.
pub struct Stat {
    text: [u8; 2048],
    length: usize,
}

impl Stat {
    /// Returns `None` if the process no longer exists.
    pub fn of(pid: u32) -> Option<Self> {
        let mut text = [0; 2048];
        let length = open(pid, b"stat").ok()?.read_full(&mut text).ok()?;
        (length > 0).then_some(Self { text, length })
    }

    /// The text without its final line break. The process's name can contain any bytes, including line breaks.
    pub fn as_bytes(&self) -> &[u8] {
        let text = &self.text[..self.length];
        text.strip_suffix(b"\n").unwrap_or(text)
    }

    /// The start time of the process, in clock ticks since boot.
    pub fn start_time(&self) -> Option<u64> {
        let text = self.as_bytes();
        // The name may contain parentheses and spaces; the text after it does not.
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        // The state, directly after the name, is field 3; the start time is field 22.
        text::number(text[name_end + 1..].split(|&byte| byte == b' ').nth(22 - 2)?)
    }
}

/// The user and the group of a process.
pub struct Owner {
    /// The real user id, which decides whether a signal is allowed.
    pub uid: u32,
    gid: u32,
}

impl Owner {
    /// Returns `None` if the process no longer exists.
    pub fn of(pid: u32) -> Option<Self> {
        // The supplementary groups can make the file much longer than this, but follow these fields. The name precedes
        // them, with its line breaks escaped.
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

/// Whether the helper can act as other users, which needs capabilities that a container's root can lack.
pub fn can_act_as_others() -> bool {
    const NOBODY: Owner = Owner { uid: 65534, gid: 65534 };
    sys::effective_uid() == 0 && with_file_access_of(&NOBODY, || ()).is_some()
}

/// Calls `act` with the file access of a process's owner, the only user who may read `/proc/PID/environ`. Returns
/// `None` if that access can't be set.
pub fn with_file_access_of<T>(owner: &Owner, act: impl FnOnce() -> T) -> Option<T> {
    let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
    let is_owner = sys::set_file_gid(owner.gid) && sys::set_file_uid(owner.uid);
    let done = is_owner.then(act);
    sys::set_file_uid(uid);
    sys::set_file_gid(gid);
    done
}

/// Calls `act` as another user. Returns `None` if the helper can't switch to that user.
pub fn as_user<T>(uid: u32, act: impl FnOnce() -> T) -> Option<T> {
    let own = sys::effective_uid();
    sys::set_effective_uid(uid).ok()?;
    let done = act();
    // The saved user id is unchanged, so this can't be refused.
    let _ = sys::set_effective_uid(own);
    Some(done)
}

/// The helper's own cgroups, which are the container's.
pub struct Cgroup {
    own: [u8; Self::LONGEST],
    length: usize,
}

impl Cgroup {
    /// Room for one line for each of a dozen hierarchies.
    const LONGEST: usize = 4096;

    pub fn own() -> Self {
        let mut own = [0; Self::LONGEST];
        let length = Self::read(sys::own_pid(), &mut own).unwrap_or(0);
        Self { own, length }
    }

    fn read(pid: u32, text: &mut [u8; Self::LONGEST]) -> Option<usize> {
        open(pid, b"cgroup").ok()?.read_full(text).ok()
    }

    /// Whether a process is in the helper's cgroups or below them. Returns true if its cgroups can't be read.
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
