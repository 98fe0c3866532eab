//! The environment variables and the file system, which tests can replace.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

pub(super) struct Environment<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) home: Option<PathBuf>,
    /// The numeric user id; `None` except on Linux.
    pub(super) user: Option<u32>,
    /// Returns the entries of a directory in sorted order; empty if it can't be read.
    pub(super) entries: &'a dyn Fn(&Path) -> Vec<PathBuf>,
    /// Whether a path exists, usable or not.
    pub(super) exists: &'a dyn Fn(&Path) -> bool,
}

impl Environment<'_> {
    pub(super) const EMPTY: Environment<'static> = Environment {
        variable: &|_| None,
        home: None,
        user: None,
        entries: &|_| Vec::new(),
        exists: &exists,
    };

    /// The environment of this process.
    pub(super) fn from_process() -> Self {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Environment {
            variable: &|name| std::env::var_os(name),
            home,
            #[cfg(target_os = "linux")]
            user: Some(rustix::process::getuid().as_raw()),
            #[cfg(not(target_os = "linux"))]
            user: None,
            entries: &entries,
            exists: &exists,
        }
    }

    fn value(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Whether a variable is set to a non-empty value. docker treats any such value as "yes".
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        let value = self.value(name).map(OsString::into_string).transpose();
        value.map_err(|_| {
            Error::invalid(format!(
                "the environment variable {name} is not UTF-8: correct it or unset it"
            ))
        })
    }

    /// The user's runtime directory: `XDG_RUNTIME_DIR`, or the path at which systemd creates it.
    pub(super) fn runtime_dir(&self) -> Option<PathBuf> {
        let usual = || self.user.map(|user| PathBuf::from(format!("/run/user/{user}")));
        self.path("XDG_RUNTIME_DIR").or_else(usual)
    }

    /// docker's default configuration directory, used unless an option names another.
    pub(super) fn config_dir(&self) -> Option<PathBuf> {
        self.path("DOCKER_CONFIG")
            .or_else(|| self.home.as_ref().map(|home| home.join(".docker")))
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn exists(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        // A path that can't be checked counts as existing.
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}
