//! The errors for engines that do not respond.

use std::io;
use std::net::Ipv6Addr;
use std::path::Path;

use crate::endpoint::{Address, Endpoint};
use crate::error::{Error, ErrorKind, Remedy};
use crate::transport::TransportError;

use super::operation::Operation;

pub(super) fn unreachable_error(operation: Operation, endpoint: &Endpoint, error: TransportError) -> Error {
    let address = endpoint.address();
    let fault = match (&error, address) {
        (TransportError::Diagnosed(explained), _) => explained.clone(),
        (TransportError::NoResponse(explained), _) if !operation.may_have_started() => explained.clone(),
        (TransportError::NoResponse(explained), _) => Error::new(operation.unanswered_kind(), explained.cause()),
        (TransportError::Connect(reason), _) => connect_fault(reason, address),
        (TransportError::ConnectTimeout(_), _) => Error::new(
            ErrorKind::EngineUnreachable,
            match endpoint.tls() {
                None => format!("{error}: the host is down, or a firewall drops the packets"),
                Some(_) => {
                    format!("{error}: the host is down, a firewall drops the packets, or the port does not use TLS")
                }
            },
        ),
        (TransportError::Http(reason), _) if reason.is_parse() && !operation.may_have_started() => Error::new(
            ErrorKind::NotAnEngine,
            format!("the server is not a container engine ({reason})"),
        )
        .with_remedies([Remedy::CheckAddress]),
        _ => Error::new(operation.unanswered_kind(), error.to_string()),
    };
    let kind = fault.kind();
    let tried = match error {
        TransportError::Connect(_)
        | TransportError::ConnectTimeout(_)
        | TransportError::Diagnosed(_)
        | TransportError::NoResponse(_)
            if kind != ErrorKind::ConnectionLost =>
        {
            "can't connect to".to_owned()
        }
        _ => format!("failed to {operation} at"),
    };
    Error::new(
        kind,
        format!(
            "{tried} the engine at {address} ({}): {}",
            endpoint.origin(),
            fault.cause()
        ),
    )
    .with_source(error)
    .with_remedies(fault.remedies().to_vec())
    .with_remedies(endpoint.other_engines())
}

fn connect_fault(reason: &io::Error, address: &Address) -> Error {
    let fault = match (address.abstract_name(), address) {
        (Some(name), _) => no_abstract_socket(name, reason),
        (None, Address::Unix(path)) => no_socket(path, reason),
        (None, Address::Tcp { host, .. }) => no_zone(host, reason),
        _ => None,
    };
    let unreachable = |reason: String| Error::new(ErrorKind::EngineUnreachable, reason);
    if let Some(fault) = fault {
        return unreachable(fault);
    }
    match (reason.kind(), address) {
        (io::ErrorKind::PermissionDenied, _) => Error::new(ErrorKind::PermissionDenied, permission_remedy(address)),
        (io::ErrorKind::NotFound, Address::Unix(_)) => {
            unreachable("the socket does not exist".to_owned()).with_remedies([Remedy::StartEngine])
        }
        (io::ErrorKind::NotADirectory, Address::Unix(_)) => unreachable(
            "a part of the path before the last one is not a directory: specify the path of the engine's socket"
                .to_owned(),
        ),
        (io::ErrorKind::ConnectionRefused, _) => {
            unreachable("nothing listens at this address".to_owned()).with_remedies([Remedy::StartEngine])
        }
        _ => unreachable(reason.to_string()),
    }
}

/// Explains what to do if there is no abstract socket of this name, or can't be one.
fn no_abstract_socket(name: &str, reason: &io::Error) -> Option<String> {
    /// In bytes, without the NUL in front of the name.
    const MAX_NAME_LEN: usize = 107;

    match reason.kind() {
        io::ErrorKind::ConnectionRefused => Some(
            "no abstract socket has this name in dexec's network namespace: start the engine, or run dexec in the \
             engine's network namespace; for a file with this name, write unix://./@name"
                .to_owned(),
        ),
        _ if name.len() > MAX_NAME_LEN => Some(format!(
            "the name has {} bytes, and the name of an abstract socket has at most {MAX_NAME_LEN}: specify the \
             engine's socket",
            name.len()
        )),
        _ => None,
    }
}

/// Explains what to do about a link-local address without its network interface.
fn no_zone(host: &str, reason: &io::Error) -> Option<String> {
    let is_link_local = host
        .parse()
        .is_ok_and(|address: Ipv6Addr| address.is_unicast_link_local());
    (is_link_local && reason.kind() == io::ErrorKind::InvalidInput).then(|| {
        format!(
            "a link-local address needs its network interface: write it as [{host}%25eth0] (`ip link` lists the \
            interfaces)"
        )
    })
}

/// Explains what to do about a path that can't be a socket's.
fn no_socket(path: &Path, reason: &io::Error) -> Option<String> {
    /// In bytes. Linux accepts 107 bytes, other systems fewer.
    const MAX_PATH_LEN: usize = 103;

    let length = path.as_os_str().len();
    if reason.kind() == io::ErrorKind::InvalidInput && length > MAX_PATH_LEN {
        return Some(format!(
            "the path has {length} bytes, which is too long for a socket: create a symbolic link to its directory (ln \
             -s), and use the shorter path"
        ));
    }
    let metadata = path.metadata().ok()?;
    if metadata.is_dir() {
        // docker creates a directory where a container mounts a socket that does not exist.
        Some(
            "it is a directory, not a socket: specify the engine's socket; if docker created the directory for a \
             mount before the engine ran, remove it (`rmdir`) and restart the engine"
                .to_owned(),
        )
    } else if metadata.is_file() {
        Some("it is a file, not a socket: specify the engine's socket".to_owned())
    } else {
        None
    }
}

#[cfg(unix)]
fn permission_remedy(address: &Address) -> String {
    use std::os::unix::fs::MetadataExt as _;

    let (Address::Unix(path), None) = (address, address.abstract_name()) else {
        return "this user may not connect".to_owned();
    };
    let Ok(metadata) = path.metadata() else {
        return "this user can't access the directory of the socket".to_owned();
    };
    let mode = metadata.mode() & 0o777;
    if mode & 0o020 == 0 {
        return format!("only its owner can use the socket (mode {mode:03o}): run dexec as that user");
    }
    let gid = metadata.gid();
    let group = group_name(gid).unwrap_or_else(|| gid.to_string());
    if gid == 0 {
        return format!("the socket belongs to the group {group} (mode {mode:03o}): run dexec as root");
    }
    format!(
        "the socket belongs to the group {group} (mode {mode:03o}): add this user to it \
         (`sudo usermod -aG {group} \"$USER\"`, then log in again)"
    )
}

#[cfg(not(unix))]
fn permission_remedy(_: &Address) -> String {
    "this user may not connect".to_owned()
}

#[cfg(unix)]
fn group_name(gid: u32) -> Option<String> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}
