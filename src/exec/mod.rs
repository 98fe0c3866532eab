//! One command's life: created, started, its bytes moved until they end, its exit code asked for.

mod capture;
mod frames;
mod groups;
mod output;
mod pump;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{ContainerState, Engine, ExecId, ExecState, is_podman_start_failure, start_failure};
use crate::error::{Error, ErrorKind};
use crate::outcome::{End, LOST, Outcome};
use crate::request::{ContainerName, Request, Spec, Stdin};

pub use capture::{CAPTURE_LIMIT, Capture, Captured};
pub use output::{Output, Stream};
use pump::{Break, Seen, pump};

/// The code of a process that was ended by SIGKILL, as every one is when its container ends.
const KILLED: i64 = 137;

/// How long a command may still be called running after its output has ended.
const SETTLING_TIME: Duration = Duration::from_secs(5);

/// When to look again for the end of a container that ended together with a command: Podman was seen to call it
/// running for more than 400 ms.
const CONTAINER_LOOKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

/// Whether the command may have begun to run.
#[derive(Debug, Default)]
pub(crate) struct Started(AtomicBool);

impl Engine {
    /// Runs a command and keeps what it writes, up to [`CAPTURE_LIMIT`] bytes of each stream.
    ///
    /// There is always an outcome; see [`exec_to`](Self::exec_to).
    pub async fn exec(&self, request: Request, cancel: &CancellationToken) -> Outcome {
        let mut capture = Capture::default();
        let end = self.exec_to(request, &mut capture, cancel).await;
        let (stdout, stderr) = capture.finish();
        Outcome { end, stdout, stderr }
    }

    /// Runs a command and hands its output on while it comes.
    ///
    /// It takes three requests: create, start, and an inspect for the exit code when the output has ended. The exit
    /// code is the command's own; where it can't be had the [`End`] says so.
    ///
    /// When `cancel` is cancelled, the end is [`End::Lost`] with [`ErrorKind::Interrupted`]. The engines have no call
    /// that ends a command: it goes on in the container.
    pub async fn exec_to<O: Output>(&self, request: Request, output: &mut O, cancel: &CancellationToken) -> End {
        let started = Started::default();
        tokio::select! {
            biased;
            end = self.live(request, output, &started) => end.unwrap_or_else(End::Refused),
            () = cancel.cancelled() => interrupted(&started),
        }
    }

    async fn live<O: Output>(&self, request: Request, output: &mut O, started: &Started) -> Result<End, Error> {
        let Request { mut spec, stdin } = request;
        if !spec.groups.is_empty() {
            spec = groups::with_groups(self, spec).await?;
        }
        self.run(&spec, stdin, output, started).await
    }

    /// Runs a command as it stands in `spec`. An error means that nothing was started.
    async fn run<O: Output>(
        &self,
        spec: &Spec,
        stdin: Option<Stdin>,
        output: &mut O,
        started: &Started,
    ) -> Result<End, Error> {
        let id = self.create_exec(spec, stdin.is_some()).await?;
        started.0.store(true, Ordering::Relaxed);
        if spec.is_detached {
            return match self.start_detached(&id, &spec.container).await {
                Ok(()) => Ok(End::Detached {
                    exec_id: id.into_string(),
                }),
                Err(error) => not_started(error),
            };
        }
        let attached = match self.start_attached(&id, &spec.container).await {
            Ok(attached) => attached,
            Err(error) => return not_started(error),
        };
        let mut seen = Seen::default();
        let streamed = pump(attached, stdin, output, &mut seen).await;
        Ok(self.conclude(spec, &id, streamed, &seen).await)
    }

    /// The end of a command whose output has ended: by itself that proves nothing, so the engine is asked.
    async fn conclude(&self, spec: &Spec, id: &ExecId, streamed: Result<(), Break>, seen: &Seen) -> End {
        if let Err(Break::Output(error)) = streamed {
            return output_failed(error);
        }
        match (self.settled(id).await, streamed) {
            (Ok(Some(ExecState { is_running: true, .. })), _) => lost(
                "the output ended while the command runs on: the engine was restarted or cut the connection",
                true,
            ),
            (Ok(Some(_)), Err(fault)) => lost(&format!("{fault}: part of the output may be missing"), false),
            (Ok(Some(ExecState { exit_code: None, .. })), Ok(())) => {
                lost("the engine does not tell the exit code", false)
            }
            (
                Ok(Some(ExecState {
                    exit_code: Some(code),
                    has_pid,
                    ..
                })),
                Ok(()),
            ) => self.ended(spec, code, has_pid, seen).await,
            (Ok(None), _) => {
                let event = self.container_end(&spec.container).await.unwrap_or("was restarted");
                container_stopped(&spec.container, event, LOST)
            }
            (Err(error), _) => lost(&error.to_string(), true),
        }
    }

