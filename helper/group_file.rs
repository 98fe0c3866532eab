//! Reads `/etc/group`, whose lines can have any length.

use crate::sys::File;

/// Returns the id of a group.
pub fn find(name: &[u8]) -> Option<u32> {
    let file = File::open(c"/etc/group").ok()?;
    let mut entry = Entry::START;
    let mut chunk = [0; 4096];
    loop {
        let length = file.read(&mut chunk).ok()?;
        if length == 0 {
            return entry.gid;
        }
        for &byte in &chunk[..length] {
            if byte == b'\n' {
                if entry.gid.is_some() {
                    return entry.gid;
                }
                entry = Entry::START;
            } else {
                entry.take(byte, name);
            }
        }
    }
}

/// The part of a line that was read so far: `name:password:gid:members`.
struct Entry {
    field: usize,
    /// How many bytes of the name match; `None` if the line is not for the group.
    matched: Option<usize>,
    gid: Option<u32>,
}

impl Entry {
    const START: Self = Self {
        field: 0,
        matched: Some(0),
        gid: None,
    };

    fn take(&mut self, byte: u8, name: &[u8]) {
        let Some(matched) = self.matched else { return };
        match (self.field, byte) {
            (0, b':') if matched < name.len() => self.give_up(),
            (_, b':') => self.field += 1,
            (0, _) if name.get(matched) == Some(&byte) => self.matched = Some(matched + 1),
            (0, _) => self.give_up(),
            (2, b'0'..=b'9') => {
                let gid = self.gid.unwrap_or(0).checked_mul(10);
                self.gid = gid.and_then(|gid| gid.checked_add((byte - b'0').into()));
                if self.gid.is_none() {
                    self.give_up();
                }
            }
            (2, _) => self.give_up(),
            _ => {}
        }
    }

    fn give_up(&mut self) {
        self.matched = None;
        self.gid = None;
    }
}
