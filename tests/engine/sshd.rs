//! A real sshd on this machine, with its own keys, and dexec connecting through it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::dexec;
use test_support::api;
use test_support::{Run, without_engines};

/// A running sshd; it is stopped when this is dropped.
pub struct Sshd {
    directory: TempDir,
    server: Child,
    pub port: u16,
}

/// What is installed on the remote host.
pub enum FarEnd {
    /// docker, connected to the engine under test.
    Docker,
    /// docker, connected to the engine under test; no other command is allowed.
    OnlyDocker,
    /// docker, with the address of an engine that does not exist.
    DockerWithoutEngine,
    OnlyDockerWithoutEngine,
    /// No docker; the engine under test listens at the socket path of a rootless Podman.
    Socket,
    Nothing,
}

impl Sshd {
    pub fn start(far_end: &FarEnd) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let at = |name: &str| directory.path().join(name);
        for key in ["host", "user", "stranger"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path(&at(key))]);
        }
        for name in ["tmp", "bin", "own/podman", "wrapped"] {
            fs::create_dir_all(at(name)).expect("a directory can be made");
        }
        // The programs of a remote host without docker.
        for program in ["sh", "id"] {
            let shell_s = run("sh", &["-c", &format!("command -v {program}")]);
            std::os::unix::fs::symlink(shell_s.trim(), at("bin").join(program)).expect("it can be linked");
        }
        std::os::unix::fs::symlink(api::socket(), at("own/podman/podman.sock")).expect("it can be linked");
        let key = fs::read_to_string(at("user.pub")).expect("there is a key");
        let limits = match far_end {
            FarEnd::OnlyDocker | FarEnd::OnlyDockerWithoutEngine => "command=\"docker system dial-stdio\" ",
            _ => "",
        };
        fs::write(at("authorized"), format!("{limits}{key}")).expect("it can be written");
        let everything = std::env::var("PATH").expect("there is a PATH");
        let bare = path(&at("bin")).to_owned();
        let environment = match far_end {
            FarEnd::Docker | FarEnd::OnlyDocker => {
                format!("\"PATH={everything}\" DOCKER_HOST=unix://{}", api::socket())
            }
            FarEnd::DockerWithoutEngine | FarEnd::OnlyDockerWithoutEngine => {
                format!("\"PATH={everything}\" DOCKER_HOST=unix:///nowhere/socket")
            }
            FarEnd::Socket => format!("PATH={bare} XDG_RUNTIME_DIR={}", path(&at("own"))),
            FarEnd::Nothing => format!("PATH={bare} XDG_RUNTIME_DIR={}", path(&at("tmp"))),
        };
        let (server, port) = listen(directory.path(), &environment);

        let host_key = fs::read_to_string(at("host.pub")).expect("there is a key");
        fs::write(at("known"), format!("[127.0.0.1]:{port} {host_key}")).expect("it can be written");
        // ssh reads the configuration from the user's home directory, and ignores HOME.
        let config = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\n",
            path(&at("user")),
            path(&at("known"))
        );
        fs::write(at("config"), config).expect("it can be written");
        let wrapper = at("wrapped/ssh");
        let text = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", path(&at("config")));
        fs::write(&wrapper, text).expect("it can be written");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("it can be made a program");
        Self {
            directory,
            server,
            port,
        }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Adds a line to ssh's configuration.
    pub fn configure(&self, line: &str) {
        let config = fs::read_to_string(self.at("config")).expect("it is there");
        fs::write(self.at("config"), format!("{config}{line}\n")).expect("it can be written");
    }

    pub fn url(&self) -> String {
        format!("ssh://root@127.0.0.1:{}", self.port)
    }

    /// `dexec` with the wrapped `ssh` program, on the engine at this address.
    pub fn dexec_at(&self, url: &str, args: &[&str]) -> Run {
        let programs = format!(
            "{}:{}",
            path(&self.at("wrapped")),
            std::env::var("PATH").expect("there is a PATH")
        );
        let run = dexec(["-H", url]).args(args);
        run.env("PATH", programs).env("TMPDIR", self.at("tmp"))
    }

    pub fn dexec(&self, args: &[&str]) -> Run {
        self.dexec_at(&self.url(), args)
    }

    /// The number of logins so far.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey for").count()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).expect("there is a log")
    }

    /// Waits until nothing of dexec is left: neither its directory nor a process that refers to it.
    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        let left = || {
            let files: Vec<_> = fs::read_dir(self.at("tmp")).expect("it is there").collect();
            let programs = programs_with(path(&self.at("tmp/dexec-")));
            (!files.is_empty() || !programs.is_empty()).then(|| format!("{files:?} {programs:?}"))
        };
        for _ in 0..2400 {
            if left().is_none() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(left(), None, "it stays");
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn listen(directory: &Path, environment: &str) -> (Child, u16) {
    let at = |name: &str| path(&directory.join(name)).to_owned();
    // Another test may take the free port before sshd listens on it.
    for _ in 0..10 {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("there is a free port").port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
             LogLevel VERBOSE\nSetEnv {environment}\n",
            at("host"),
            at("authorized")
        );
        fs::write(at("sshd_config"), config).expect("it can be written");
        let log = fs::File::create(at("log")).expect("it can be made");
        // The engines on this machine must not matter. sshd needs this directory for its privilege separation.
        let server = without_engines()
            .args(["sh", "-c", "mkdir -p /run/sshd && exec \"$@\"", "sh"])
            .args(["/usr/sbin/sshd", "-D", "-e", "-f", &at("sshd_config")])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        let mut server = server.expect("sshd can be started");
        loop {
            if fs::read_to_string(at("log")).is_ok_and(|log| log.contains("Server listening on")) {
                return (server, port);
            }
            if server.try_wait().expect("it can be asked").is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    panic!(
        "sshd does not start: {}",
        fs::read_to_string(at("log")).unwrap_or_default()
    );
}

/// The id and the arguments of every process.
pub fn programs() -> Vec<(String, String)> {
    let mut programs = Vec::new();
    for process in fs::read_dir("/proc").expect("there is /proc").flatten() {
        let mut line = Vec::new();
        // The process may have ended in the meantime.
        let file = fs::File::open(process.path().join("cmdline"));
        if file.and_then(|mut file| file.read_to_end(&mut line)).is_ok() {
            let id = process.file_name().to_string_lossy().into_owned();
            programs.push((id, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    programs
}

pub fn programs_with(words: &str) -> Vec<String> {
    let lines = programs().into_iter().map(|(_, line)| line);
    lines.filter(|line| line.contains(words)).collect()
}

#[track_caller]
pub fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..2400 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("it does not come to be so");
}

/// A port that accepts connections and never answers.
pub fn silent_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("it can be listened to");
    let port = listener.local_addr().expect("it has an address").port();
    (listener, port)
}

pub fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().expect("it can be run");
    let _ = std::io::stderr().write_all(&done.stderr);
    assert!(done.status.success(), "{program} {args:?}");
    String::from_utf8(done.stdout).expect("it is text")
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("it is UTF-8")
}
