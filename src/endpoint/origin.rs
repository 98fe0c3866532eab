//! Why an endpoint was chosen.

use std::fmt;

use super::address::DOCKER_SOCKET;

/// Why an [`Endpoint`](crate::Endpoint) was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The caller named it.
    Given,
    /// The environment variable `DOCKER_HOST` names it.
    DockerHost,
    /// It is the endpoint of a docker context.
    Context {
        /// The context's name.
        name: String,
        /// What chose the context, as text for messages.
        chosen: &'static str,
    },
    /// It is Docker's default address.
    Default,
    /// Podman's environment variable `CONTAINER_HOST` names it, and Docker's own socket does not exist.
    ContainerHost,
    /// It is a well-known socket of the engine named here, and those with higher precedence do not exist.
    WellKnown(&'static str),
}

impl Origin {
    /// Whether docker would not have used this endpoint.
    pub(crate) fn is_beyond_docker(&self) -> bool {
        matches!(self, Self::ContainerHost | Self::WellKnown(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as given"),
            Self::DockerHost => f.write_str("from DOCKER_HOST"),
            Self::Context { name, chosen } => write!(f, "docker's context `{name}`, {chosen}"),
            Self::Default => f.write_str("Docker's default"),
            Self::ContainerHost => write!(f, "from CONTAINER_HOST, because {DOCKER_SOCKET} does not exist"),
            Self::WellKnown(engine) => {
                write!(f, "{engine}, chosen because {DOCKER_SOCKET} does not exist")
            }
        }
    }
}
