//! The command that a stop ends.

use std::time::Duration;

use crate::api::ExecId;
use crate::marker::Marker;
use crate::request::ContainerName;

use super::agents::Whose;
use super::clock::Moment;

/// The command that is to be ended.
#[derive(Clone, Debug)]
pub(in crate::exec) struct Target {
    pub(in crate::exec) exec: ExecId,
    /// As the caller named it.
    pub(in crate::exec) container: ContainerName,
    /// The user that was asked for.
    pub(in crate::exec) user: Option<String>,
    pub(in crate::exec) is_privileged: bool,
    pub(in crate::exec) marker: Marker,
    pub(in crate::exec) kill_after: Duration,
    /// When the start was sent.
    pub(in crate::exec) since: Moment,
    /// Whether the engine has answered the start.
    pub(in crate::exec) is_answered: bool,
}

impl Target {
    /// The same, in the container with this id.
    pub(super) fn whose(&self, container: ContainerName) -> Whose {
        Whose {
            container,
            user: self.user.clone(),
            is_privileged: self.is_privileged,
        }
    }
}
