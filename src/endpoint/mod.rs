//! Where the engine is, and why there.

mod address;
mod tls;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use address::Address;
pub(crate) use tls::{Pem, Tls};

use crate::error::Error;

const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// One place where an engine is expected, and the reason for which it was chosen.
///
/// ```
/// use dexec::Endpoint;
///
/// let endpoint = Endpoint::parse("tcp://127.0.0.1")?;
/// assert_eq!(endpoint.address().to_string(), "tcp://127.0.0.1:2375");
/// # Ok::<(), dexec::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: Address,
    origin: Origin,
    tls: Option<Tls>,
    /// Sockets of other engines that exist on this machine; named in errors, never tried.
    others: Vec<PathBuf>,
}

/// docker would go to the engine of a context, and another one would be used by accident.
fn refuse_context(variable: impl Fn(&str) -> Option<String>) -> Result<(), Error> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Config {
        #[serde(rename = "currentContext")]
        current_context: String,
    }
    let from_config = || {
        let directory = match variable("DOCKER_CONFIG") {
            Some(directory) => PathBuf::from(directory),
            None => Path::new(&variable("HOME")?).join(".docker"),
        };
        let text = std::fs::read(directory.join("config.json")).ok()?;
        serde_json::from_slice::<Config>(&text)
            .ok()
            .map(|config| config.current_context)
    };
    match variable("DOCKER_CONTEXT")
        .or_else(from_config)
        .unwrap_or_default()
        .as_str()
    {
        "" | "default" => Ok(()),
        context => Err(Error::invalid(format!(
            "docker's context `{context}` is chosen (DOCKER_CONTEXT or config.json), which dexec can't follow yet: \
             name the engine with -H or DOCKER_HOST"
        ))),
    }
}

/// Why an [`Endpoint`] was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The caller named it.
    Given,
    /// The environment variable `DOCKER_HOST` names it.
    DockerHost,
    /// It is where Docker listens unless told otherwise.
    Default,
    /// It is a well-known socket of the engine named here, and Docker's own does not exist.
    WellKnown(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as given"),
            Self::DockerHost => f.write_str("from DOCKER_HOST"),
            Self::Default => f.write_str("Docker's default"),
            Self::WellKnown(engine) => {
                write!(f, "{engine}, chosen because {DOCKER_SOCKET} does not exist")
            }
        }
    }
}

impl Endpoint {
    /// The endpoint that `host` names, in the form of docker's `--host`: `unix:///path`, `tcp://host:port`,
    /// `ssh://[user@]host[:port][/path/to/socket]`, and on Windows `npipe:////./pipe/name`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) when `host` is no such text.
    pub fn parse(host: &str) -> Result<Self, Error> {
        Ok(Self {
            address: Address::parse(host)?,
            origin: Origin::Given,
            tls: None,
            others: Vec::new(),
        })
    }

