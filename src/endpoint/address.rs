//! The text of docker's `--host` and `DOCKER_HOST`.

use std::fmt;
use std::path::PathBuf;

use crate::error::Error;

use super::DOCKER_SOCKET;

const DOCKER_PORT: u16 = 2375;

/// How an engine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// Unencrypted TCP.
    Tcp {
        /// A host name or an address; IPv6 without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// Docker's rules: the text is trimmed, nothing means the default socket, no scheme means `tcp`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let default_socket = || Self::Unix(PathBuf::from(DOCKER_SOCKET));
        match text.split_once("://") {
            None if text.is_empty() => Ok(default_socket()),
            None => parse_tcp(text, text),
            Some(("unix", "")) => Ok(default_socket()),
            Some(("unix", path)) => Ok(Self::Unix(PathBuf::from(path))),
            Some(("tcp", authority)) => parse_tcp(authority, text),
            Some((scheme @ ("ssh" | "npipe" | "fd" | "http" | "https"), _)) => Err(refused(
                text,
                &format!("`{scheme}://` is not supported yet: use unix:///path or tcp://host:port"),
            )),
            Some(_) => Err(refused(text, "use unix:///path or tcp://host:port")),
        }
    }
}

fn parse_tcp(authority: &str, text: &str) -> Result<Address, Error> {
    if authority.contains(['/', '?', '#', '@']) || authority.chars().any(char::is_whitespace) {
        return Err(refused(text, "after tcp:// only a host and a port may stand"));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or_else(|| refused(text, "the bracket of the IPv6 address is not closed"))?;
            let port = match port.strip_prefix(':') {
                Some(port) => port,
                None if port.is_empty() => "",
                None => return Err(refused(text, "after the IPv6 address only a port may stand")),
            };
            (host, port)
        }
        None => authority.rsplit_once(':').unwrap_or((authority, "")),
    };
    if host.contains(':') != authority.starts_with('[') {
        return Err(refused(text, "an IPv6 address stands in brackets"));
    }
    let port = match port {
        "" => DOCKER_PORT,
        port => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| refused(text, "the port is a number from 1 to 65535"))?,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Address::Tcp {
        host: host.to_owned(),
        port,
    })
}

fn refused(text: &str, remedy: &str) -> Error {
    Error::invalid(format!("the engine's address `{text}` can't be used: {remedy}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_docker_reads_them() {
        for (text, address) in [
            ("", "unix:///var/run/docker.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("  unix:///tmp/x.sock ", "unix:///tmp/x.sock"),
            ("tcp://", "tcp://localhost:2375"),
            ("tcp://box", "tcp://box:2375"),
            ("tcp://box:1", "tcp://box:1"),
            ("tcp://:99", "tcp://localhost:99"),
            ("box:99", "tcp://box:99"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("tcp://[::1]:9", "tcp://[::1]:9"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), address, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_remedy() {
        for (text, remedy) in [
            ("ssh://box", "not supported yet"),
            ("foo://box", "use unix:///path or tcp://host:port"),
            ("tcp://box:0", "from 1 to 65535"),
            ("tcp://box:65536", "from 1 to 65535"),
            ("tcp://box:x", "from 1 to 65535"),
            ("tcp://box/path", "only a host and a port"),
            ("tcp://user@box", "only a host and a port"),
            ("tcp://::1", "in brackets"),
            ("tcp://[::1", "not closed"),
            ("tcp://[::1]x", "only a port"),
            ("tcp://[box]:1", "in brackets"),
        ] {
            let message = Address::parse(text).unwrap_err().to_string();
            assert!(message.contains(remedy), "{text:?}: {message}");
            assert!(message.contains(&format!("`{text}`")), "{text:?}: {message}");
        }
    }
}
