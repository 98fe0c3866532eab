//! Why it is uncertain that a command has ended, and what the stop was doing.

use std::fmt;

use thiserror::Error;

use crate::error::{Error, ErrorKind};

/// Why a stop can't confirm that a command has ended.
#[derive(Debug, Error)]
pub(super) enum StopError {
    /// In this case, no process of the command is left.
    #[error("the container has ended")]
    ContainerEnded,
    #[error("the container is paused, and nothing can be run in it: unpause it first")]
    Paused,
    #[error("{0}")]
    NoAgent(String),
    #[error("{0} could not be ended")]
    Left(String),
    #[error("no user that dexec can run as in the container is allowed to signal {0}")]
    NotPermitted(String),
    #[error("the engine reports the command as running, but none of its processes can be found in the container")]
    Unseen,
    #[error("it took too long to {0}")]
    Late(Step),
    /// The processes were killed, but the time was over before they were seen to end.
    #[error("it took too long to end {0}")]
    LateEnd(String),
    #[error("{}", .0.cause())]
    Api(Error),
}

impl From<Error> for StopError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::ContainerNotFound | ErrorKind::ContainerNotRunning | ErrorKind::ContainerRestarting => {
                Self::ContainerEnded
            }
            _ => Self::Api(error),
        }
    }
}

/// What a stop is doing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Step {
    #[default]
    Ask,
    PutHelper,
    StartHelper,
    StartShell,
    Attribution,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask => "ask the engine for the command's container",
            Self::PutHelper => "copy dexec's helper into the container",
            Self::StartHelper => "start dexec's helper in the container",
            Self::StartShell => "start the container's shell",
            Self::Attribution => "inspect the container's processes",
        })
    }
}
