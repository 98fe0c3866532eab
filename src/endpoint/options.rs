//! What a caller says about the endpoint.

use std::path::PathBuf;
use std::time::Duration;

/// What a caller says about the endpoint; the options of docker's command line with the same names.
///
/// What is left at its default is found as `docker` finds it ([`Endpoint::find`](crate::Endpoint::find)), or has no
/// effect ([`Endpoint::from_options`](crate::Endpoint::from_options)).
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
    /// The engine's address, in the form of docker's `--host`: `unix:///path`, `tcp://host:port`,
    /// `ssh://user@host`. It can't stand together with `context`.
    pub host: Option<String>,
    /// The name of a context in docker's store; `default` stands for none.
    pub context: Option<String>,
    /// The directory of docker's `config.json` and contexts. Not, as with docker, of the default TLS files.
    pub config_dir: Option<PathBuf>,
    /// Whether TLS is used; `tls_verify` implies it.
    pub tls: Option<bool>,
    /// Whether the server is verified. TLS is used whichever it is.
    pub tls_verify: Option<bool>,
    /// The file of the certificate authorities to trust. With an empty path, those of the system.
    pub tls_ca_cert: Option<PathBuf>,
    /// The file of the client's certificate.
    pub tls_cert: Option<PathBuf>,
    /// The file of the client's key.
    pub tls_key: Option<PathBuf>,
    /// How long making a connection may take; 10 s unless said.
    pub connect_timeout: Option<Duration>,
}
