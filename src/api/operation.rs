//! The calls to an engine, as messages name them.

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
    /// Returns whether the command may be running if the result of the call is unknown.
    pub(super) fn may_have_started(self) -> bool {
        self == Self::StartExec
    }

    /// Returns the kind of the error if there was no response to the call.
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
            Self::StatFile => "describe a file in the container",
            Self::UploadFile => "copy a file into the container",
            Self::Version => "report its version",
            Self::Info => "report its state",
            Self::Ping => "respond to a ping",
        })
    }
}
