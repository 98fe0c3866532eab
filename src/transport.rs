//! Connects to an engine over a socket, TCP, TLS, ssh or a named pipe.
//!
//! Connections are reused for later requests, and every wait has a limit.

mod connect;
mod connection;
mod error;
mod pool;
#[cfg(unix)]
mod ssh;
mod tls;

pub(crate) use connection::{Connection, Upgraded};
pub(crate) use error::{TransportError, WANTS_TLS};
pub(crate) use pool::{EngineKind, Transport};
