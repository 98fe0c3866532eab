//! Makes connections to an engine.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::endpoint::{Address, Endpoint, Tls};
use crate::error::{Error, ErrorKind};

use super::connection::{ByteStream, Connection};
use super::error::{TransportError, WANTS_TLS};
#[cfg(unix)]
use super::ssh::{Ssh, SshDestination};
use super::tls;

const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long to wait for one address of a host before the next is tried too.
const NEXT_ADDRESS_TIMEOUT: Duration = Duration::from_millis(250);

/// The same interval as docker's.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The state that all connections to one endpoint share.
pub(super) struct Dialer {
    endpoint: Endpoint,
    /// Created for the first connection.
    connector: OnceLock<TlsConnector>,
    /// Set for an ssh address.
    #[cfg(unix)]
    ssh: Option<Ssh>,
}

impl Dialer {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            #[cfg(unix)]
            ssh: ssh(&endpoint),
            endpoint,
            connector: OnceLock::new(),
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) async fn dial(&self) -> Result<Connection, TransportError> {
        match self.endpoint.address() {
            #[cfg(unix)]
            address @ Address::Unix(path) => {
                let dialing = unix(path, address.abstract_name());
                self.within_time(dialing).await.map(boxed)
            }
            Address::Tcp { host, port } => match self.endpoint.tls() {
                None => self.within_time(tcp(host, *port)).await.map(boxed),
                Some(tls) => self.within_time(self.tls(tls, host, *port)).await,
            },
            #[cfg(unix)]
            Address::Ssh { .. } => match &self.ssh {
                Some(ssh) => Ok(ssh.dial().await?),
                None => Err(no_such_transport().into()),
            },
            #[cfg(windows)]
            Address::NamedPipe(path) => self.within_time(pipe(path)).await.map(boxed),
            _ => Err(no_such_transport().into()),
        }
    }

    /// Returns why there was no response, if ssh or TLS explains it.
    pub(super) async fn fault_of_answer(&self, error: &hyper::Error) -> Option<Error> {
        #[cfg(unix)]
        if let Some(ssh) = &self.ssh {
            return ssh.fault_of_answer().await;
        }
        match (self.endpoint.tls(), self.endpoint.address()) {
            (Some(tls), Address::Tcp { host, .. }) => tls::fault_of_answer(error, tls, host),
            (None, Address::Tcp { host, port }) => {
                let probing = async { Ok(tls::speaks_tls(tcp(host, *port).await?).await) };
                let speaks_tls = self.within_time(probing).await.unwrap_or(false);
                speaks_tls.then(|| Error::new(ErrorKind::Tls, format!("it {WANTS_TLS}")))
            }
            _ => None,
        }
    }

    /// Returns how the engine on another machine was reached, if the address does not say it.
    #[cfg_attr(not(unix), expect(clippy::unused_self, reason = "only ssh finds it there"))]
    pub(super) fn far_end(&self) -> Option<String> {
        #[cfg(unix)]
        return self.ssh.as_ref().and_then(Ssh::far_end);
        #[cfg(not(unix))]
        None
    }

    async fn within_time<T>(
        &self,
        dialing: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let time = self.endpoint.connect_time();
        tokio::time::timeout(time, dialing)
            .await
            .unwrap_or(Err(TransportError::ConnectTimeout(time)))
    }

    async fn tls(&self, tls: &Tls, host: &str, port: u16) -> Result<Connection, TransportError> {
        // Loads the TLS files first, so that unusable files are reported whether or not the engine is reachable.
        let connector = if let Some(connector) = self.connector.get() {
            connector
        } else {
            let made = tls::connector(tls)?;
            self.connector.get_or_init(|| made)
        };
        let stream = tcp(host, port).await?;
        let stream = tls::handshake(connector, tls, host, stream).await?;
        Ok(Box::new(stream))
    }
}

#[cfg(unix)]
fn ssh(endpoint: &Endpoint) -> Option<Ssh> {
    let Address::Ssh {
        user,
        host,
        port,
        socket,
    } = endpoint.address()
    else {
        return None;
    };
    let (user, host, port) = (user.clone(), host.clone(), *port);
    let target = SshDestination { user, host, port };
    Some(Ssh::new(target, socket.clone(), endpoint.connect_time()))
}

