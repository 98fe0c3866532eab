#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::policy::Rules;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::sync::atomic::{AtomicBool, Ordering};

fn policy(root: Option<PathBuf>) -> Policy {
    Policy {
        containers: Rules::new("container", Vec::new(), Vec::new()),
        commands: Rules::new("command", Vec::new(), Vec::new()),
        users: Vec::new(),
        allow_privileged: false,
        allow_group_add: false,
        env_file_root: root,
        pass_env: Vec::new(),
    }
}

/// A path is exchanged between a file below the root and a link out of it, while it is read.
#[test]
fn a_path_that_changes_leads_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(directory.path().join("outside"), "A=outside\n").unwrap();
    std::fs::write(root.join("x.env"), "A=inside\n").unwrap();
    std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();
    let policy = policy(Some(root.clone()));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                renameat_with(CWD, root.join("x.env"), CWD, root.join("link"), RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut outcomes = [0, 0];
        for _ in 0..20_000 {
            match environment(&[], Some("x.env"), root.to_str(), &policy) {
                Ok(entries) => {
                    assert_eq!(entries, ["A=inside"]);
                    outcomes[0] += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::RefusedByPolicy);
                    outcomes[1] += 1;
                }
            }
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    });
}

#[test]
fn a_pipe_is_not_waited_for_and_no_root_means_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.join("pipe")).status();
    assert!(made.unwrap().success());
    let error = environment(&[], Some("pipe"), root.to_str(), &policy(Some(root.clone()))).unwrap_err();
    assert!(error.to_string().contains("is not a file"), "{error}");
    let error = environment(&[], Some("pipe"), root.to_str(), &policy(None)).unwrap_err();
    assert!(error.to_string().contains("--env-file-root is not set"), "{error}");
}
