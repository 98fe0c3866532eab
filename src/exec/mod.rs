//! One command's life: created, started, its bytes moved until they end, its exit code asked for; or stopped.

mod capture;
mod end;
mod frames;
mod groups;
mod helper;
mod marker;
mod output;
mod pump;
mod stop;

use std::future::pending;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::{Attached, Engine, ExecId};
use crate::error::{Error, ErrorKind};
use crate::outcome::{End, Outcome, StopCause};
use crate::request::{Request, Spec, Stdin};

pub use capture::{CAPTURE_LIMIT, Capture, Captured};
use end::lost;
use helper::Helper;
use marker::Marker;
pub use output::{Output, Stream};
use pump::{Break, Seen, pump};
use stop::{Stopped, Target, stop};

/// How long a cancelled command's start is waited for.
const STARTING_TIME: Duration = Duration::from_secs(5);

/// How long an engine that failed to answer a start may take to end the command all the same.
const STOPPING_TIME: Duration = Duration::from_secs(20);

/// How long the rest of a stopped command's output is waited for.
const DRAINING_TIME: Duration = Duration::from_secs(5);

/// The same when dexec is to end, or when a process may be left, which holds the output open.
const SHORT_DRAINING_TIME: Duration = Duration::from_millis(500);

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
    /// When `cancel` is cancelled, when the request's time is over, or when the output takes no more, the command is
    /// stopped: all its processes in the container are sent SIGTERM, and after
    /// [`kill_after`](crate::RequestBuilder::kill_after) SIGKILL. The end is then [`End::Stopped`], and it comes when
    /// nothing of the command is left, or says why something may be.
    ///
    /// Dropping the future is the emergency way to do the same: see [`shutdown`](Self::shutdown).
    pub async fn exec_to<O: Output>(&self, request: Request, output: &mut O, cancel: &CancellationToken) -> End {
        let Request {
            spec,
            stdin,
            timeout,
            kill_after,
        } = request;
        let user = spec.user.clone();
        let marker = Marker::new();
        let created = tokio::select! {
            biased;
            created = self.create(spec, &marker, stdin.is_some()) => created,
            () = cancel.cancelled() => return interrupted_early(),
        };
        let (spec, helper, exec) = match created {
            Ok(created) => created,
            Err(error) => return End::Refused(error),
        };
        let target = Target {
            exec,
            container: spec.container.clone(),
            user,
            is_privileged: spec.is_privileged,
            marker,
            kill_after,
            since: Instant::now(),
            is_answered: false,
        };
        let mut command = Command {
            engine: self,
            spec,
            target: Some(target),
        };
        let end = command.live(stdin, timeout, output, cancel).await;
        command.target = None;
        let end = end.unwrap_or_else(End::Refused);
        if let (Some(helper), End::Refused(_) | End::NotStarted { .. }) = (helper, &end) {
            // It would have removed itself. What the end says is more than that it could not be done.
            let _ = helper.remove(self).await;
        }
        end
    }

    async fn create(
        &self,
        mut spec: Spec,
        marker: &Marker,
        has_stdin: bool,
    ) -> Result<(Spec, Option<Helper>, ExecId), Error> {
        let mut helper = None;
        if !spec.groups.is_empty() {
            (spec, helper) = Box::pin(groups::with_groups(self, spec)).await?;
        }
        spec.env.push(marker.entry().to_owned());
        match self.create_exec(&spec, has_stdin).await {
            Ok(id) => Ok((spec, helper, id)),
            Err(error) => {
                if let Some(helper) = helper {
                    // The error is what the caller has to know.
                    let _ = helper.remove(self).await;
                }
                Err(error)
            }
        }
    }

    /// Runs a command of dexec's own, which ends by itself. An error means that nothing was started.
    async fn run(&self, spec: &Spec, output: &mut Capture) -> Result<End, Error> {
        let id = self.create_exec(spec, false).await?;
        let attached = self.start_attached(&id, &spec.container).await?;
        let mut seen = Seen::default();
        let streamed = pump(attached, None, output, &mut seen, (self, &id)).await;
        Ok(self.conclude(spec, None, &id, streamed, &seen).await)
    }

    /// Waits for the commands whose futures were dropped before their end: each is being stopped.
    ///
    /// Gives an error for each of which a process may be left. The engine can be used on.
    pub async fn shutdown(&self) -> Vec<Error> {
        self.stops().wait().await
    }
}

/// A command from its start to its end. Dropped in between, it is stopped all the same.
struct Command<'a> {
    engine: &'a Engine,
    spec: Spec,
    /// What is to be stopped; `None` when that is done or the command has ended.
    target: Option<Target>,
}

