//! Connects to a remote engine with the user's own ssh program.
//!
//! All connections share one login. Each connection is a session on it that runs `docker system dial-stdio`; if the
//! remote host has no docker, or the address names a socket, the connection is forwarded to the socket instead. The
//! script that a session runs first prints which of them it is. A remote host that runs only docker, for example
//! because of a `command` in `authorized_keys`, can't run the script: for this case, plain docker is started and
//! checked for a response to an HTTP request.

mod destination;
mod login;
mod process;
mod stderr;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Mutex as Turn;

use crate::error::{Error, ErrorKind, sanitize_line};

use super::connection::Connection;
pub(super) use destination::SshDestination;
use login::ControlMaster;
use process::SshStream;
use stderr::{LastStderrLine, MAX_WORDS_LEN};

/// The prefix of the line in which a session reports what the remote host has.
const MARK: &str = "dexec-far-end: ";

/// Prints which engine the remote host has. If the host has docker, the script becomes the connection to it.
const FAR_END: &str = include_str!("ssh/far_end.sh");

/// docker's own command for such a connection, which may be the only one that the remote host allows.
const DOCKER: &str = "docker system dial-stdio";

/// How long to wait for the remote host's report before plain docker is tried in parallel. A forced command never
/// prints one, so each dexec process waits this long for it.
const MARK_TIMEOUT: Duration = Duration::from_secs(1);

/// The response to this request has no body.
const PING: &[u8] = b"HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\n\r\n";

/// A remote host, and the login to it if there is one.
#[derive(Debug)]
pub(super) struct Ssh {
    target: SshDestination,
    socket: Option<String>,
    /// How long the remote host may take for a connection, and ssh to reach the host.
    connect_time: Duration,
    login: Turn<Option<Arc<ControlMaster>>>,
    /// How this login reached the engine, once it did.
    engine: Mutex<Option<RemoteEngine>>,
    words: LastStderrLine,
}

/// What connects to the engine on the remote host.
#[derive(Clone, Debug)]
enum RemoteEngine {
    /// docker on the remote host, started by the script after its report.
    Docker,
    /// docker on the remote host, which allows no other command.
    OnlyDocker,
    Socket(String),
}

impl Ssh {
    pub(super) fn new(target: SshDestination, socket: Option<String>, connect_time: Duration) -> Self {
        Self {
            target,
            socket,
            connect_time,
            login: Turn::default(),
            engine: Mutex::default(),
            words: LastStderrLine::default(),
        }
    }

    pub(super) async fn dial(&self) -> Result<Connection, Error> {
        let login = self.login().await?;
        if let Some(socket) = &self.socket {
            return self.forwarded(&login, socket).await;
        }
        if login.has_forward() {
            return self.connect_forward(&login).await;
        }
        if let Some(RemoteEngine::OnlyDocker) = self.engine() {
            let process = self.spawn(&login, DOCKER)?;
            return Ok(Box::new(process) as Connection);
        }
        let (process, said) = tokio::time::timeout(self.connect_time, self.session(&login))
            .await
            .unwrap_or_else(|_| Err(self.failed("the remote host did not respond in time")))?;
        let Some(said) = said else {
            self.set_engine(Some(RemoteEngine::OnlyDocker));
            return Ok(Box::new(process) as Connection);
        };
        let (answer, socket) = said.split_once(' ').unwrap_or((&said, ""));
        match answer {
            "docker" => {
                self.set_engine(Some(RemoteEngine::Docker));
                Ok(Box::new(process) as Connection)
            }
            "socket" => self.forwarded(&login, socket).await,
            "denied" => Err(Error::new(
                ErrorKind::PermissionDenied,
                format!(
                    "the remote user may not use the socket {}: log in as another user, or add the user to the \
                     socket's group",
                    sanitize_line(socket, MAX_WORDS_LEN)
                ),
            )),
            _ => Err(Error::new(
                ErrorKind::EngineUnreachable,
                "there is no docker and no engine socket on the remote host: start the engine, or specify its socket \
                 (ssh://host/path/to/socket)",
            )),
        }
    }

    /// Returns the login, and makes a new one if there is none or it has ended.
    async fn login(&self) -> Result<Arc<ControlMaster>, Error> {
        let mut place = self.login.lock().await;
        if let Some(login) = place.as_ref().filter(|login| !login.is_over()) {
            return Ok(Arc::clone(login));
        }
        *place = None;
        self.set_engine(None);
        self.words.set("");
        let login = match ControlMaster::begin(&self.target, self.connect_time, &self.words).await {
            Ok(login) => Arc::new(login),
            Err(reason) => return Err(self.not_logged_in(&reason).await),
        };
        // Messages up to this point are not errors.
        self.words.set("");
        Ok(Arc::clone(place.insert(login)))
    }

