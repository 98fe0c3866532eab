//! A created command, from its start until it ends or is stopped.

use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::outcome::{End, StopCause};
use crate::output::{Output, Stream};
use crate::request::{ExecSpec, Stdin};
use crate::transport::Upgraded;

use super::context::Context;
use super::end::{lost, resolve_exit};
use super::pump::{OutputPrefix, StreamEnd, StreamError, pump};
use super::stop::{Stopped, Target};

/// How long to wait for the start of a cancelled command.
const STARTING_TIMEOUT: Duration = Duration::from_secs(5);

/// When the result of a stopped command is due, after the end of the grace period.
const ANSWERING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the rest of a stopped command's output.
const DRAINING_TIMEOUT: Duration = Duration::from_secs(5);

/// The same if the command was cancelled, or if a process may be left that holds the output open.
const SHORT_DRAINING_TIMEOUT: Duration = Duration::from_millis(500);

/// A created command. If it is dropped before it has ended, it is stopped in the background.
pub(super) struct Command<'a> {
    context: &'a Context,
    spec: ExecSpec,
    target: Target,
    /// Whether the command no longer has to be stopped.
    has_ended: bool,
}

/// The result of a start.
enum Started {
    Attached(Upgraded),
    /// There is nothing left to wait for.
    Ended(End),
}

impl<'a> Command<'a> {
    pub(super) fn new(context: &'a Context, spec: ExecSpec, target: Target) -> Self {
        Self {
            context,
            spec,
            target,
            has_ended: false,
        }
    }

    /// Starts the command and waits until it ends. An error means that nothing was started.
    pub(super) async fn live<O: Output>(
        mut self,
        stdin: Option<Stdin>,
        time: Option<Duration>,
        output: &mut O,
        cancel: &CancellationToken,
    ) -> Result<End, Error> {
        let end = match self.start(cancel).await {
            Ok(Started::Attached(attached)) => Ok(self.stream(attached, stdin, time, output, cancel).await),
            Ok(Started::Ended(end)) => Ok(end),
            Err(error) => Err(error),
        };
        self.has_ended = true;
        end
    }

    async fn start(&mut self, cancel: &CancellationToken) -> Result<Started, Error> {
        // A start that was sent can't be cancelled.
        let started = {
            let mut starting = pin!(self.send_start());
            tokio::select! {
                biased;
                started = &mut starting => Some(started),
                () = cancel.cancelled() => timeout(STARTING_TIMEOUT, starting).await.ok(),
            }
        };
        self.target.is_answered = matches!(started, Some(Ok(_)));
        match started {
            Some(Ok(Some(attached))) => Ok(Started::Attached(attached)),
            Some(Err(error)) if error.kind() == ErrorKind::ConnectionLost => {
                // The command is stopped because nobody would receive its output or its exit code.
                let stopped = Box::pin(self.context.stopper.stop(&self.target)).await;
                Ok(Started::Ended(lost(error.cause(), stopped.orphaned.is_some())))
            }
            Some(Err(error)) => Err(error),
            _ if cancel.is_cancelled() => {
                let stopped = Box::pin(self.context.stopper.stop(&self.target)).await;
                Ok(Started::Ended(ended_by(StopCause::Cancelled, stopped, None)))
            }
            _ => Ok(Started::Ended(End::Detached {
                exec_id: self.target.exec.clone().into_string(),
            })),
        }
    }

    /// Returns `None` for a detached command, which has no connection.
    async fn send_start(&self) -> Result<Option<Upgraded>, Error> {
        let (id, spec) = (&self.target.exec, &self.spec);
        if spec.is_detached {
            self.context.api.start_detached(id, spec).await?;
            Ok(None)
        } else {
            self.context.api.start_attached(id, spec).await.map(Some)
        }
    }