impl Command<'_> {
    async fn live<O: Output>(
        &mut self,
        stdin: Option<Stdin>,
        time: Option<Duration>,
        output: &mut O,
        cancel: &CancellationToken,
    ) -> Result<End, Error> {
        let Self { engine, spec, target } = self;
        let (engine, spec): (&Engine, &Spec) = (engine, spec);
        let Some(target) = target else {
            return Ok(interrupted_early());
        };
        let id = target.exec.clone();

        // A start that is under way can't be taken back.
        let started = {
            let mut starting = pin!(start(engine, spec, &id));
            tokio::select! {
                biased;
                started = &mut starting => Some(started),
                () = cancel.cancelled() => timeout(STARTING_TIME, starting).await.ok(),
            }
        };
        target.is_answered = started.is_some();
        let attached = match started {
            Some(Ok(attached)) => attached,
            Some(Err(error)) if error.kind() == ErrorKind::ConnectionLost => {
                // Nobody will have its output or its exit code, so it had better not run.
                let stopped = timeout(STOPPING_TIME, Box::pin(stop(engine, target))).await;
                let has_ended = stopped.is_ok_and(|stopped| stopped.orphaned.is_none());
                return Ok(lost(&error.to_string(), !has_ended));
            }
            Some(Err(error)) => return Err(error),
            None => None,
        };
        let Some(attached) = attached else {
            if cancel.is_cancelled() {
                let stopped = Box::pin(stop(engine, target)).await;
                return Ok(ended_by(StopCause::Cancelled, stopped, None));
            }
            return Ok(End::Detached {
                exec_id: id.into_string(),
            });
        };

        let deadline = time.map(|time| Instant::now() + time);
        let mut seen = Seen::default();
        let (cause, stopped, streamed) = {
            let mut pumping = pin!(pump(attached, stdin, output, &mut seen, (engine, &id)));
            let mut streamed = None;
            let cause = tokio::select! {
                biased;
                end = &mut pumping => match streamed.insert(end) {
                    Err(Break::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Some(StopCause::ReaderGone),
                    Err(Break::Output(_)) => Some(StopCause::OutputFailed),
                    _ => None,
                },
                () = cancel.cancelled() => Some(StopCause::Cancelled),
                () = passed(deadline) => Some(StopCause::Timeout),
            };
            let mut stopped = None;
            if cause.is_some() {
                // On the heap: few commands are stopped.
                let mut stopping = Box::pin(stop(engine, target));
                // The command may write while it ends, and is kept from ending while nobody reads.
                while stopped.is_none() {
                    tokio::select! {
                        done = &mut stopping => stopped = Some(done),
                        end = &mut pumping, if streamed.is_none() => streamed = Some(end),
                    }
                }
            }
            if streamed.is_none() {
                let is_orphaned = stopped.as_ref().is_some_and(|stopped| stopped.orphaned.is_some());
                let is_short = is_orphaned || cause == Some(StopCause::Cancelled);
                let time = if is_short { SHORT_DRAINING_TIME } else { DRAINING_TIME };
                streamed = timeout(time, pumping).await.ok();
            }
            (cause, stopped, streamed)
        };
        match (cause, stopped, streamed) {
            (Some(cause), Some(stopped), streamed) => {
                let output_failure = match streamed {
                    Some(Err(Break::Output(error))) => Some(error),
                    Some(streamed) if stopped.is_needless() => {
                        return Ok(engine.conclude(spec, Some(target), &id, streamed, &seen).await);
                    }
                    Some(_) => None,
                    None if stopped.orphaned.is_some() => None,
                    None => Some(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "its reader does not take the rest",
                    )),
                };
                Ok(ended_by(cause, stopped, output_failure))
            }
            (_, _, streamed) => {
                let streamed = streamed.unwrap_or(Ok(()));
                Ok(engine.conclude(spec, Some(target), &id, streamed, &seen).await)
            }
        }
    }
}

impl Drop for Command<'_> {
    fn drop(&mut self) {
        if let Some(target) = self.target.take() {
            let engine = self.engine.clone();
            let container = target.container.clone();
            let stopping = async move { stop(&engine, &target).await.orphaned };
            self.engine.stops().begin(stopping, container.as_str());
        }
    }
}

/// Starts a command; there is no connection to a detached one.
async fn start(engine: &Engine, spec: &Spec, id: &ExecId) -> Result<Option<Attached>, Error> {
    if spec.is_detached {
        engine.start_detached(id, &spec.container).await?;
        Ok(None)
    } else {
        engine.start_attached(id, &spec.container).await.map(Some)
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn ended_by(cause: StopCause, stopped: Stopped, output_failure: Option<io::Error>) -> End {
    let failure = output_failure.map(|failure| {
        let reason = match cause {
            StopCause::ReaderGone => "the reader of the output has gone, so the command was stopped".to_owned(),
            _ => format!("the output can't be written: {failure}"),
        };
        Error::new(ErrorKind::OutputFailed, reason).with_source(failure)
    });
    let error = match cause {
        StopCause::Cancelled => {
            let error = Error::new(ErrorKind::Interrupted, "dexec was interrupted and stopped the command");
            Some(error.with_hint(&failure.map(|failure| failure.to_string()).unwrap_or_default()))
        }
        _ => failure,
    };
    End::Stopped {
        cause,
        signal: stopped.signal,
        orphaned: stopped.orphaned,
        error,
    }
}

fn interrupted_early() -> End {
    End::Lost {
        error: Error::new(
            ErrorKind::Interrupted,
            "dexec was interrupted before the command was started",
        ),
        // What a shell says of a command that SIGINT has ended.
        code: 130,
        may_run: false,
    }
}