    /// Returns a session and its report about the remote host; the report is `None` if only plain docker responded.
    async fn session(&self, login: &ControlMaster) -> Result<(SshStream, Option<String>), Error> {
        let asking = async {
            let mut process = self.spawn(login, &far_end())?;
            match process.mark(MARK).await {
                Ok(said) => Ok((process, Some(said))),
                Err(error) => Err(self.failed(&error.to_string())),
            }
        };
        let trying = async {
            let mut process = self.spawn(login, DOCKER)?;
            match process.speaks_http(PING).await {
                Ok(()) => Ok((process, None)),
                Err(error) => Err(self.failed(&error.to_string())),
            }
        };
        tokio::pin!(asking, trying);
        let early = tokio::time::timeout(MARK_TIMEOUT.min(self.connect_time / 2), &mut asking).await;
        let is_over = match early {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(_)) => true,
            Err(_) => false,
        };
        // The remote host may only be slow.
        let found = tokio::select! {
            Ok(found) = &mut asking, if !is_over => Some(found),
            Ok(found) = &mut trying => Some(found),
            else => None,
        };
        if let Some(found) = found {
            // The messages of the other session are not errors.
            self.words.set("");
            return Ok(found);
        }
        let said = self.words.wait().await;
        // If the message is from docker, or says that docker was not found, ssh itself worked.
        let lower = said.to_lowercase();
        let fault = if ["docker", "raw stream"].iter().any(|word| lower.contains(word)) {
            self.fault_of_answer().await
        } else {
            None
        };
        Err(fault.unwrap_or_else(|| self.failed(&format!("the remote host did not run the command ({said})"))))
    }

    /// Starts a session that runs a command.
    fn spawn(&self, login: &ControlMaster, run: &str) -> Result<SshStream, Error> {
        let mut command = login.session();
        command.args(self.target.args()).arg(run);
        SshStream::spawn(command, &self.words).map_err(|error| self.failed(&error.to_string()))
    }

    fn engine(&self) -> Option<RemoteEngine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_engine(&self, engine: Option<RemoteEngine>) {
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = engine;
    }

    /// Returns how the remote engine was reached, if the address does not name a socket and a connection was made.
    pub(super) fn far_end(&self) -> Option<String> {
        if self.socket.is_some() {
            return None;
        }
        Some(match self.engine()? {
            RemoteEngine::Docker | RemoteEngine::OnlyDocker => "docker".to_owned(),
            RemoteEngine::Socket(socket) => sanitize_line(&socket, MAX_WORDS_LEN),
        })
    }

    /// Returns a connection to a socket on the remote host.
    async fn forwarded(&self, login: &ControlMaster, socket: &str) -> Result<Connection, Error> {
        // Any other character could split the argument or be expanded by ssh.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@,=".contains(&byte);
        if !socket.starts_with('/') || !socket.bytes().all(is_plain) {
            let socket = sanitize_line(socket, MAX_WORDS_LEN);
            return Err(Error::invalid(format!(
                "ssh can't forward to the socket {socket}: its path must begin with `/` and may contain only letters, \
                 digits and `/._-+@,=`"
            )));
        }
        login
            .forward(socket)
            .await
            .map_err(|said| self.failed(&format!("it did not forward to {socket} ({said})")))?;
        self.set_engine(Some(RemoteEngine::Socket(socket.to_owned())));
        self.connect_forward(login).await
    }

    async fn connect_forward(&self, login: &ControlMaster) -> Result<Connection, Error> {
        let connected = UnixStream::connect(login.forwarded()).await;
        connected
            .map(|stream| Box::new(stream) as Connection)
            .map_err(|error| self.failed(&format!("can't connect to the forwarded socket: {error}")))
    }

    /// Returns why there was no response, if ssh reports it.
    pub(super) async fn fault_of_answer(&self) -> Option<Error> {
        let said = self.words.wait().await;
        let lower = said.to_lowercase();
        if said.is_empty() {
            None
        } else if lower.contains("open failed") {
            let found = self.far_end();
            let socket = self
                .socket
                .as_deref()
                .or(found.as_deref())
                .unwrap_or("the engine's socket");
            Some(Error::new(
                ErrorKind::EngineUnreachable,
                format!(
                    "can't connect to {socket} on the remote host ({said}): check that the engine is started, that \
                     the remote user may use its socket, and that the remote sshd allows forwarding"
                ),
            ))
        } else if lower.contains("permission denied") {
            let reason = format!("on the remote host: {said}. Add the remote user to the socket's group");
            Some(Error::new(ErrorKind::PermissionDenied, reason))
        } else {
            let reason = format!("on the remote host: {said}");
            Some(Error::new(ErrorKind::EngineUnreachable, reason))
        }
    }

    async fn not_logged_in(&self, error: &io::Error) -> Error {
        match self.words.wait().await.as_str() {
            "" if error.kind() == io::ErrorKind::TimedOut => self.failed("the login did not complete in time"),
            "" => self.failed(&error.to_string()),
            said => self.failed(said),
        }
    }

    fn failed(&self, reason: &str) -> Error {
        let (reason, command) = (reason.trim_end_matches('.'), self.target.command());
        let reason = format!("ssh failed: {reason}. Try `{command}`: dexec can log in if that command can");
        Error::new(ErrorKind::Ssh, reason)
    }
}

/// Returns the script as one argument for any login shell of the user: some shells can't read a quoted line break, so
/// the lines are joined; the script contains no single quote.
fn far_end() -> String {
    let lines: Vec<&str> = FAR_END
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .collect();
    format!("sh -c '{}'", lines.join(" "))
}