fn boxed(stream: impl ByteStream + 'static) -> Connection {
    Box::new(stream)
}

fn no_such_transport() -> Error {
    let reason = "this system does not support this type of address: use tcp:// with TLS, or the system's local type \
        (unix://, npipe://)";
    Error::new(ErrorKind::EngineUnreachable, reason)
}

/// Omits the TLS connector, which holds keys.
impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Connects to the socket at the path or, on Linux, to the abstract socket of that name, which tokio expects as a path
/// with a leading NUL.
#[cfg(unix)]
async fn unix(path: &Path, abstract_name: Option<&str>) -> Result<UnixStream, TransportError> {
    let path = abstract_name.map_or(path.to_owned(), |name| PathBuf::from(format!("\0{name}")));
    loop {
        match UnixStream::connect(&path).await {
            // The listener's queue is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(BUSY_PAUSE).await,
            connected => return connected.map_err(TransportError::Connect),
        }
    }
}

#[cfg(windows)]
async fn pipe(path: &str) -> Result<tokio::net::windows::named_pipe::NamedPipeClient, TransportError> {
    /// All instances of the pipe have a client.
    const PIPE_BUSY: i32 = 231;

    let path = path.replace('/', "\\");
    loop {
        match tokio::net::windows::named_pipe::ClientOptions::new().open(&path) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => tokio::time::sleep(BUSY_PAUSE).await,
            connected => return connected.map_err(TransportError::Connect),
        }
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, TransportError> {
    let addresses: Vec<SocketAddr> = match lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(unknown_host(host, error).into()),
    };
    let stream = first_of(addresses).await.map_err(TransportError::Connect)?;
    tune(&stream).map_err(TransportError::Connect)?;
    Ok(stream)
}

/// Returns the first connection that succeeds. An address that does not respond delays the next one only for a moment
/// (RFC 8305).
async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut untried = addresses.into_iter();
    let mut tries = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(address) = untried.next() {
            tries.spawn(TcpStream::connect(address));
        } else if tries.is_empty() {
            return Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
        }
        tokio::select! {
            Some(outcome) = tries.join_next() => match outcome {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => {}
            },
            () = tokio::time::sleep(NEXT_ADDRESS_TIMEOUT), if untried.len() > 0 => {}
        }
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    // Requests and keystrokes are small and must not be delayed.
    stream.set_nodelay(true)?;
    // Detects a host that is gone, and keeps the network from dropping idle connections.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn unknown_host(host: &str, error: io::Error) -> Error {
    let remedy = match zone_of(host) {
        Some((address, zone)) if address.is_unicast_link_local() => {
            format!("this machine has no network interface `{zone}` (`ip link` lists the interfaces)")
        }
        Some(_) => "only a link-local address (fe80::…) has a zone: remove the % and what follows it".to_owned(),
        None => "check the name, and this machine's DNS".to_owned(),
    };
    let reason = format!("can't resolve the host `{host}` ({error}): {remedy}");
    Error::new(ErrorKind::EngineUnreachable, reason).with_source(error)
}

/// Splits an IPv6 address from its zone.
fn zone_of(host: &str) -> Option<(Ipv6Addr, &str)> {
    let (address, zone) = host.split_once('%')?;
    Some((address.parse().ok()?, zone))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn listener() -> std::net::TcpListener {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap()
    }

    /// Returns a port that accepts no connection, because its queue is full.
    fn silent() -> (SocketAddr, Vec<std::net::TcpStream>, socket2::Socket) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let wait = Duration::from_millis(200);
        let held = std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&address, wait).ok());
        (address, held.collect(), socket)
    }

    #[tokio::test]
    async fn silent_address_does_not_delay_the_next_one() {
        let (silent, _held, _socket) = silent();
        let there = listener();
        let stream = first_of(vec![silent, there.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there.local_addr().unwrap());
    }

    #[tokio::test]
    async fn error_is_reported_if_no_address_answers() {
        let closed = listener().local_addr().unwrap();
        let error = first_of(vec![closed, closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_of(Vec::new()).await.is_err());
    }
}
