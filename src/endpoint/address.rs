//! Parses the values of docker's `--host` option and the `DOCKER_HOST` variable.

use std::fmt;
use std::path::PathBuf;

use hyper::Uri;

use crate::error::{Error, Remedy, sanitize_line};

pub(super) const DOCKER_SOCKET: &str = "/var/run/docker.sock";
const DOCKER_PIPE: &str = "//./pipe/docker_engine";
const DOCKER_PORT: u16 = 2375;

/// The default port if TLS is requested.
const DOCKER_TLS_PORT: u16 = 2376;

/// The maximum number of characters of an address that an error shows.
const MAX_TEXT_LEN: usize = 300;

const FORMS: &str = "use unix:///path, tcp://host:port or ssh://user@host";

/// The address of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket. A path that begins with `@` is a name in Linux's abstract namespace.
    Unix(PathBuf),
    /// TCP. Whether TLS is used is a property of the endpoint.
    Tcp {
        /// A host name or IP address. An IPv6 address is without brackets and may have a zone, as in `fe80::1%eth0`.
        host: String,
        /// The port.
        port: u16,
    },
    /// The engine of another machine, reached through the user's `ssh` program.
    Ssh {
        /// The user to log in as; `None` leaves the choice to ssh.
        user: Option<String>,
        /// A host name, an alias from ssh's configuration, or an IP address (IPv6 without brackets).
        host: String,
        /// The port; `None` leaves the choice to ssh.
        port: Option<u16>,
        /// The path of the engine's socket on the remote host; `None` means the default path.
        socket: Option<String>,
    },
    /// A Windows named pipe, such as `//./pipe/docker_engine`.
    NamedPipe(String),
}

impl Address {
    /// Parses an address by docker's rules: the text is trimmed, an empty text means the default address, and a
    /// missing scheme means `tcp` (docker/cli, `opts/hosts.go` and `cli/connhelper/ssh/ssh.go`).
    ///
    /// Also returns the path prefix of a TCP engine's API, which an engine behind a proxy may have; empty if there is
    /// none.
    fn parse(text: &str) -> Result<(Self, String), Error> {
        let text = text.trim();
        let address = match text.split_once("://") {
            None if text.is_empty() => Ok(Self::default_place()),
            None if text.starts_with('/') => Err(refused(text, "for a socket, write unix:// before its path")),
            None => return parse_tcp(text, text),
            Some(("unix" | "npipe", path)) if path.contains("://") => Err(refused(text, FORMS)),
            Some(("unix", "")) => Ok(Self::Unix(PathBuf::from(DOCKER_SOCKET))),
            Some(("unix", "@")) => Err(refused(text, "an abstract socket needs a name after the @")),
            Some(("unix", path)) if path.ends_with('/') && !path.starts_with('@') => {
                Err(refused(text, "a socket's path does not end with a slash: remove it"))
            }
            Some(("unix", path)) => Ok(Self::Unix(PathBuf::from(path))),
            Some(("tcp", rest)) => return parse_tcp(rest, text),
            Some(("ssh", rest)) => parse_ssh(rest, text),
            Some(("npipe", "")) => Ok(Self::NamedPipe(DOCKER_PIPE.to_owned())),
            Some(("npipe", path)) => Ok(Self::NamedPipe(path.to_owned())),
            Some(("http", _)) => Err(refused(text, "use tcp:// instead")),
            Some(("https", _)) => Err(refused(text, "use tcp:// instead").with_remedies([Remedy::UseTls])),
            Some(_) => Err(refused(text, FORMS)),
        };
        address.map(|address| (address, String::new()))
    }

    /// The address at which Docker listens by default.
    pub(super) fn default_place() -> Self {
        if cfg!(windows) {
            Self::NamedPipe(DOCKER_PIPE.to_owned())
        } else {
            Self::Unix(PathBuf::from(DOCKER_SOCKET))
        }
    }

    /// The address that docker uses if TLS is requested without a host.
    pub(super) fn default_tls_place() -> Self {
        Self::Tcp {
            host: "localhost".to_owned(),
            port: DOCKER_TLS_PORT,
        }
    }

    /// The socket's name in Linux's abstract namespace, if it has one. docker writes such an address as
    /// `unix://@name`.
    pub(crate) fn abstract_name(&self) -> Option<&str> {
        match self {
            Self::Unix(path) => path.to_str()?.strip_prefix('@'),
            _ => None,
        }
    }

    /// Like [`parse`](Self::parse), but refuses addresses that this system does not support.
    pub(super) fn parse_on_this_system(text: &str) -> Result<(Self, String), Error> {
        let (address, base_path) = Self::parse(text)?;
        Ok((address.on_this_system()?, base_path))
    }

