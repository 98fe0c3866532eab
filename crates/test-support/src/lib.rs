//! Code that the tests of both programs share: they run the real programs and check their output.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod api;
pub mod limited;
pub mod manual;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Time limit for one run of a program.
const MAX_RUN: Duration = Duration::from_secs(300);

/// A builder for a run of a program.
#[must_use]
pub struct Run {
    command: Command,
    stdin: Option<Vec<u8>>,
}

/// How a run of a program ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// 128+n for signal n, as in a shell.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Variables other than `DOCKER_HOST` that would change what dexec does.
const FOREIGN_VARIABLES: &[&str] = &[
    "CONTAINER_HOST",
    "DEXEC_ALLOW_PLAIN_TCP",
    "DEXEC_OUTPUT",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONTEXT",
    "DOCKER_CUSTOM_HEADERS",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
];

/// Prepares a run of `dexec`, which is at `path`, with these arguments. The engine is the one of `DOCKER_HOST`,
/// regardless of the configuration of this machine's user.
pub fn dexec<A: AsRef<OsStr>>(path: &str, args: impl IntoIterator<Item = A>) -> Run {
    let mut run = program(path);
    for name in FOREIGN_VARIABLES {
        run.command.env_remove(name);
    }
    run.command.env("DOCKER_CONFIG", "/nonexistent/docker").args(args);
    run
}

/// A command that runs the program in its further arguments with all sockets of this machine's engines hidden.
pub fn without_engines() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let hide = "mount -t tmpfs tmpfs /run && { [ -L /var/run ] || mount -t tmpfs tmpfs /var/run; } && exec \"$@\"";
    command.args(["--mount", "--propagation", "private", "sh", "-c", hide, "sh"]);
    command
}

pub fn program(path: impl AsRef<OsStr>) -> Run {
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    Run { command, stdin: None }
}

/// All installed docker CLIs: the first in `PATH`, and the distribution's.
pub fn docker_clis() -> BTreeSet<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&path)
        .map(|directory| directory.join("docker"))
        .find(|cli| cli.exists());
    let usual = PathBuf::from("/usr/bin/docker");
    first
        .into_iter()
        .chain(usual.exists().then_some(usual))
        .filter_map(|cli| cli.canonicalize().ok())
        .collect()
}

impl Run {
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Hides this machine's engines from the program. Does nothing if there is no /var/run/docker.sock.
    pub fn without_engines(mut self) -> Self {
        if Path::new("/var/run/docker.sock").symlink_metadata().is_err() {
            return self;
        }
        let mut command = without_engines();
        command
            .arg(self.command.get_program())
            .args(self.command.get_args())
            .stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    /// Starts the program with pipes for its output. The caller must wait for it to end.
    pub fn spawn(self) -> Child {
        self.into_command().spawn().expect("dexec can be started")
    }

    /// Returns the command with pipes for its output.
    pub fn into_command(mut self) -> Command {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn run(mut self) -> Done {
        self.command.stdout(Stdio::piped());
        self.finish()
    }

    /// Runs the program to its end, with the standard output that was set.
    #[track_caller]
    pub fn finish(mut self) -> Done {
        if self.stdin.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let shown = format!("{:?}", self.command);
        let mut child = self
            .command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let feeder = self.stdin.map(|bytes| {
            let mut stdin = child.stdin.take().expect("it is a pipe");
            // It is no error if a program stops reading early.
            thread::spawn(move || drop(stdin.write_all(&bytes)))
        });
        let pid = child.id();
        let (done, waiter) = std::sync::mpsc::channel();
        thread::spawn(move || drop(done.send(child.wait_with_output())));
        let Ok(output) = waiter.recv_timeout(MAX_RUN) else {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            panic!("no end within {MAX_RUN:?}: {shown}");
        };
        let output = output.expect("its output can be read");
        if let Some(feeder) = feeder {
            feeder.join().expect("the feeder does not panic");
        }
        Done {
            code: code(output.status),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }

    /// Runs dexec in json mode, and asserts that it prints one line of JSON on standard output, with the exit code, and
    /// nothing on standard error.
    #[track_caller]
    pub fn response(self) -> Value {
        self.run().response()
    }
}

impl Done {
    #[track_caller]
    pub fn response(&self) -> Value {
        let text = String::from_utf8(self.stdout.clone()).expect("a response is UTF-8");
        assert_eq!(self.stderr_text(), "", "a response stands alone; stdout: {text}");
        assert!(
            text.ends_with('\n') && text.matches('\n').count() == 1,
            "not one line: {text:?}"
        );
        let response: Value = serde_json::from_str(&text).expect("a response is JSON");
        assert_eq!(response["exitCode"], self.code, "{text}");
        assert_eq!(response["success"], self.code == 0, "{text}");
        response
    }

    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

pub fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Asserts that a response has exactly these fields. The `message`, which is required with an `errorKind`, is not
/// compared.
#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the expected value is written where it is passed"
)]
pub fn assert_response(response: &Value, expected: Value) {
    let mut response = response.clone();
    if response["errorKind"].is_string() {
        let message = response.as_object_mut().expect("it is an object").remove("message");
        let message = message.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        assert!(
            !message.is_empty() && message.lines().count() <= 2,
            "message: {message:?}"
        );
    }
    assert_eq!(response, expected);
}

/// Reads the rest of a child's standard output.
pub fn rest_of(child: &mut Child) -> Vec<u8> {
    let mut bytes = Vec::new();
    child
        .stdout
        .take()
        .expect("it is a pipe")
        .read_to_end(&mut bytes)
        .expect("it can be read");
    bytes
}

/// Sends a signal to a child.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(status.expect("kill can be run").success());
}

/// Pseudo-random bytes: every value appears, and they do not repeat with the size of a buffer.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// The peak memory of a process in KiB, as last seen while it ran.
pub fn watch_memory(pid: u32) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let mut peak = 0;
        while let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(size) = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()) else {
                break;
            };
            peak = size;
            thread::sleep(Duration::from_millis(20));
        }
        peak
    })
}
