//! Whether a container has ended, asked of the engine: a runtime's words for that differ from moment to moment.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::request::ContainerName;

use crate::transport::EngineKind;

use super::{Api, ContainerState, error};

/// When to look again for the end of a container that ended together with a command.
const FIRST_LOOKS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(100)];

/// The same on Podman, where it can't be told by the container's processes: it was seen to call a container running for
/// more than 400 ms after its end.
const LATE_LOOKS: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

pub(crate) enum ContainerEnd {
    /// What happened to it.
    Ended(&'static str),
    Runs,
}

impl Api {
    /// What became of a container; `None` when that can't be known.
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

    /// The end that is seen in one of these looks, each after its pause; the outer `None` when that can't be known.
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

    /// Whether a process of the container lives, seen from outside: more is known of that than of the container's state.
    async fn lists_processes(&self, container: &ContainerName) -> bool {
        let listed = self.processes(container, "pid,state").await;
        listed.is_ok_and(|rows| {
            rows.iter()
                .any(|row| row.last().is_some_and(|state| !state.starts_with('Z')))
        })
    }

    /// The error of a call or start that failed for a reason without a name, or the container's end where that is the
    /// reason: a runtime that is interrupted by it says whatever it was doing. The container is asked about by `container`
    /// and called `name`.
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
