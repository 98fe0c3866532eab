//! The caller of a tool.

use std::net::SocketAddr;

use dexec::CancellationToken;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde::Serialize;

use crate::calls::HeldRoom;

/// The most characters of a client's name that are kept.
const MAX_CLIENT_LEN: usize = 200;

/// The HTTP connection on which a request arrived.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) address: SocketAddr,
    /// Cancelled when the client has disconnected, or has its answer.
    pub(crate) gone: CancellationToken,
    /// Held until the request has been handled.
    pub(crate) _room: HeldRoom,
}

impl Connection {
    pub(crate) fn of(cx: &RequestContext<RoleServer>) -> Option<Self> {
        let parts = cx.extensions.get::<hyper::http::request::Parts>()?;
        parts.extensions.get::<Self>().cloned()
    }
}

/// The caller, as recorded in the audit log.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Caller {
    /// The client's name and version, as it reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// The address of an HTTP client.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
}

impl Caller {
    pub(crate) fn of(cx: &RequestContext<RoleServer>, connection: Option<&Connection>) -> Self {
        Self {
            client: cx.client_info().map(|client| {
                let client = format!("{} {}", client.name, client.version);
                client.chars().take(MAX_CLIENT_LEN).collect()
            }),
            address: connection.map(|connection| connection.address),
        }
    }
}
