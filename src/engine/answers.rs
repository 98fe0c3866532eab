//! What is read of an engine's answers about containers.

use serde::Deserialize;

use super::Container;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub(super) state: State,
    #[serde(default)]
    pub(super) restart_count: i64,
    #[serde(default)]
    host_config: HostConfig,
}

/// Docker has seven states; Podman adds `stopped`, `stopping` and more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    restart_policy: RestartPolicy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RestartPolicy {
    name: String,
}

impl State {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }
}

impl Inspected {
    pub(super) fn has_restart_policy(&self) -> bool {
        !matches!(self.host_config.restart_policy.name.as_str(), "" | "no")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Self {
        let name = listed.names.into_iter().next().unwrap_or_default();
        Self {
            id: listed.id,
            name: name.trim_start_matches('/').to_owned(),
            image: listed.image,
            is_running: listed.state == "running",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    #[serde(default)]
    pub(super) arch: String,
}
