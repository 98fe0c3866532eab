//! Files of docker's configuration, which others wrote.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The largest of them, a config.json with many logins or a bundle of every authority, is well below.
const MAX_FILE_SIZE: u64 = 4 * 1024 * 1024;

/// The whole of a file, or of a pipe that a shell gives as one.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_SIZE} bytes")));
    }
    Ok(bytes)
}

/// The whole of a file that nobody can keep waiting.
pub(super) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read(path)
}
