//! The parts of the engines' responses that dexec uses.

use std::collections::BTreeMap;
use std::fmt;

use hyper::header::HeaderMap;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::container::{Container, ContainerDetails};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerInspect {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    config: Option<Config>,
    pub(super) state: State,
    #[serde(default)]
    pub(super) restart_count: i64,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    image: String,
    /// Docker sends `null` if there are none.
    #[serde(rename = "ExecIDs", default)]
    exec_ids: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    user: String,
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

/// The maximum number of execs that are inspected.
const MAX_EXECS: usize = 200;

impl State {
    pub(super) fn is_paused(&self) -> bool {
        self.status == "paused"
    }

    pub(super) fn is_restarting(&self) -> bool {
        self.status == "restarting"
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused")
    }
}

impl ContainerInspect {
    pub(super) fn has_restart_policy(&self) -> bool {
        !matches!(self.host_config.restart_policy.name.as_str(), "" | "no")
    }

    /// Returns the id of the container's image if it can be part of a request's path.
    pub(super) fn image_id(&self) -> Option<&str> {
        let digest = self.image.strip_prefix("sha256:").unwrap_or(&self.image);
        let is_id = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(self.image.as_str())
    }

    pub(super) fn exec_ids(self) -> impl Iterator<Item = String> {
        self.exec_ids.into_iter().flatten().take(MAX_EXECS)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    #[serde(default)]
    pub(super) architecture: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Processes {
    processes: Vec<Vec<String>>,
    titles: Vec<String>,
}

impl Processes {
    /// Returns the rows, with as many columns as there are titles: Docker splits rows at every white space.
    pub(super) fn rows(self) -> Vec<Vec<String>> {
        let columns = self.titles.len().max(1);
        self.processes
            .into_iter()
            .map(|row| {
                let words: Vec<&str> = row.iter().flat_map(|cell| cell.split_ascii_whitespace()).collect();
                let (cells, last) = words.split_at(words.len().min(columns - 1));
                cells
                    .iter()
                    .map(|cell| (*cell).to_owned())
                    .chain([last.join(" ")])
                    .collect()
            })
            .collect()
    }
}

/// What an engine reports about a file in a container, in a header.
#[derive(Debug, Deserialize)]
pub(super) struct PathStat {
    /// The bits of Go's `fs.FileMode`.
    mode: u32,
}

impl PathStat {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        use base64::Engine as _;

        let header = headers.get("x-docker-container-path-stat")?;
        let json = base64::engine::general_purpose::STANDARD.decode(header).ok()?;
        serde_json::from_slice(&json).ok()
    }

    pub(super) fn is_open_to_others(&self) -> bool {
        const STICKY: u32 = 1 << 20;
        self.mode & 0o022 != 0 && self.mode & STICKY == 0
    }
}

impl From<ContainerInspect> for ContainerDetails {
    fn from(inspected: ContainerInspect) -> Self {
        Self {
            id: inspected.id,
            name: bare(inspected.name),
            user: inspected.config.unwrap_or_default().user,
        }
    }
}

/// Returns a name without the slash that engines put in front of it.
fn bare(name: String) -> String {
    match name.strip_prefix('/') {
        Some(bare) => bare.to_owned(),
        None => name,
    }
}

/// The maximum number of containers in a list; no engine has more. A response of the maximum size with the shortest
/// possible entries would take ten times its size in memory.
const MAX_CONTAINERS: usize = 100_000;

#[derive(Debug)]
pub(super) struct ContainerSummaries(pub(super) Vec<Container>);

impl<'de> Deserialize<'de> for ContainerSummaries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Containers;

        impl<'de> Visitor<'de> for Containers {
            type Value = ContainerSummaries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of containers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut listed: A) -> Result<ContainerSummaries, A::Error> {
                let mut containers = Vec::new();
                while let Some(container) = listed.next_element::<ContainerSummary>()? {
                    if containers.len() == MAX_CONTAINERS {
                        return Err(A::Error::custom(format!(
                            "there are more than {MAX_CONTAINERS} containers"
                        )));
                    }
                    containers.push(container.into());
                }
                Ok(ContainerSummaries(containers))
            }
        }

        deserializer.deserialize_seq(Containers)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerSummary {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
    /// Podman sends `null` if there are none.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl From<ContainerSummary> for Container {
    fn from(listed: ContainerSummary) -> Self {
        let mut labels = listed.labels.unwrap_or_default();
        Self {
            id: listed.id,
            name: bare(listed.names.into_iter().next().unwrap_or_default()),
            image: listed.image,
            is_running: listed.state == "running",
            state: listed.state,
            compose_project: labels.remove("com.docker.compose.project"),
            compose_service: labels.remove("com.docker.compose.service"),
        }
    }
}

/// The fields of an exec's inspect response that are used. The others include the command line, which may contain
/// secrets.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExecInspect {
    #[serde(rename = "ContainerID")]
    container_id: Option<String>,
    exit_code: Option<i64>,
    pid: Option<i64>,
    running: Option<bool>,
}

/// Removes the command line from an exec's inspect response.
pub(super) fn without_command(answer: &[u8]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&serde_json::from_slice::<ExecInspect>(answer)?)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Info {
    pub(super) containers_running: u64,
    /// Docker sends `null` if there are none.
    security_options: Option<Vec<String>>,
    /// Podman has this field in addition to the security options.
    #[serde(default)]
    rootless: bool,
}

impl Info {
    pub(super) fn is_rootless(&self) -> bool {
        let mut options = self.security_options.iter().flatten();
        self.rootless || options.any(|option| option == "name=rootless")
    }
}
