//! How a command ended, and what it wrote.

use crate::error::{Error, Remedy};
use crate::exit_code;
use crate::output::Captured;

/// What came of one command whose output was captured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What it wrote to standard output.
    pub stdout: Captured,
    /// What it wrote to standard error.
    pub stderr: Captured,
}

impl Outcome {
    /// An outcome from its parts.
    #[must_use]
    pub fn new(end: End, stdout: Captured, stderr: Captured) -> Self {
        Self { end, stdout, stderr }
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum End {
    /// It ran, and ended with this code: its own, or 128+n when signal n ended it.
    Exited {
        /// The code, as the engine tells it.
        code: i64,
    },
    /// It ran, and ended with this code, and the end of its output may be missing: the TLS connection was closed without
    /// TLS's own end, so that it may have been cut on the way.
    ExitedUnsealed {
        /// The code, as the engine tells it.
        code: i64,
        /// Why the end of the output may be missing.
        reason: String,
    },
    /// The engine accepted it and the container's runtime, or the kernel, could not start it.
    ///
    /// The runtime's words are in the output: on standard error, but on standard output where Docker made no process.
    StartFailed {
        /// The code that the engine gives for it: 125 to 128, or 1 or 255 where the kernel did not execute the program.
        code: i64,
        /// Why.
        error: Error,
    },
    /// It was started, and left to itself.
    Detached {
        /// The engine's id of it.
        exec_id: String,
    },
    /// The detach keys of its terminal were typed, and it was left running.
    LeftRunning {
        /// The engine's id of it.
        exec_id: String,
    },
    /// The engine, the endpoint or the request is at fault; nothing was run.
    NotRun(Error),
    /// It was cancelled before it was started; nothing was run.
    Cancelled(Error),
    /// It was stopped before its own end, because the caller asked for it or its output had nowhere to go.
    Stopped {
        /// Why it was stopped.
        cause: StopCause,
        /// The strongest signal that its processes were sent; `None` when none could be.
        signal: Option<Signal>,
        /// Why a process of it may still be running; `None` when all are known to have ended.
        orphaned: Option<String>,
        /// The cause as a failure; a timeout is none.
        error: Option<Error>,
    },
    /// Its container stopped, was restarted or was removed while it ran, which ended it.
    ContainerStopped {
        /// The code that the engine gives for the command, or [`exit_code::UNKNOWN`] where it gives none.
        code: i64,
        /// What happened to the container.
        error: Error,
    },
    /// The connection to the engine was lost, or the engine can't tell how the command ended. Where the start was not
    /// answered the command may not have begun.
    ConnectionLost {
        /// What happened.
        error: Error,
        /// Whether the command may still be running.
        may_run: bool,
    },
}

/// Why a command was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopCause {
    /// Its time was over.
    Timeout,
    /// The caller cancelled it.
    Cancelled,
    /// Nobody reads its output any more.
    ReaderGone,
    /// Its output could not be handed on.
    OutputFailed,
}

/// A signal with which a command is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGTERM: it is asked to end.
    Term,
    /// SIGKILL: it is ended.
    Kill,
}

impl Signal {
    /// The name, such as `SIGTERM`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Kill => "SIGKILL",
        }
    }
}

impl End {
    /// The exit code to answer with: the command's own where it has one.
    #[must_use]
    pub fn exit_code(&self) -> i64 {
        match self {
            Self::Exited { code }
            | Self::ExitedUnsealed { code, .. }
            | Self::StartFailed { code, .. }
            | Self::ContainerStopped { code, .. } => *code,
            Self::Detached { .. } => 0,
            Self::NotRun(_) | Self::LeftRunning { .. } => exit_code::FAILURE,
            Self::Cancelled(_) => exit_code::CANCELLED,
            Self::ConnectionLost { .. } => exit_code::UNKNOWN,
            Self::Stopped { cause, .. } => match cause {
                StopCause::Timeout => exit_code::TIMED_OUT,
                StopCause::Cancelled => exit_code::CANCELLED,
                StopCause::ReaderGone => exit_code::READER_GONE,
                StopCause::OutputFailed => exit_code::FAILURE,
            },
        }
    }

    /// What went wrong outside the command itself.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Exited { .. } | Self::ExitedUnsealed { .. } | Self::Detached { .. } | Self::LeftRunning { .. } => {
                None
            }
            Self::StartFailed { error, .. }
            | Self::NotRun(error)
            | Self::Cancelled(error)
            | Self::ContainerStopped { error, .. }
            | Self::ConnectionLost { error, .. } => Some(error),
            Self::Stopped { error, .. } => error.as_ref(),
        }
    }

    /// The same end with other words for what to do about its failure: see [`Error::reworded`].
    #[must_use]
    pub fn reworded(mut self, words: impl Fn(&Remedy) -> String) -> Self {
        match &mut self {
            Self::Exited { .. }
            | Self::ExitedUnsealed { .. }
            | Self::Detached { .. }
            | Self::LeftRunning { .. }
            | Self::Stopped { error: None, .. } => {}
            Self::StartFailed { error, .. }
            | Self::NotRun(error)
            | Self::Cancelled(error)
            | Self::ContainerStopped { error, .. }
            | Self::ConnectionLost { error, .. }
            | Self::Stopped { error: Some(error), .. } => error.reword(words),
        }
        self
    }

    /// What is to be said beyond the exit code: what went wrong, and what may be left running.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let error = self.error().map(Error::to_string);
        let orphaned = match self {
            Self::Stopped { orphaned: None, .. } => {
                return error.map(|error| format!("{error}. The command was stopped"));
            }
            Self::Stopped {
                orphaned: Some(reason), ..
            } => format!("The command may still be running in the container: {reason}"),
            Self::ExitedUnsealed { reason, .. } => return Some(reason.clone()),
            _ => return error,
        };
        Some(match error {
            Some(error) => format!("{error}. {orphaned}"),
            None => orphaned,
        })
    }
}
