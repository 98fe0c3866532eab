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
    /// An engine at the far end of the user's own ssh program.
    Ssh {
        /// Whom to log in as; ssh's own configuration decides where it is not given.
        user: Option<String>,
        /// A host name, an alias of ssh's configuration or an address; IPv6 without its brackets.
        host: String,
        /// The port; ssh's own configuration decides where it is not given.
        port: Option<u16>,
        /// The path of the engine's socket there; where it is not given, the far end's docker knows it, or it is a usual
        /// one.
        socket: Option<String>,
    },
    /// A named pipe of Windows, as `//./pipe/docker_engine`.
    NamedPipe(String),
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
            Some(("ssh", rest)) => parse_ssh(rest, text),
            Some(("npipe", path)) if !path.is_empty() => Ok(Self::NamedPipe(path.to_owned())),
            Some(_) => Err(refused(text, "use unix:///path, tcp://host:port or ssh://user@host")),
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

fn parse_ssh(rest: &str, text: &str) -> Result<Address, Error> {
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
        None => host
            .rsplit_once(':')
            .map_or((host, None), |(host, port)| (host, Some(port))),
    };
    // ssh's configuration may give both to a shell; and none may look like an option.
    let is_plain = |word: &str, more: &[u8]| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || more.contains(&byte);
        !word.is_empty() && !word.starts_with('-') && word.bytes().all(is_plain)
    };
    if !is_plain(host, if bracketed.is_some() { b":%" } else { b"" }) {
        return Err(refused(
            text,
            "after ssh:// a host stands, of letters, digits and `.-_` (an IPv6 address in brackets)",
        ));
    }
    if user.is_some_and(|user| user.contains(':')) {
        return Err(refused(
            &format!("ssh://…@{host}{path}"),
            "no password may stand in it: ssh has its own ways (a key, an agent)",
        ));
    }
    if user.is_some_and(|user| !is_plain(user, b"+@")) {
        return Err(refused(text, "the user has letters, digits and `.-_`"));
    }
    let port = port
        .map(|port| port.parse().ok().filter(|port| *port != 0))
        .map(|port| port.ok_or_else(|| refused(text, "the port is a number from 1 to 65535")))
        .transpose()?;
    Ok(Address::Ssh {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        socket: (path.len() > 1).then(|| path.to_owned()),
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
            Self::Ssh {
                user,
                host,
                port,
                socket,
            } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                if host.contains(':') {
                    write!(f, "[{host}]")?;
                } else {
                    f.write_str(host)?;
                }
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
            Self::NamedPipe(path) => write!(f, "npipe://{path}"),
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
            ("ssh://box", "ssh://box"),
            ("ssh://box/", "ssh://box"),
            ("ssh://me@box:22/run/docker.sock", "ssh://me@box:22/run/docker.sock"),
            ("ssh://me@[::1]:22", "ssh://me@[::1]:22"),
            ("npipe:////./pipe/docker_engine", "npipe:////./pipe/docker_engine"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), address, "{text:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let message = Address::parse("ssh://me:secret@box").unwrap_err().to_string();
        assert!(
            message.contains("no password") && !message.contains("secret"),
            "{message}"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_remedy() {
        for (text, remedy) in [
            ("foo://box", "use unix:///path, tcp://host:port or ssh://user@host"),
            ("ssh://", "a host stands"),
            ("ssh://-oProxyCommand=x", "a host stands"),
            ("ssh://a;b", "a host stands"),
            ("ssh://::1", "a host stands"),
            ("ssh://-l@box", "the user has letters"),
            ("ssh://$(id)@box", "the user has letters"),
            ("ssh://box:0", "from 1 to 65535"),
            ("ssh://[::1]22", "from 1 to 65535"),
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
