//! Removal of the file that this program was started from, so that nothing of it stays in the container.

use core::ffi::CStr;

use crate::output::Output;
use crate::sys::{self, Errno};

/// The longest path that the kernel accepts, including the terminating zero.
const LONGEST_PATH: usize = 4096;

pub fn unlink() -> Result<(), Errno> {
    let mut path = [0; LONGEST_PATH];
    // The last byte stays 0, because the kernel does not terminate the path.
    sys::read_link(c"/proc/self/exe", &mut path[..LONGEST_PATH - 1])?;
    sys::unlink(CStr::from_bytes_until_nul(&path).unwrap_or_default())
}

pub fn remove() -> u8 {
    match unlink() {
        Ok(()) => 0,
        Err(errno) => {
            let mut complaint = Output::stderr();
            complaint
                .bytes(b"dexec: the helper can't remove its file: errno ")
                .number(errno.0)
                .end_line();
            1
        }
    }
}
