//! Asks the engine whether a container has ended. A runtime's message about it is not reliable, because it depends on
//! the moment.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::request::ContainerName;

use crate::transport::EngineKind;

use super::{Api, ContainerState, error};

/// The pauses before the first checks for the end of a container that ended together with a command.
const FIRST_LOOKS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(100)];

/// The pauses before further checks on engines other than Docker, if they list no live process of the container:
/// Podman was seen to report a container as running for more than 400 ms after its end.
const LATE_LOOKS: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

pub(crate) enum ContainerEnd {
    /// What happened to the container: `stopped` or `was removed`.
    Ended(&'static str),
    Runs,
}

impl Api {
    /// Returns whether a container has ended; `None` if that can't be determined.
    pub(crate) async fn container_end(&self, container: &ContainerName) -> Option<ContainerEnd> {
        if let Some(ended) = self.seen_to_end(container, &FIRST_LOOKS).await? {
            return Some(ended);
        }
        let is_certain = self.kind() == EngineKind::Docker || self.lists_processes(container).await;
        if !is_certain && let Some(ended) = self.seen_to_end(container, &LATE_LOOKS).await? {
            return Some(ended);
        }
        Some(ContainerEnd::Runs)
    }

    /// Checks the container's state after each of these pauses and returns its end, if there is one; the outer `None`
    /// means that the state can't be determined.
    async fn seen_to_end(&self, container: &ContainerName, looks: &[Duration]) -> Option<Option<ContainerEnd>> {
        for pause in looks {
            tokio::time::sleep(*pause).await;
            match self.container_state(container).await {
                Ok(ContainerState::Running | ContainerState::Paused) => {}
                Ok(ContainerState::NotRunning) => return Some(Some(ContainerEnd::Ended("stopped"))),
                Ok(ContainerState::Gone) => return Some(Some(ContainerEnd::Ended("was removed"))),
                Err(_) => return None,
            }
        }
        Some(None)
    }

    /// Returns whether the engine lists a live process of the container, which is more reliable than the container's
    /// state.
    async fn lists_processes(&self, container: &ContainerName) -> bool {
        let listed = self.processes(container, "pid,state").await;
        listed.is_ok_and(|rows| {
            rows.iter()
                .any(|row| row.last().is_some_and(|state| !state.starts_with('Z')))
        })
    }

    /// Replaces the error of a call or start by one about the container if the container's end is the cause: a runtime
    /// that is interrupted by this end reports whatever it was doing. The calls use `container`, and the message uses
    /// `name`.
    pub(crate) async fn with_true_cause(&self, error: Error, container: &ContainerName, name: &ContainerName) -> Error {
        let is_ended = match error.kind() {
            ErrorKind::ContainerNotRunning => true,
            ErrorKind::EngineError => {
                matches!(
                    Box::pin(self.container_end(container)).await,
                    Some(ContainerEnd::Ended(_))
                )
            }
            _ => false,
        };
        if !is_ended {
            return error;
        }
        let docker_text = error.docker_text().to_owned();
        let error = if self.restarts(container).await {
            Error::new(ErrorKind::ContainerRestarting, error::restarting(name.as_str()))
        } else if error.kind() == ErrorKind::EngineError {
            Error::new(ErrorKind::ContainerNotRunning, error::not_running(name.as_str()))
        } else {
            return error;
        };
        error.with_docker_text(docker_text)
    }
}
