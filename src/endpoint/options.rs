//! The caller's options for the endpoint.

use std::path::PathBuf;
use std::time::Duration;

/// The caller's options for the endpoint, named like those of docker's command line.
///
/// Options left at their default are determined as `docker` does ([`Endpoint::find`](crate::Endpoint::find)), or have
/// no effect ([`Endpoint::from_options`](crate::Endpoint::from_options)).
///
/// ```
/// use dexec::{Endpoint, EndpointOptions};
///
/// let mut options = EndpointOptions::default();
/// options.host = Some("tcp://127.0.0.1:2375".to_owned());
/// let endpoint = Endpoint::from_options(&options)?;
/// assert_eq!(endpoint.address().to_string(), "tcp://127.0.0.1:2375");
/// # Ok::<(), dexec::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EndpointOptions {
    /// The engine's address, in the form of docker's `--host`: `unix:///path`, `tcp://host:port`, `ssh://user@host`.
    /// It can't be combined with `context`.
    pub host: Option<String>,
    /// The name of a context in docker's store; `default` means no context.
    pub context: Option<String>,
    /// The directory of docker's `config.json` and contexts. As in docker, it does not affect the default TLS files.
    pub config_dir: Option<PathBuf>,
    /// Whether to use TLS. `tls_verify` implies it.
    pub tls: Option<bool>,
    /// Whether to verify the server. Either value enables TLS.
    pub tls_verify: Option<bool>,
    /// The file with the trusted certificate authorities. An empty path means those of the system.
    pub tls_ca_cert: Option<PathBuf>,
    /// The file with the client's certificate.
    pub tls_cert: Option<PathBuf>,
    /// The file with the client's key.
    pub tls_key: Option<PathBuf>,
    /// The time limit for making a connection; 10 s by default.
    pub connect_timeout: Option<Duration>,
}