    /// Refuses an address that this system does not support.
    fn on_this_system(self) -> Result<Self, Error> {
        match self {
            Self::NamedPipe(_) if !cfg!(windows) => Err(refused(
                &self.to_string(),
                "named pipes exist on Windows only; use unix:///path or tcp://host:port",
            )),
            Self::Unix(_) if !cfg!(target_os = "linux") && self.abstract_name().is_some() => Err(refused(
                &self.to_string(),
                "abstract sockets (@name) exist on Linux only; for a file with that name, write unix://./@name",
            )),
            address => Ok(address),
        }
    }
}

fn parse_tcp(rest: &str, text: &str) -> Result<(Address, String), Error> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/');
    if authority.contains(['?', '#', '@']) || path.contains(['?', '#']) {
        return Err(refused(text, "the form is tcp://host:port/base/path"));
    }
    if !path.is_empty() && path.parse::<Uri>().is_err() {
        return Err(refused(text, "its path is not valid in a URL"));
    }
    let (host, port) = host_and_port(authority, text)?;
    let address = Address::Tcp {
        host: if host.is_empty() { "localhost".to_owned() } else { host },
        port: port.unwrap_or(DOCKER_PORT),
    };
    Ok((address, path.to_owned()))
}

fn parse_ssh(rest: &str, text: &str) -> Result<Address, Error> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(':') {
        return Err(refused(
            text,
            "passwords are not supported: use a key or an agent for ssh",
        ));
    }
    let is_strange = |word: &str| word.contains(['?', '#', '%']) || word.chars().any(is_blank);
    if is_strange(user) || authority.contains(['?', '#']) || is_strange(path) {
        return Err(refused(text, "the form is ssh://user@host:port/path/of/socket"));
    }
    let (host, port) = host_and_port(authority, text)?;
    if host.is_empty() {
        return Err(refused(text, "the host is missing"));
    }
    if host.starts_with('-') || user.starts_with('-') {
        return Err(refused(text, "the host and the user can't begin with `-`"));
    }
    // ssh's configuration may pass the host and the user to a shell.
    let is_plain = |word: &str, more: &[u8]| {
        word.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || more.contains(&byte))
    };
    if !is_plain(&host, if authority.starts_with('[') { b":%" } else { b"" }) {
        return Err(refused(
            text,
            "a host can contain letters, digits and `.-_`; an IPv6 address must be in brackets",
        ));
    }
    if !is_plain(user, b"+@") {
        return Err(refused(text, "the user can contain letters, digits and `.-_+@`"));
    }
    Ok(Address::Ssh {
        user: (!user.is_empty()).then(|| user.to_owned()),
        host,
        port,
        socket: (!path.is_empty()).then(|| format!("/{path}")),
    })
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// Returns the host, empty if there is none, and the port.
fn host_and_port(authority: &str, text: &str) -> Result<(String, Option<u16>), Error> {
    if authority.chars().any(is_blank) {
        return Err(refused(text, "a host can't contain white space"));
    }
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| refused(text, "the bracket of the IPv6 address is not closed"))?;
        let port = match port.strip_prefix(':') {
            Some(port) => port,
            None if port.is_empty() => "",
            None => return Err(refused(text, "only a port can follow an IPv6 address")),
        };
        // In a URL, the `%` before the zone of an address is written as `%25`.
        let host = host.replacen("%25", "%", 1);
        if host.ends_with('%') {
            return Err(refused(
                text,
                "the % in an IPv6 address must be followed by a network interface, as in [fe80::1%25eth0]",
            ));
        }
        (host, port)
    } else {
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        (host.to_owned(), port)
    };
    if host.contains(':') != authority.starts_with('[') {
        return Err(refused(
            text,
            "an IPv6 address must be in brackets, and other hosts must not",
        ));
    }
    let port = match port {
        "" => None,
        port => Some(
            port.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| refused(text, "the port must be a number from 1 to 65535"))?,
        ),
    };
    Ok((host, port))
}

fn refused(text: &str, remedy: &str) -> Error {
    let text = sanitize_line(&without_password(text), MAX_TEXT_LEN);
    Error::invalid(format!("invalid engine address `{text}`: {remedy}"))
}

/// Returns the text with the password between `user:` and `@` removed.
fn without_password(text: &str) -> String {
    let start = text.find("://").map_or(0, |scheme| scheme + 3);
    let password = text.get(start..).and_then(|rest| {
        let end = rest.rfind('@')?;
        let user = rest[..end].find(':')?;
        Some(start + user + 1..start + end)
    });
    match password {
        Some(password) => format!("{}…{}", &text[..password.start], &text[password.end..]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write_host = |f: &mut fmt::Formatter<'_>, host: &str| {
            if host.contains(':') {
                write!(f, "[{}]", host.replacen('%', "%25", 1))
            } else {
                f.write_str(host)
            }
        };
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => {
                f.write_str("tcp://")?;
                write_host(f, host)?;
                write!(f, ":{port}")
            }
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
                write_host(f, host)?;
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
mod tests;
