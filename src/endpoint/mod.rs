//! Where the engine is, and why there.

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

/// How long making a connection may take, unless said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One place where an engine is expected, how it is spoken to, and the reason for which it was chosen.
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
    /// What stands before the path of every request, as `/base`; empty unless a proxy wants one.
    base_path: String,
    origin: Origin,
    tls: Option<Tls>,
    /// What is sent with every request, beside our own. The values may be secret.
    headers: Vec<(String, String)>,
    /// The version of the API that is asked for, as `1.41`; the engine's own choice where it is `None`.
    api_version: Option<String>,
    connect_time: Duration,
    /// What was looked at, where nobody named an engine.
    places: Vec<Place>,
    /// Empty where docker's `config.json` has none.
    detach_keys: String,
    warnings: Vec<String>,
}

impl Endpoint {
    /// The endpoint that `host` names, in the form of docker's `--host`: `unix:///path`, `tcp://host:port`,
    /// `ssh://user@host`. The environment has no say in it, and no TLS is used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) when `host` is no such text.
    pub fn parse(host: &str) -> Result<Self, Error> {
        Self::at(host, Origin::Given)
    }

    /// The endpoint that `docker exec` would use with these options from this environment; where there is none, that of
    /// another engine of this machine.
    ///
    /// As docker has it, the first of these decides: [`host`](EndpointOptions::host) or
    /// [`context`](EndpointOptions::context), `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of `config.json`,
    /// Docker's own socket. `DOCKER_CONFIG`, `DOCKER_TLS`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`,
    /// `DOCKER_API_VERSION` and `DOCKER_CUSTOM_HEADERS` are honoured, as are the headers of `config.json`.
    ///
    /// Where docker would go to its own socket and no such file exists, the endpoint is the one of `CONTAINER_HOST`,
    /// else the first that exists of the usual sockets of rootless Docker, Docker Desktop, Colima, Rancher Desktop,
    /// `OrbStack`, Lima and Podman ([`places`](Self::places)). One that refuses or forbids is the answer: no other is tried.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) when the options contradict each other, an
    /// address or a variable can't be understood, or the context is missing or broken;
    /// [`ErrorKind::Tls`](crate::ErrorKind::Tls) when a file for TLS can't be read. No file's contents and no header's
    /// value is in the message.
    pub fn find(options: &EndpointOptions) -> Result<Self, Error> {
        find::find(options, &Environment::from_process())
    }

    /// The endpoint of these options alone: no environment variable has a say, and no file but those that are named.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn from_options(options: &EndpointOptions) -> Result<Self, Error> {
        find::find(options, &Environment::EMPTY)
    }

    /// The endpoint that the text of a host names.
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

    /// Where the engine is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Why this place was chosen.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What a TLS connection is made with; `None` where no TLS is used.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Every place that was looked at, in their order, where the options and the environment named no engine; else
    /// none.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The keys that leave a terminal by docker's `config.json` (`detachKeys`); `None` where it has none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) where they can't be understood.
    pub fn detach_keys(&self) -> Result<Option<DetachKeys>, Error> {
        if self.detach_keys.is_empty() {
            return Ok(None);
        }
        match DetachKeys::parse(&self.detach_keys) {
            Ok(keys) => Ok(Some(keys)),
            Err(error) => Err(error.with_hint("They are `detachKeys` of docker's config.json")),
        }
    }

    /// What is wrong with docker's `config.json`, for whoever can mend it; one line each. docker prints the same behind
    /// `WARNING: `, and goes on.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether others can read on the way what is sent: it is TCP without TLS, and not to this machine.
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

    /// Which other engines there are, for errors.
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
    /// Without the values of headers.
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
