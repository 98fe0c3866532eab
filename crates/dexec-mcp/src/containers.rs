//! The tool `containers`, which lists what `exec` can be used on.

use dexec::{Container, Error, ErrorKind};
use rmcp::model::{CallToolResult, ContentBlock};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Answers;
use crate::remedy;
use crate::server::Server;

/// The most containers in an answer. More would cost more tokens than they are worth.
const MOST: usize = 500;

/// The length of a short id, as docker shows it.
const SHORT_ID: usize = 12;

/// The most characters of a name or label; usual ones are shorter.
const LONGEST: usize = 255;

#[derive(Default, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerList {
    containers: Vec<Row>,
    /// Containers were left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    error_kind: Option<ErrorKind>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    name: String,
    image: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_service: Option<String>,
}

/// Lists the running and paused containers that the operator allows.
pub(crate) async fn list(server: &Server) -> CallToolResult {
    // The semaphore is never closed.
    let _place = server.listings.acquire().await;
    let listing = match server.engine.containers().await {
        Ok(containers) => ContainerList::of(containers, server),
        Err(error) => ContainerList::failed(&error.reworded(remedy::words)),
    };
    let mut result = CallToolResult::success(vec![ContentBlock::text(listing.text())]);
    result.is_error = Some(listing.error_kind.is_some());
    if server.settings.answers == Answers::Both {
        // All fields of a listing can be written as JSON.
        result.structured_content = serde_json::to_value(&listing).ok();
    }
    result
}

impl ContainerList {
    fn of(mut containers: Vec<Container>, server: &Server) -> Self {
        let policy = &server.settings.policy;
        containers.retain(|container| {
            let lives = container.is_running || matches!(container.state.as_str(), "paused" | "restarting");
            lives && policy.allows_container(&container.name, &container.id)
        });
        containers.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            is_truncated: containers.len() > MOST,
            containers: containers.into_iter().take(MOST).map(Row::from).collect(),
            ..Self::default()
        }
    }

    fn failed(error: &Error) -> Self {
        Self {
            message: Some(error.to_string()),
            error_kind: Some(error.kind()),
            ..Self::default()
        }
    }

    /// Returns a line for each container: name, state, image, id, and Compose's project and service.
    fn text(&self) -> String {
        if let Some(message) = &self.message {
            return message.clone();
        }
        let mut lines: Vec<String> = self.containers.iter().map(Row::line).collect();
        if lines.is_empty() {
            lines.push("[no container is running]".to_owned());
        }
        if self.is_truncated {
            lines.push(format!("[the first {MOST} are shown]"));
        }
        lines.join("\n")
    }
}

impl From<Container> for Row {
    fn from(container: Container) -> Self {
        Self {
            id: container.id.chars().take(SHORT_ID).collect(),
            name: shown(&container.name),
            image: shown(&container.image),
            state: shown(&container.state),
            compose_project: container.compose_project.as_deref().map(shown),
            compose_service: container.compose_service.as_deref().map(shown),
        }
    }
}

/// Names and labels may be very long and may contain line breaks.
fn shown(text: &str) -> String {
    let characters = text.chars().take(LONGEST);
    characters
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

impl Row {
    fn line(&self) -> String {
        let line = format!("{}  {}  {}  {}", self.name, self.state, self.image, self.id);
        match (&self.compose_project, &self.compose_service) {
            (Some(project), Some(service)) => format!("{line}  {project}/{service}"),
            _ => line,
        }
    }
}
