//! Programs that run with tight system limits.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program for a user with a limit on processes, which includes threads.
pub struct Limited {
    directory: tempfile::TempDir,
    user: String,
}

impl Limited {
    pub fn new(program: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let limited = Self {
            directory,
            // No other process uses this id.
            user: (1_000_000 + std::process::id()).to_string(),
        };
        std::fs::copy(program, limited.program()).expect("it can be copied");
        open_to_all(limited.directory.path());
        limited
    }

    pub fn command(&self, processes: usize) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &self.user, "--regid", &self.user, "--clear-groups"])
            .args(["prlimit", &format!("--nproc={processes}")])
            .arg(self.program())
            .current_dir("/");
        command
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("program")
    }
}

/// Gives every user full access to a file or a directory.
pub fn open_to_all(path: &Path) {
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(path, all).expect("it is ours");
}
