//! The environment of a command. It does not include the server's own.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use dexec::{Error, ErrorKind, read_env_file_from};

use crate::policy::{Policy, refused};

/// A longer name is not repeated in an error: a line without `=` may be part of a secret with several lines.
const MAX_NAME_LEN: usize = 40;

/// The directory that contains all env files.
#[derive(Debug)]
pub(crate) struct EnvFileRoot {
    /// Absolute, and without symbolic links.
    real: PathBuf,
    /// The same path as written by the operator, or by the shell that started the server.
    given: PathBuf,
}

impl EnvFileRoot {
    /// Returns the given directory, or the working directory unless that is `/`.
    pub(crate) fn find(given: Option<&Path>) -> Result<Option<Self>, Error> {
        let failed = |error| {
            let shown = given.unwrap_or(Path::new(".")).display();
            let message = format!("can't use {shown} as the directory of env files: {error}");
            Error::new(ErrorKind::InvalidRequest, message)
        };
        let working = working_directory().map_err(failed)?;
        let path = given.unwrap_or(&working);
        let real = path.canonicalize().map_err(failed)?;
        // Many clients start servers in `/`, and nobody intends to allow every file of the machine.
        if given.is_none() && real.parent().is_none() {
            return Ok(None);
        }
        let given = clean(&working.join(path));
        Ok(Some(Self { real, given }))
    }

    /// Returns the rest of a path below the directory, by its text only, so that nothing elsewhere is accessed.
    fn rest_of(&self, path: &Path) -> Option<PathBuf> {
        let rest = path
            .strip_prefix(&self.real)
            .or_else(|_| path.strip_prefix(&self.given));
        Some(Path::new(".").join(rest.ok()?))
    }
}

/// The working directory by the shell's name for it, which may contain symbolic links.
fn working_directory() -> io::Result<PathBuf> {
    let real = std::env::current_dir()?;
    let shell_s = std::env::var_os("PWD").map(PathBuf::from);
    let is_same = |path: &PathBuf| path.is_absolute() && path.canonicalize().is_ok_and(|path| path == real);
    Ok(shell_s.filter(is_same).unwrap_or(real))
}

/// Removes `.` and `..` from a path, by its text only: a name before `..` need not exist.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// Returns the entries of the env file, followed by those of the call.
pub(crate) fn environment(
    entries: &[String],
    env_file: Option<&str>,
    path: Option<&str>,
    policy: &Policy,
) -> Result<Vec<String>, Error> {
    let mut environment = Vec::new();
    if let Some(env_file) = env_file {
        environment = read(path.unwrap_or_default(), env_file, policy)?;
    }
    for entry in entries {
        if entry.contains('=') {
            environment.push(entry.clone());
        } else {
            // An entry without a value makes the engine remove the variable, as with docker.
            let value = passed_on(entry, "`env`", policy)?;
            environment.push(value.map_or_else(|| entry.clone(), |value| format!("{entry}={value}")));
        }
    }
    Ok(environment)
}

fn read(base: &str, given: &str, policy: &Policy) -> Result<Vec<String>, Error> {
    let Some(root) = &policy.env_file_root else {
        return Err(refused(
            "the server reads no env files: its working directory is /, and --env-file-root is not set",
        ));
    };
    let shown = given.escape_debug();
    // The same error for files that do not exist and for files that must not be visible.
    let outside = || {
        refused(format!(
            "`envFile` `{shown}` is not in {} (--env-file-root), or does not exist",
            root.real.display()
        ))
    };
    let working = working_directory().map_err(|_| outside())?;
    let path = clean(&working.join(base).join(given));
    let rest = root.rest_of(&path).ok_or_else(outside)?;
    let file = match open_below(&root.real, &rest) {
        Ok(file) => file,
        Err(NotOpen::Outside) => return Err(outside()),
        Err(NotOpen::NoFile) => {
            let message = format!("`envFile` `{shown}` is not a file");
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        Err(NotOpen::Failed(error)) => {
            let message = format!("`envFile` `{shown}` can't be read: {error}");
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
    };
    let failure = RefCell::new(None);
    let entries = read_env_file_from(file, &path, |name| {
        passed_on(name, &format!("`envFile` `{shown}`"), policy).unwrap_or_else(|error| {
            failure.borrow_mut().get_or_insert(error);
            None
        })
    })?;
    match failure.into_inner() {
        Some(error) => Err(error),
        None => Ok(entries),
    }
}

/// Why a file was not opened.
enum NotOpen {
    /// It is not below the directory, or does not exist.
    Outside,
    /// It is a directory, a device, a pipe or a socket.
    NoFile,
    Failed(io::Error),
}

/// Opens a file below a directory. Nothing outside is accessed, and only regular files are opened: opening may trigger
/// an action of a device, or unblock a pipe's writer.
#[cfg(target_os = "linux")]
fn open_below(root: &Path, rest: &Path) -> Result<File, NotOpen> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
    use rustix::io::Errno;

    /// How often a path is resolved again if it changes in the meantime.
    const TRIES: usize = 100;

    let found = (|| {
        let root = openat2(
            CWD,
            root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::empty(),
        )?;
        let mut tries = 0..TRIES;
        loop {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            match openat2(&root, rest, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if tries.next().is_some() => {}
                found => return found,
            }
        }
    })();
    let found = found.map_err(|error| match error {
        Errno::NOSYS => NotOpen::Failed(io::Error::other("env files require Linux 5.6 or newer")),
        Errno::MFILE | Errno::NFILE => NotOpen::Failed(error.into()),
        _ => NotOpen::Outside,
    })?;
    let is_file = fstat(&found).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
    if !is_file {
        return Err(NotOpen::NoFile);
    }
    let same = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = open(same, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    Ok(file.map_err(|error| NotOpen::Failed(error.into()))?.into())
}

#[cfg(not(target_os = "linux"))]
fn open_below(root: &Path, rest: &Path) -> Result<File, NotOpen> {
    let path = root.join(rest).canonicalize().map_err(|_| NotOpen::Outside)?;
    if !path.starts_with(root) {
        return Err(NotOpen::Outside);
    }
    if !path.is_file() {
        return Err(NotOpen::NoFile);
    }
    File::open(path).map_err(NotOpen::Failed)
}

/// Returns the value of a variable in the server's environment, if the operator allows passing it on.
fn passed_on(name: &str, from: &str, policy: &Policy) -> Result<Option<String>, Error> {
    if !policy.pass_env.iter().any(|passed| passed == name) {
        let is_name =
            name.len() <= MAX_NAME_LEN && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let shown = if is_name {
            format!("`{name}`")
        } else {
            "a variable".to_owned()
        };
        return Err(refused(format!(
            "{from} has {shown} without a value, and the server passes on only the variables that --pass-env names: \
             write NAME=value"
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
