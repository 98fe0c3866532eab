//! A command's environment, of which the server's own is no part.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use dexec::{Error, ErrorKind, read_env_file};

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
    let root = &policy.env_file_root;
    let outside = || {
        refused(format!(
            "`envFile` `{given}` is not below {} (--env-file-root), or is not there",
            root.display()
        ))
    };
    // The same answer for what is not there and what is not to be seen.
    let file = file.canonicalize().map_err(|_| outside())?;
    if !file.starts_with(root) {
        return Err(outside());
    }
    if !fs::metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
        let message = format!("`envFile` `{given}` is not a file");
        return Err(Error::new(ErrorKind::InvalidRequest, message));
    }
    let failure = RefCell::new(None);
    let entries = read_env_file(&file, |name| {
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
