//! Where the engine is, and why that address was chosen.

mod address;
mod config;
mod context;
mod environment;
mod file;
mod find;
mod headers;
mod json;
mod options;
mod origin;
mod places;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub use address::Address;
pub use options::EndpointOptions;
pub use origin::Origin;
pub use places::Place;
pub(crate) use tls::Pem;
pub use tls::Tls;

use crate::error::{Error, Remedy};
use crate::terminal::DetachKeys;

use environment::Environment;

/// The default time limit for making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The address of an engine, how to connect to it, and why it was chosen.
///
/// ```
/// use dexec::Endpoint;
///
/// let endpoint = Endpoint::parse("tcp://127.0.0.1")?;
/// assert_eq!(endpoint.address().to_string(), "tcp://127.0.0.1:2375");
/// # Ok::<(), dexec::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: Address,
    /// The path prefix of every request, such as `/base`; empty unless a proxy requires one.
    base_path: String,
    origin: Origin,
    tls: Option<Tls>,
    /// The headers sent with every request in addition to dexec's own. The values may be secret.
    headers: Vec<(String, String)>,
    /// The API version to request, such as `1.41`; `None` leaves the choice to the engine.
    api_version: Option<String>,
    connect_time: Duration,
    /// The places that were checked, if no engine was configured.
    places: Vec<Place>,
    /// Empty if docker's `config.json` sets none.
    detach_keys: String,
    warnings: Vec<String>,
}

impl Endpoint {
    /// Parses `host`, in the form of docker's `--host`: `unix:///path`, `tcp://host:port`, `ssh://user@host`. The
    /// environment is ignored, and TLS is not used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if `host` is not a valid address.
    pub fn parse(host: &str) -> Result<Self, Error> {
        Self::at(host, Origin::Given)
    }

    /// Finds the endpoint that `docker exec` would use with these options in this environment. If that does not exist,
    /// finds another engine on this machine.
    ///
    /// As in docker, the first of these that is set decides: [`host`](EndpointOptions::host) or
    /// [`context`](EndpointOptions::context), `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of `config.json`,
    /// Docker's default socket. `DOCKER_CONFIG`, `DOCKER_TLS`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`,
    /// `DOCKER_API_VERSION` and `DOCKER_CUSTOM_HEADERS` are honoured, as are the headers of `config.json`.
    ///
    /// If docker would use its default socket and that file does not exist, the endpoint is that of `CONTAINER_HOST`,
    /// or else the first existing socket among the usual ones of rootless Docker, Docker Desktop, Colima, Rancher
    /// Desktop, `OrbStack`, Lima and Podman ([`places`](Self::places)). If the chosen engine refuses the connection or
    /// denies access, no other is tried.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if the options contradict each other, an
    /// address or a variable is invalid, or the context is missing or broken;
    /// [`ErrorKind::Tls`](crate::ErrorKind::Tls) if a TLS file can't be read. The message never contains the contents
    /// of a TLS file or the value of a header.
    pub fn find(options: &EndpointOptions) -> Result<Self, Error> {
        find::find(options, &Environment::from_process())
    }

    /// Finds the endpoint from these options alone. Environment variables are ignored, and no files are read except
    /// those that the options name.
    ///
    /// # Errors
    ///
    /// The same as for [`find`](Self::find).
    pub fn from_options(options: &EndpointOptions) -> Result<Self, Error> {
        find::find(options, &Environment::EMPTY)
    }

    /// Creates an endpoint from the text of its host.
    fn at(host: &str, origin: Origin) -> Result<Self, Error> {
        let (address, base_path) = Address::parse_on_this_system(host)?;
        Ok(Self {
            base_path,
            ..Self::new(address, origin)
        })
    }

    fn new(address: Address, origin: Origin) -> Self {
        Self {
            address,
            base_path: String::new(),
            origin,
            tls: None,
            headers: Vec::new(),
            api_version: None,
            connect_time: CONNECT_TIMEOUT,
            places: Vec::new(),
            detach_keys: String::new(),
            warnings: Vec::new(),
        }
    }

    /// The address of the engine.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Why this address was chosen.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The settings for TLS connections; `None` if TLS is not used.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The places that were checked, in order. Empty if the options, docker's variables or `config.json` named an
    /// engine.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The detach keys from docker's `config.json` (`detachKeys`); `None` if it sets none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if the keys are invalid.
    pub fn detach_keys(&self) -> Result<Option<DetachKeys>, Error> {
        if self.detach_keys.is_empty() {
            return Ok(None);
        }
        match DetachKeys::parse(&self.detach_keys) {
            Ok(keys) => Ok(Some(keys)),
            Err(error) => Err(error.with_hint("They are set by `detachKeys` in docker's config.json")),
        }
    }

    /// The problems found in docker's `config.json`, one line each, to be shown to the user. docker prints them after
    /// `WARNING: ` and continues.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether others can read the data in transit: the endpoint is TCP without TLS, and not on this machine.
    #[must_use]
    pub fn is_plaintext_remote(&self) -> bool {
        match &self.address {
            Address::Tcp { host, .. } if self.tls.is_none() => {
                let without_zone = host.split_once('%').map_or(host.as_str(), |(address, _)| address);
                let is_loopback = match without_zone.parse::<IpAddr>() {
                    Ok(address) => address.to_canonical().is_loopback(),
                    Err(_) => host.eq_ignore_ascii_case("localhost"),
                };
                !is_loopback
            }
            _ => false,
        }
    }

    pub(crate) fn base_path(&self) -> &str {
        &self.base_path
    }

    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(crate) fn api_version(&self) -> Option<&str> {
        self.api_version.as_deref()
    }

    pub(crate) fn connect_time(&self) -> Duration {
        self.connect_time
    }

    /// The other engines that exist, as a remedy for errors.
    pub(crate) fn other_engines(&self) -> Option<Remedy> {
        let others: Vec<String> = self
            .places
            .iter()
            .filter(|place| place.exists && place.address != self.address)
            .map(|place| place.address.to_string())
            .collect();
        (!others.is_empty()).then_some(Remedy::OtherEngines(others))
    }
}

impl fmt::Debug for Endpoint {
    /// Omits the values of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .field("base_path", &self.base_path)
            .field("origin", &self.origin)
            .field("tls", &self.tls)
            .field("headers", &headers)
            .field("api_version", &self.api_version)
            .finish_non_exhaustive()
    }
}
