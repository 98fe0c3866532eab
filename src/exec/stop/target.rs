//! The command that is to be stopped.

use std::time::Duration;

use crate::api::ExecId;
use crate::marker::Marker;
use crate::request::ContainerName;

use super::agents::Whose;
use super::clock::Moment;

/// Identifies the command that is to be stopped.
#[derive(Clone, Debug)]
pub(in crate::exec) struct Target {
    pub(in crate::exec) exec: ExecId,
    /// The container, as the caller specified it.
    pub(in crate::exec) container: ContainerName,
    /// The requested user.
    pub(in crate::exec) user: Option<String>,
    pub(in crate::exec) is_privileged: bool,
    pub(in crate::exec) marker: Marker,
    pub(in crate::exec) kill_after: Duration,
    /// A moment just before the start request is sent.
    pub(in crate::exec) since: Moment,
    /// Whether the engine has confirmed the start.
    pub(in crate::exec) is_answered: bool,
}

impl Target {
    /// Returns which agents can be used for this command in `container`.
    pub(super) fn whose(&self, container: ContainerName) -> Whose {
        Whose {
            container,
            user: self.user.clone(),
            is_privileged: self.is_privileged,
        }
    }
}
