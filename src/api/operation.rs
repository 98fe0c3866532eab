//! The calls that are made, as messages name them.

use std::fmt;

use crate::error::ErrorKind;

/// A call to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    ListContainers,
    InspectContainer,
    ListProcesses,
    CreateExec,
    StartExec,
    InspectExec,
    StatFile,
    UploadFile,
    Version,
    Info,
    Ping,
}

impl Operation {
    /// Whether a command may run when nothing is known of the call's result.
    pub(super) fn may_have_started(self) -> bool {
        self == Self::StartExec
    }

    /// The kind of the error when the call was not answered.
    pub(super) fn unanswered_kind(self) -> ErrorKind {
        if self.may_have_started() {
            ErrorKind::ConnectionLost
        } else {
            ErrorKind::EngineUnreachable
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ListContainers => "list containers",
            Self::InspectContainer => "inspect the container",
            Self::ListProcesses => "list the container's processes",
            Self::CreateExec => "create the command",
            Self::StartExec => "start the command",
            Self::InspectExec => "inspect the command",
            Self::StatFile => "describe a file of the container",
            Self::UploadFile => "put a file into the container",
            Self::Version => "tell its version",
            Self::Info => "tell its state",
            Self::Ping => "answer a ping",
        })
    }
}
