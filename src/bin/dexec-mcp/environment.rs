//! A command's environment, of which the server's own is no part.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use dexec::{Error, ErrorKind, read_env_file_from};

use crate::policy::{Policy, refused};

/// No longer name is repeated in an error: a line without `=` may be the rest of a secret of several lines.
const LONGEST_NAME: usize = 40;

/// The entries of the env file, and after them those of the call.
pub(crate) fn environment(
    entries: &[String],
    env_file: Option<&str>,
    path: Option<&str>,
    policy: &Policy,
) -> Result<Vec<String>, Error> {
    let base = base(path)?;
    let mut environment = Vec::new();
    if let Some(env_file) = env_file {
        environment = read(&base.join(env_file), env_file, policy)?;
    }
    for entry in entries {
        if entry.contains('=') {
            environment.push(entry.clone());
        } else {
            // The engine takes a variable away that is passed on and not set, as docker does.
            let value = passed_on(entry, "`env`", policy)?;
            environment.push(value.map_or_else(|| entry.clone(), |value| format!("{entry}={value}")));
        }
    }
    Ok(environment)
}

fn base(path: Option<&str>) -> Result<PathBuf, Error> {
    let base = PathBuf::from(path.unwrap_or("."));
    if base.is_dir() {
        Ok(base)
    } else {
        Err(Error::new(
            ErrorKind::InvalidRequest,
            format!(
                "`path` is `{}`, which is no directory on the server's host",
                base.display().to_string().escape_debug()
            ),
        ))
    }
}

fn read(file: &Path, given: &str, policy: &Policy) -> Result<Vec<String>, Error> {
    let given = given.escape_debug();
    let Some(root) = &policy.env_file_root else {
        return Err(refused(
            "the server reads no env files: its working directory is /, and --env-file-root is not set",
        ));
    };
    let outside = || {
        refused(format!(
            "`envFile` `{given}` is not below {} (--env-file-root), or is not there",
            root.display()
        ))
    };
    // The same answer for what is not there and what is not to be seen. Where the file is is asked of the open file: a
    // path can lead elsewhere from one moment to the next.
    let open = open(file).map_err(|_| outside())?;
    let path = path_of(&open, file).map_err(|_| outside())?;
    if !path.starts_with(root) {
        return Err(outside());
    }
    if !open.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let message = format!("`envFile` `{given}` is not a file");
        return Err(Error::new(ErrorKind::InvalidRequest, message));
    }
    let failure = RefCell::new(None);
    let entries = read_env_file_from(open, &path, |name| {
        passed_on(name, &format!("`envFile` `{given}`"), policy).unwrap_or_else(|error| {
            failure.borrow_mut().get_or_insert(error);
            None
        })
    })?;
    match failure.into_inner() {
        Some(error) => Err(error),
        None => Ok(entries),
    }
}

/// Opens what may be a pipe, and does not wait for its writer.
#[cfg(unix)]
fn open(file: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(file)
}

#[cfg(not(unix))]
fn open(file: &Path) -> io::Result<File> {
    File::open(file)
}

#[cfg(target_os = "linux")]
fn path_of(open: &File, _: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd as _;

    std::fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn path_of(_: &File, path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// The value that a variable has here, where the operator passes it on.
fn passed_on(name: &str, from: &str, policy: &Policy) -> Result<Option<String>, Error> {
    if !policy.pass_env.iter().any(|passed| passed == name) {
        let is_name =
            name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let shown = if is_name {
            format!("`{name}`")
        } else {
            "a variable".to_owned()
        };
        return Err(refused(format!(
            "{from} has {shown} without a value, and the server passes on only what --pass-env names: write NAME=value"
        )));
    }
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::new(
            ErrorKind::InvalidRequest,
            format!("the server's variable `{name}` is not UTF-8, and the engine would change its bytes"),
        )),
    }
}

#[cfg(test)]
mod tests;