    async fn settled(&self, id: &ExecId) -> Result<Option<ExecState>, Error> {
        let deadline = Instant::now() + SETTLING_TIME;
        let mut pause = Duration::from_millis(10);
        loop {
            let state = self.inspect_exec(id).await?;
            let is_running = state.as_ref().is_some_and(|state| state.is_running);
            if !is_running || Instant::now() > deadline {
                return Ok(state);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// The end of a command of which the engine says that it has ended with `code`.
    async fn ended(&self, spec: &Spec, code: i64, has_pid: bool, seen: &Seen) -> End {
        let program = spec.command.first().map_or("", String::as_str);
        let stderr = String::from_utf8_lossy(&seen.stderr);
        if !spec.groups.is_empty()
            && let 126 | 127 = code
            && seen.stdout.is_empty()
            && let Some(kind) = groups::start_failure(&stderr)
        {
            let error = Error::new(kind, stderr.trim().to_owned());
            return End::NotStarted { code, error };
        }
        // Docker never made a process then; Podman forgets the process of every command that has ended.
        let words = if self.is_podman() {
            ((125..=127).contains(&code) && seen.stdout.is_empty() && is_podman_start_failure(&stderr))
                .then_some(stderr)
        } else {
            ((125..=128).contains(&code) && !has_pid).then(|| String::from_utf8_lossy(&seen.stdout))
        };
        if let Some(words) = words {
            let error = start_failure(program, &words);
            return End::NotStarted { code, error };
        }
        if code == KILLED
            && let Some(event) = self.container_end(&spec.container).await
        {
            return container_stopped(&spec.container, event, KILLED);
        }
        End::Exited { code }
    }

    /// What became of a container that does not run any more; `None` when it runs, or when that can't be known.
    async fn container_end(&self, container: &ContainerName) -> Option<&'static str> {
        for pause in CONTAINER_LOOKS {
            tokio::time::sleep(pause).await;
            match self.container_state(container).await {
                Ok(ContainerState::Running) => {}
                Ok(ContainerState::NotRunning) => return Some("stopped"),
                Ok(ContainerState::Gone) => return Some("was removed"),
                Err(_) => return None,
            }
        }
        None
    }
}

/// A start without an answer may have reached the engine.
fn not_started(error: Error) -> Result<End, Error> {
    match error.kind() {
        ErrorKind::ConnectionLost => Ok(lost(&error.to_string(), true)),
        _ => Err(error),
    }
}

fn lost(reason: &str, may_run: bool) -> End {
    let mut message = format!("the connection was lost before the exit code was known: {reason}");
    if may_run {
        message.push_str(". The command may still be running in the container");
    }
    End::Lost {
        error: Error::new(ErrorKind::ConnectionLost, message),
        code: LOST,
        may_run,
    }
}

fn container_stopped(container: &ContainerName, event: &str, code: i64) -> End {
    End::Lost {
        error: Error::new(
            ErrorKind::ContainerStopped,
            format!("the container `{container}` {event} while the command ran, which ended the command"),
        ),
        code,
        may_run: false,
    }
}

fn output_failed(error: io::Error) -> End {
    let is_pipe = error.kind() == io::ErrorKind::BrokenPipe;
    let cause = if is_pipe {
        "the reader of the output has gone".to_owned()
    } else {
        format!("the output can't be written: {error}")
    };
    End::Lost {
        error: Error::new(
            ErrorKind::OutputFailed,
            format!("{cause}. The command may still be running in the container"),
        )
        .with_source(error),
        code: if is_pipe { 141 } else { 1 },
        may_run: true,
    }
}

fn interrupted(started: &Started) -> End {
    let may_run = started.0.load(Ordering::Relaxed);
    let message = if may_run {
        "dexec was interrupted: the command may still be running in the container"
    } else {
        "dexec was interrupted before the command was started"
    };
    End::Lost {
        error: Error::new(ErrorKind::Interrupted, message),
        // What a shell says of a command that SIGINT has ended.
        code: 130,
        may_run,
    }
}
