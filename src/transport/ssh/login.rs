//! A login that other ssh processes share, and that ends when dexec ends, in whatever way.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::task::JoinHandle;

use super::destination::{SshDestination, ssh};
use super::process::piped;
use super::stderr::{LastStderrLine, MAX_LINE_LEN, listen};

/// How long a login may take, including the time in which the user types a passphrase.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// The maximum connect timeout in seconds: ssh counts milliseconds in 31 bits.
const MAX_SECONDS: u128 = 86_400;

const READY_PAUSE: Duration = Duration::from_millis(5);

const LOGIN: &str = include_str!("login.sh");

/// Options that the user's configuration must not change: a login in the background can't be ended, tunnels and local
/// commands are not wanted, and the socket of a forwarding is only for dexec.
const SETTLED: [&str; 9] = [
    "ClearAllForwardings=yes",
    "ControlPersist=no",
    "ForwardX11=no",
    "LogLevel=INFO",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "StreamLocalBindMask=0177",
    "StreamLocalBindUnlink=no",
    "Tunnel=no",
];

#[derive(Debug)]
pub(super) struct ControlMaster {
    directory: PathBuf,
    /// Whether ssh has the options that a session must not take from the user's configuration.
    knows_session_options: bool,
    has_forward: AtomicBool,
    /// Finishes when ssh exits.
    errors: JoinHandle<()>,
    /// Closing it ends the login.
    _hold: ChildStdin,
}

impl ControlMaster {
    pub(super) async fn begin(
        target: &SshDestination,
        connect_time: Duration,
        words: &LastStderrLine,
    ) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", LOGIN, "sh", "-N", "-T"]);
        // ssh accepts whole seconds, and 0 means no timeout. The time for a passphrase prompt does not count.
        let seconds = connect_time.as_millis().div_ceil(1000).clamp(1, MAX_SECONDS);
        let connect = format!("ConnectTimeout={seconds}");
        // Detects a host that is gone, as the keepalive of tcp connections does.
        for option in SETTLED
            .iter()
            .copied()
            .chain([connect.as_str(), "ServerAliveInterval=30"])
        {
            command.args(["-o", option]);
        }
        command.args(target.args());
        // The child is dropped and not killed: it exits when its input closes.
        let (_, hold, stdout, stderr) = piped(&mut command)?;
        let mut errors = tokio::spawn(listen(stderr, words.clone()));
        let (directory, knows_session_options) =
            tokio::time::timeout(LOGIN_TIMEOUT, ready(stdout, &mut errors)).await??;
        Ok(Self {
            directory,
            knows_session_options,
            has_forward: AtomicBool::new(false),
            errors,
            _hold: hold,
        })
    }

    pub(super) fn is_over(&self) -> bool {
        self.errors.is_finished()
    }

    /// Returns an ssh command that uses this login for a session.
    pub(super) fn session(&self) -> Command {
        let mut command = self.command();
        let newer: &[&str] = if self.knows_session_options {
            &["ForkAfterAuthentication=no", "StdinNull=no", "SessionType=default"]
        } else {
            &[]
        };
        // If the login accepts no more sessions, ssh makes a login of its own, and can't ask the user anything then.
        for option in SETTLED
            .iter()
            .chain(&["BatchMode=yes", "ControlMaster=no"])
            .chain(newer)
        {
            command.args(["-o", *option]);
        }
        command.arg("-T");
        command
    }

    /// Returns an ssh command that uses this login.
    fn command(&self) -> Command {
        let mut command = ssh();
        command.arg("-S").arg(self.directory.join("login"));
        command
    }

    pub(super) fn has_forward(&self) -> bool {
        self.has_forward.load(Ordering::Relaxed)
    }

    /// Returns the path of the local socket that is forwarded to the remote one.
    pub(super) fn forwarded(&self) -> PathBuf {
        self.directory.join("engine")
    }

    /// Forwards the local socket to a socket on the remote host. The error is ssh's message.
    pub(super) async fn forward(&self, socket: &str) -> Result<(), String> {
        if self.has_forward() {
            return Ok(());
        }
        let route = format!("{}:{socket}", self.forwarded().display());
        let mut command = self.command();
        command.args(["-F", "none", "-O", "forward", "-L", &route, "--", "x"]);
        command.stdin(Stdio::null());
        let done = command.output().await.map_err(|error| error.to_string())?;
        // Another connection may have set up the forwarding first.
        if done.status.success() || self.forwarded().exists() {
            self.has_forward.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
    }
}

/// Waits until other ssh processes can use the login: ssh creates its socket when the remote host has accepted the
/// login.
async fn ready(stdout: impl AsyncRead + Unpin, errors: &mut JoinHandle<()>) -> io::Result<(PathBuf, bool)> {
    let mut lines = BufReader::new(stdout.take(MAX_LINE_LEN)).lines();
    let line = lines.next_line().await?.unwrap_or_default();
    let Some((directory, knows)) = line.split_once(' ') else {
        return Err(io::Error::other("can't create a temporary directory"));
    };
    let (directory, knows) = (PathBuf::from(directory), !knows.is_empty());
    let came = async {
        while !has_socket(&directory) {
            tokio::time::sleep(READY_PAUSE).await;
        }
    };
    tokio::select! {
        () = came => {}
        _ = errors => return Err(io::Error::other("it exited without a message")),
    }
    Ok((directory, knows))
}

fn has_socket(directory: &Path) -> bool {
    directory.join("login").symlink_metadata().is_ok()
}
