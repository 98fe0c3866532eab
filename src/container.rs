//! Containers, as an engine tells of them.

/// One container, as a listing shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name, without the slash that engines put before it.
    pub name: String,
    /// The image it was made from, as it was named then.
    pub image: String,
    /// Whether it runs; a paused one does not.
    pub is_running: bool,
    /// The engine's word for its state, such as `running`, `paused` or `exited`.
    pub state: String,
    /// The compose project that it belongs to, by the label that compose gives it.
    pub compose_project: Option<String>,
    /// The service that it is in that project.
    pub compose_service: Option<String>,
}

/// One container, as it is known by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerDetails {
    /// The full id.
    pub id: String,
    /// The name, without the slash that engines put before it.
    pub name: String,
    /// The user that its commands run as unless told otherwise, as it was configured; empty for root.
    pub user: String,
}
