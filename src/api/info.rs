//! What an engine tells of itself.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, sanitize_line};

use crate::transport::EngineKind;

use super::error::ApiError;
use super::http::{retried, within_time};
use super::operation::Operation;
use super::suggest::MAX_NAME_LEN;
use super::{Api, models};

/// What an engine tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineInfo {
    /// `Docker` or `Podman`; its own name where it is neither.
    pub name: String,
    /// The engine's version, such as `28.5.1`.
    pub version: String,
    /// The version of the Docker Engine API that it speaks by itself, such as `1.51`.
    pub api_version: String,
    /// Whether it runs without root; `None` where a rule of the operator keeps it from telling.
    pub is_rootless: Option<bool>,
    /// How many containers run; `None` where a rule of the operator keeps it from telling.
    pub running_containers: Option<u64>,
    /// What leads to the engine at the far end of an ssh address that does not say it: `docker`, or the path of a socket.
    pub far_end: Option<String>,
    /// How long a small question and its answer take over a connection that is open.
    pub round_trip: Duration,
}

impl Api {
    /// Asks the engine about itself.
    pub(crate) async fn info(&self) -> Result<EngineInfo, Error> {
        let error =
            |operation: Operation| move |refusal: ApiError| refusal.into_error(operation, self.endpoint(), None);
        let version = retried(|| self.docker.version())
            .await
            .map_err(error(Operation::Version))?;
        let info = match self.get::<models::Info>("/info").await.map_err(error(Operation::Info)) {
            Ok(info) => Some(info),
            Err(error) if error.kind() == ErrorKind::RefusedByPolicy => None,
            Err(error) => return Err(error),
        };
        let asked = Instant::now();
        let pong = within_time(self.docker.ping()).await;
        pong.map_err(error(Operation::Ping))?;
        let round_trip = asked.elapsed();
        let name = match self.kind() {
            EngineKind::Docker => "Docker",
            EngineKind::Podman => "Podman",
            EngineKind::Unknown => version
                .components
                .iter()
                .flatten()
                .next()
                .map_or("", |component| component.name.as_str()),
        };
        Ok(EngineInfo {
            name: sanitize_line(name, MAX_NAME_LEN),
            version: sanitize_line(&version.version.unwrap_or_default(), MAX_NAME_LEN),
            api_version: sanitize_line(&version.api_version.unwrap_or_default(), MAX_NAME_LEN),
            is_rootless: info.as_ref().map(models::Info::is_rootless),
            running_containers: info.map(|info| info.containers_running),
            far_end: self.transport.far_end(),
            round_trip,
        })
    }
}
