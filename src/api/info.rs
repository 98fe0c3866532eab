//! What an engine reports about itself.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, sanitize_line};

use crate::transport::EngineKind;

use super::error::ApiError;
use super::http::{retried, within_time};
use super::operation::Operation;
use super::suggest::MAX_NAME_LEN;
use super::{Api, models};

/// What an engine reports about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineInfo {
    /// `Docker` or `Podman`, or the name that any other engine reports.
    pub name: String,
    /// The engine's version, such as `28.5.1`.
    pub version: String,
    /// The version of the Docker Engine API that the engine uses by default, such as `1.51`.
    pub api_version: String,
    /// Whether the engine runs without root; `None` if a policy of the operator refuses the request.
    pub is_rootless: Option<bool>,
    /// The number of running containers; `None` if a policy of the operator refuses the request.
    pub running_containers: Option<u64>,
    /// How the engine of an ssh address without a socket path was reached on the remote host: `docker`, or the path of
    /// a socket.
    pub far_end: Option<String>,
    /// How long a small request and its response take over an open connection.
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
