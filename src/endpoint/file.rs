//! Reads the files of docker's configuration, which dexec does not control.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Far above the size of the largest expected file: a config.json with many logins, or a bundle of all certificate
/// authorities.
const MAX_FILE_SIZE: u64 = 4 * 1024 * 1024;

/// Reads a whole file, or a pipe from a shell's process substitution.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_SIZE} bytes")));
    }
    Ok(bytes)
}

/// Reads a whole regular file. Others are refused because reading a pipe, for example, may block.
pub(super) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read(path)
}
