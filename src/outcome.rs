//! How a command ended, and what it wrote.

use crate::error::{Error, Remedy};
use crate::exit_code;
use crate::output::Captured;

/// The result of one command whose output was captured.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How the command ended.
    pub end: End,
    /// What the command wrote to standard output.
    pub stdout: Captured,
    /// What the command wrote to standard error.
    pub stderr: Captured,
}

impl Outcome {
    /// Creates an outcome from its parts.
    #[must_use]
    pub fn new(end: End, stdout: Captured, stderr: Captured) -> Self {
        Self { end, stdout, stderr }
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum End {
    /// The command ran and ended with this code: its own, or 128+n if signal n ended it.
    Exited {
        /// The code, as the engine reports it.
        code: i64,
    },
    /// The command ran and ended with this code, but the end of its output may be missing: the TLS connection was
    /// closed without TLS's closing message, so the output may have been cut off in transit.
    ExitedUnsealed {
        /// The code, as the engine reports it.
        code: i64,
        /// Why the end of the output may be missing.
        reason: String,
    },
    /// The engine accepted the command, but the container's runtime or the kernel could not start it.
    ///
    /// The runtime's message is in the output: on standard output if Docker created no process, otherwise on standard
    /// error.
    StartFailed {
        /// The engine's code for this: 125 to 128, or 1 or 255 if the kernel did not execute the program.
        code: i64,
        /// Why the command could not be started.
        error: Error,
    },
    /// The command was started in detached mode.
    Detached {
        /// The engine's id for the command.
        exec_id: String,
    },
    /// The terminal's detach keys were typed, and the command was left running.
    LeftRunning {
        /// The engine's id for the command.
        exec_id: String,
    },
    /// The engine, the endpoint or the request failed; nothing was run.
    NotRun(Error),
    /// The command was cancelled before it was started; nothing was run.
    Cancelled(Error),
    /// The command was stopped before it ended: its time was over, the caller cancelled it, or its output could not be
    /// passed on.
    Stopped {
        /// Why the command was stopped.
        cause: StopCause,
        /// The strongest signal that was sent to its processes; `None` if none could be sent.
        signal: Option<Signal>,
        /// Why one of its processes may still be running; `None` if all are known to have ended.
        orphaned: Option<String>,
        /// The cause as an error; a timeout alone is not an error.
        error: Option<Error>,
    },
    /// The container stopped, restarted or was removed while the command ran, which ended the command.
    ContainerStopped {
        /// The engine's code for the command, or [`exit_code::UNKNOWN`] if it has none.
        code: i64,
        /// What happened to the container.
        error: Error,
    },
    /// The connection to the engine was lost, or the engine can't say how the command ended. If the start request was
    /// not answered, the command may not have started.
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
    /// Its timeout expired.
    Timeout,
    /// The caller cancelled it.
    Cancelled,
    /// The reader of its output is gone.
    ReaderGone,
    /// Its output could not be passed on.
    OutputFailed,
}

/// A signal that dexec stops a command with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGTERM: asks the process to end.
    Term,
    /// SIGKILL: ends the process.
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
    /// The exit code to report: the command's own if it has one.
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

    /// What went wrong outside the command itself, if anything did.
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

    /// Returns the same end with different texts for the remedies of its error: see [`Error::reworded`].
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

    /// Returns a message that says more than the exit code: what went wrong, and what may still be running.
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
