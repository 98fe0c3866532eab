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
        env_file_root: root.and_then(|root| EnvFileRoot::find(Some(&root)).unwrap()),
        pass_env: Vec::new(),
    }
}

/// While the path is read, it keeps changing between a file below the root and a symbolic link to a file outside.
#[test]
fn changing_path_never_leads_outside_the_root() {
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

/// A writer that waits for a reader of its pipe keeps waiting, inside and outside the root.
#[test]
fn special_files_are_not_opened() {
    use std::os::unix::fs::{OpenOptionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let root = path.join("root");
    std::fs::create_dir(&root).unwrap();
    for pipe in ["pipe", "root/pipe"] {
        let made = std::process::Command::new("mkfifo").arg(path.join(pipe)).status();
        assert!(made.unwrap().success());
    }
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    symlink("../pipe", root.join("link")).unwrap();
    symlink("/dev/tty", root.join("tty")).unwrap();
    let (policy, no_root) = (policy(Some(root.clone())), policy(None));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers = ["pipe", "root/pipe"].map(|pipe| {
            let (pipe, is_done) = (path.join(pipe), &is_done);
            // A nonblocking open succeeds if any process has the pipe open for reading, even for a moment.
            scope.spawn(move || {
                let mut found = 0;
                while !is_done.load(Ordering::Relaxed) {
                    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
                    found += usize::from(
                        std::fs::File::options()
                            .write(true)
                            .custom_flags(flags)
                            .open(&pipe)
                            .is_ok(),
                    );
                }
                found
            })
        });
        for _ in 0..5000 {
            for (file, base, words) in [
                ("pipe", root.to_str(), "is not a file"),
                ("socket", root.to_str(), "is not a file"),
                ("../pipe", root.to_str(), "or does not exist"),
                ("link", root.to_str(), "or does not exist"),
                ("tty", root.to_str(), "or does not exist"),
                ("pipe", path.to_str(), "or does not exist"),
            ] {
                let error = environment(&[], Some(file), base, &policy).unwrap_err();
                assert!(error.to_string().contains(words), "{file}: {error}");
            }
        }
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(writers.map(|writer| writer.join().unwrap()), [0, 0]);
    });
    let error = environment(&[], Some("pipe"), root.to_str(), &no_root).unwrap_err();
    assert!(error.to_string().contains("--env-file-root is not set"), "{error}");
}

/// The answer is the same whether or not a file exists outside the root.
#[test]
fn errors_reveal_nothing_outside_the_root() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let root = path.join("root");
    std::fs::create_dir_all(root.join("below")).unwrap();
    std::fs::create_dir(path.join("exists")).unwrap();
    std::fs::write(path.join("exists/file"), "A=outside\n").unwrap();
    std::fs::write(root.join("x.env"), "A=inside\n").unwrap();
    for (link, to) in [
        ("up", ".."),
        ("absolute", path.to_str().unwrap()),
        ("root-again", root.to_str().unwrap()),
    ] {
        symlink(to, root.join(link)).unwrap();
    }
    let policy = policy(Some(root.clone()));
    let tell =
        |file: &str, base: &str| environment(&[], Some(file), Some(base), &policy).map_err(|error| error.to_string());
    let pid = std::process::id();
    let ways = [
        "/HERE/../root/x.env",
        "/HERE/file/../../root/x.env",
        "below/../../HERE/../root/x.env",
        "up/HERE/../root/x.env",
        "up/HERE/file",
        "absolute/HERE",
        "../HERE/file",
    ];
    let mut seen = Vec::new();
    for way in ways {
        let [there, missing] = ["exists", "nosuch"].map(|name| {
            let file = way.replace("/HERE", &format!("/{name}"));
            let file = if way.starts_with('/') {
                format!("{}{file}", path.display())
            } else {
                file
            };
            tell(&file, root.to_str().unwrap()).map_err(|error| error.replace(name, "HERE"))
        });
        assert_eq!(there, missing, "{way}");
        seen.push(there.is_ok());
    }
    assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
    for base in ["exists", "nosuch", "exists/file"] {
        let base = path.join(base);
        let base = base.to_str().unwrap();
        assert_eq!(
            environment(&[], None, Some(base), &policy).unwrap(),
            [] as [&str; 0],
            "{base}"
        );
        assert_eq!(tell(root.join("x.env").to_str().unwrap(), base).unwrap(), ["A=inside"]);
        assert_eq!(
            tell("../root/x.env", base).is_ok(),
            !base.contains("exists/file"),
            "{base}"
        );
    }
    for way in [
        format!("/proc/{pid}/root{}/x.env", root.display()),
        format!("/proc/self/root{}/x.env", root.display()),
    ] {
        assert!(tell(&way, "/").unwrap_err().contains("or does not exist"), "{way}");
    }
}

/// Clients may use the shell's name for the root.
#[test]
fn root_can_be_named_through_a_symbolic_link() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    std::fs::create_dir(path.join("root")).unwrap();
    std::fs::write(path.join("root/x.env"), "A=inside\n").unwrap();
    std::os::unix::fs::symlink("root", path.join("other")).unwrap();
    let policy = policy(Some(path.join("other")));
    for base in ["root", "other"] {
        let base = path.join(base);
        assert_eq!(
            environment(&[], Some("x.env"), base.to_str(), &policy).unwrap(),
            ["A=inside"]
        );
    }
}
