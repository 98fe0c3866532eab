//! What an engine tells of itself.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, shown};

use super::refusal::Refusal;
use super::{Engine, LONGEST_NAME, Make, answers, retried, within_time};

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

impl Engine {
    /// Asks the engine about itself.
    ///
    /// # Errors
    ///
    /// The engine can't be reached, is none, or refuses.
    pub async fn info(&self) -> Result<EngineInfo, Error> {
        let error = |what: &'static str| move |refusal: Refusal| refusal.into_error(what, self.endpoint(), None);
        let version = retried(|| self.docker.version())
            .await
            .map_err(error("tell its version"))?;
        let info = match self
            .get::<answers::Info>("/info")
            .await
            .map_err(error("tell its state"))
        {
            Ok(info) => Some(info),
            Err(error) if error.kind() == ErrorKind::RefusedByPolicy => None,
            Err(error) => return Err(error),
        };
        let asked = Instant::now();
        let pong = within_time(self.docker.ping()).await;
        pong.map_err(error("answer a ping"))?;
        let round_trip = asked.elapsed();
        let name = match self.make() {
            Make::Docker => "Docker",
            Make::Podman => "Podman",
            Make::Unknown => version
                .components
                .iter()
                .flatten()
                .next()
                .map_or("", |component| component.name.as_str()),
        };
        Ok(EngineInfo {
            name: shown(name, LONGEST_NAME),
            version: shown(&version.version.unwrap_or_default(), LONGEST_NAME),
            api_version: shown(&version.api_version.unwrap_or_default(), LONGEST_NAME),
            is_rootless: info.as_ref().map(answers::Info::is_rootless),
            running_containers: info.map(|info| info.containers_running),
            far_end: self.transport.far_end(),
            round_trip,
        })
    }
}
