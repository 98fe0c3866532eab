//! What the environment and the file system say, so that tests can say it instead.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

pub(super) struct Environment<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) home: Option<PathBuf>,
    /// The number of the user, where users have such.
    pub(super) user: Option<u32>,
    /// What is in a directory, in order; nothing where it can't be read.
    pub(super) entries: &'a dyn Fn(&Path) -> Vec<PathBuf>,
    /// Whether something stands at a path, usable or not.
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

    /// Those of this process.
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

    /// Whether a variable has a value, which to docker means "yes" whatever it is.
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
                "the environment variable {name} is not UTF-8: mend it or unset it"
            ))
        })
    }

    /// The directory for what runs for the user. Where no session has set it, it is where systemd makes it.
    pub(super) fn runtime_dir(&self) -> Option<PathBuf> {
        let usual = || self.user.map(|user| PathBuf::from(format!("/run/user/{user}")));
        self.path("XDG_RUNTIME_DIR").or_else(usual)
    }

    /// docker's configuration directory, unless an option names another.
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
        // What can't be looked at is not passed over.
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}
