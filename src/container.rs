//! Containers, as reported by an engine.

/// A container in a list of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name, without the slash that engines put before it.
    pub name: String,
    /// The image that the container was created from, by the name it had then.
    pub image: String,
    /// Whether the container is running; false if it is paused.
    pub is_running: bool,
    /// The engine's name for the state, such as `running`, `paused` or `exited`.
    pub state: String,
    /// The compose project that the container belongs to, from its compose label.
    pub compose_project: Option<String>,
    /// The compose service that the container belongs to, from its compose label.
    pub compose_service: Option<String>,
}

/// The details of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerDetails {
    /// The full id.
    pub id: String,
    /// The name, without the slash that engines put before it.
    pub name: String,
    /// The configured user that commands run as by default; empty for root.
    pub user: String,
}