    /// Transfers the command's data until the command ends or has to be stopped.
    async fn stream<O: Output>(
        &self,
        attached: Upgraded,
        stdin: Option<Stdin>,
        time: Option<Duration>,
        output: &mut O,
        cancel: &CancellationToken,
    ) -> End {
        let deadline = time.map(|time| Instant::now() + time);
        let mut seen = OutputPrefix::default();
        let is_writing = AtomicBool::new(false);
        let stopped;
        let streamed = {
            let mut output = ObservedOutput {
                output,
                is_writing: &is_writing,
            };
            let whose = (&self.context.api, &self.target.exec);
            let input = (stdin, self.spec.terminal.as_ref());
            let mut pumping = pin!(pump(attached, input, &mut output, &mut seen, whose));
            let (cause, streamed) = tokio::select! {
                biased;
                streamed = &mut pumping => (output_cause(&streamed), Some(streamed)),
                () = cancel.cancelled() => (Some(StopCause::Cancelled), None),
                () = passed(deadline) => (Some(StopCause::Timeout), None),
            };
            match cause {
                None => {
                    stopped = None;
                    streamed
                }
                Some(cause) => {
                    let (done, streamed) = self.stop(cause, pumping, streamed).await;
                    stopped = Some((cause, done));
                    streamed
                }
            }
        };
        match (stopped, streamed) {
            (Some((cause, stopped)), Some(Err(StreamError::Output(error)))) => ended_by(cause, stopped, Some(error)),
            (Some((cause, stopped)), Some(_)) if !stopped.is_needless() => ended_by(cause, stopped, None),
            (Some((cause, stopped)), None) if stopped.orphaned.is_some() => ended_by(cause, stopped, None),
            (Some((cause, stopped)), None) if !stopped.is_needless() => {
                let is_stuck = is_writing.load(Ordering::Relaxed);
                let stuck = || io::Error::new(io::ErrorKind::TimedOut, "its reader does not read the rest");
                ended_by(cause, stopped, is_stuck.then(stuck))
            }
            (None, Some(Ok(StreamEnd::Detached))) => End::LeftRunning {
                exec_id: self.target.exec.clone().into_string(),
            },
            (stopped, streamed) => {
                let streamed = streamed.map_or(Ok(()), |streamed| streamed.map(drop));
                let (spec, target) = (&self.spec, &self.target);
                let id = &target.exec;
                let end = resolve_exit(
                    &self.context.api,
                    spec,
                    Some((&self.context.stopper, target)),
                    id,
                    streamed,
                    &seen,
                )
                .await;
                match (stopped, end) {
                    // As far as is known, it had not ended on its own, so the cause of the stop determines the result.
                    (Some((cause, stopped)), End::ConnectionLost { error, may_run }) => {
                        let orphaned = may_run.then(|| error.cause().to_owned());
                        ended_by(cause, Stopped { orphaned, ..stopped }, None)
                    }
                    (_, end) => end,
                }
            }
        }
    }

    /// Stops the command while its output is still transferred: it may write while it ends, and may block if nobody
    /// reads.
    async fn stop(
        &self,
        cause: StopCause,
        mut pumping: Pin<&mut impl Future<Output = Result<StreamEnd, StreamError>>>,
        mut streamed: Option<Result<StreamEnd, StreamError>>,
    ) -> (Stopped, Option<Result<StreamEnd, StreamError>>) {
        let latest = Instant::now() + self.target.kill_after.saturating_add(ANSWERING_TIMEOUT);
        // This is on the heap because few commands are stopped.
        let mut stopping = Box::pin(self.context.stopper.stop(&self.target));
        let stopped = loop {
            tokio::select! {
                stopped = &mut stopping => break stopped,
                end = &mut pumping, if streamed.is_none() => streamed = Some(end),
            }
        };
        if streamed.is_none() {
            let is_short = stopped.orphaned.is_some() || cause == StopCause::Cancelled;
            let time = if is_short {
                SHORT_DRAINING_TIMEOUT
            } else {
                DRAINING_TIMEOUT
            };
            streamed = timeout_at(latest.min(Instant::now() + time), pumping).await.ok();
        }
        (stopped, streamed)
    }
}

/// An output that records whether it is being written to.
struct ObservedOutput<'a, O> {
    output: &'a mut O,
    is_writing: &'a AtomicBool,
}

impl<O: Output> Output for ObservedOutput<'_, O> {
    fn started(&mut self) -> io::Result<()> {
        self.output.started()
    }

    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        self.is_writing.store(true, Ordering::Relaxed);
        let written = self.output.write(stream, bytes).await;
        self.is_writing.store(false, Ordering::Relaxed);
        written
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.is_writing.store(true, Ordering::Relaxed);
        let flushed = self.output.flush().await;
        self.is_writing.store(false, Ordering::Relaxed);
        flushed
    }

    async fn closed(&mut self) -> io::Error {
        self.output.closed().await
    }
}

impl Drop for Command<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            let (stopper, target) = (self.context.stopper.clone(), self.target.clone());
            let stopping = async move { stopper.stop(&target).await.orphaned };
            self.context.stops.spawn(stopping, self.spec.container.as_str());
        }
    }
}

/// Why a command must be stopped after its output ended like this, if it must.
fn output_cause(streamed: &Result<StreamEnd, StreamError>) -> Option<StopCause> {
    match streamed {
        Err(StreamError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Some(StopCause::ReaderGone),
        Err(StreamError::Output(_)) => Some(StopCause::OutputFailed),
        _ => None,
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
            StopCause::ReaderGone => "the reader closed the output".to_owned(),
            _ => format!("the output can't be written: {failure}"),
        };
        Error::new(ErrorKind::OutputFailed, reason).with_source(failure)
    });
    let error = match cause {
        StopCause::Cancelled => {
            let error = Error::new(ErrorKind::Interrupted, "dexec was interrupted");
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

pub(super) fn interrupted_early() -> End {
    End::Cancelled(Error::new(
        ErrorKind::Interrupted,
        "dexec was interrupted before the command was started",
    ))
}