    /// The endpoint that `docker exec` would use from this environment; where there is none, Podman's.
    ///
    /// The first of these is taken: `host` (docker's `--host`), the environment variable `DOCKER_HOST`, Docker's
    /// socket, Podman's rootless socket below `XDG_RUNTIME_DIR`, Podman's system socket. A socket is passed over
    /// only when its file does not exist: one that refuses or forbids is the answer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) when the host's text can't be understood.
    pub fn find(host: Option<&str>) -> Result<Self, Error> {
        for name in ["DOCKER_HOST", "XDG_RUNTIME_DIR"] {
            if std::env::var_os(name).is_some_and(|value| value.to_str().is_none()) {
                return Err(Error::invalid(format!(
                    "the environment variable {name} is not UTF-8: mend it or unset it"
                )));
            }
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if host.is_none() && variable("DOCKER_HOST").is_none() {
            refuse_context(variable)?;
        }
        let mut endpoint = Self::choose(host, variable, |socket| match socket.symlink_metadata() {
            Ok(_) => true,
            // What can't be looked at is not passed over.
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        })?;
        if let Address::Tcp { .. } = endpoint.address {
            endpoint.tls = Tls::from_environment(variable)?;
        }
        Ok(endpoint)
    }

    fn choose(
        host: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Self, Error> {
        if let Some(host) = host {
            return Self::parse(host);
        }
        if let Some(host) = variable("DOCKER_HOST") {
            return Ok(Self {
                origin: Origin::DockerHost,
                ..Self::parse(&host)?
            });
        }
        let mut sockets = vec![(PathBuf::from(DOCKER_SOCKET), Origin::Default)];
        if let Some(directory) = variable("XDG_RUNTIME_DIR") {
            sockets.push((
                Path::new(&directory).join("podman/podman.sock"),
                Origin::WellKnown("Podman's rootless socket"),
            ));
        }
        sockets.push((
            PathBuf::from("/run/podman/podman.sock"),
            Origin::WellKnown("Podman's system socket"),
        ));

        let mut existing = sockets
            .iter()
            .filter(|(socket, _)| exists(socket))
            .cloned()
            .collect::<Vec<_>>()
            .into_iter();
        let (socket, origin) = existing.next().unwrap_or_else(|| sockets.swap_remove(0));
        Ok(Self {
            address: Address::Unix(socket),
            origin,
            tls: None,
            others: existing.map(|(socket, _)| socket).collect(),
        })
    }

    /// Where the engine is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Why this place was chosen.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// How the connection is encrypted, where it is.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// A sentence for errors: which other sockets there are. Empty where there are none.
    pub(crate) fn others_hint(&self) -> String {
        let mut others = self.others.iter().peekable();
        if others.peek().is_none() {
            return String::new();
        }
        let list: Vec<String> = others.map(|socket| format!("-H unix://{}", socket.display())).collect();
        format!("Another engine may answer: {}", list.join(", "))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn choose(host: Option<&str>, variables: &[(&str, &str)], sockets: &[&str]) -> Endpoint {
        Endpoint::choose(
            host,
            |name| {
                variables
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            },
            |path| sockets.iter().any(|socket| Path::new(socket) == path),
        )
        .unwrap()
    }

    const EVERY_SOCKET: &[&str] = &[
        "/var/run/docker.sock",
        "/run/user/7/podman/podman.sock",
        "/run/podman/podman.sock",
    ];
    const RUNTIME_DIR: (&str, &str) = ("XDG_RUNTIME_DIR", "/run/user/7");

    #[test]
    fn the_flag_wins_over_the_environment() {
        let endpoint = choose(
            Some("unix:///flag"),
            &[("DOCKER_HOST", "unix:///variable")],
            EVERY_SOCKET,
        );
        assert_eq!(endpoint.address().to_string(), "unix:///flag");
        assert_eq!(endpoint.origin(), Origin::Given);
    }

    #[test]
    fn the_environment_wins_over_the_sockets() {
        let endpoint = choose(None, &[("DOCKER_HOST", "tcp://box:99")], EVERY_SOCKET);
        assert_eq!(endpoint.address().to_string(), "tcp://box:99");
        assert_eq!(endpoint.origin(), Origin::DockerHost);
    }

    #[test]
    fn sockets_are_passed_over_only_when_they_do_not_exist() {
        let docker = choose(None, &[RUNTIME_DIR], EVERY_SOCKET);
        assert_eq!(docker.address().to_string(), "unix:///var/run/docker.sock");
        assert_eq!(docker.origin(), Origin::Default);
        assert_eq!(
            docker.others_hint(),
            "Another engine may answer: -H unix:///run/user/7/podman/podman.sock, -H unix:///run/podman/podman.sock"
        );

        let rootless = choose(None, &[RUNTIME_DIR], &EVERY_SOCKET[1..]);
        assert_eq!(rootless.address().to_string(), "unix:///run/user/7/podman/podman.sock");
        assert_eq!(rootless.origin(), Origin::WellKnown("Podman's rootless socket"));

        let system = choose(None, &[], &EVERY_SOCKET[1..]);
        assert_eq!(system.address().to_string(), "unix:///run/podman/podman.sock");
        assert_eq!(system.others_hint(), "");
    }

    #[test]
    fn without_any_socket_the_default_is_the_answer() {
        let endpoint = choose(None, &[RUNTIME_DIR], &[]);
        assert_eq!(endpoint.address().to_string(), "unix:///var/run/docker.sock");
        assert_eq!(endpoint.origin(), Origin::Default);
    }
}
