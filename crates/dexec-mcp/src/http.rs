//! Serves many clients over streamable HTTP.

mod body;
mod connections;
mod frontend;
mod sessions;

use std::convert::Infallible;
use std::env::VarError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dexec::{Error, ErrorKind};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::handler::Handler;
use crate::message;
use crate::server::Server;

use connections::{Connections, Place};
use frontend::HttpFrontend;
use sessions::Sessions;

const PATH: &str = "/mcp";

/// The environment variable that contains the bearer token.
const TOKEN: &str = "DEXEC_MCP_TOKEN";

/// The minimum length of a token; a shorter one could be guessed.
const MIN_TOKEN_LEN: usize = 16;

/// The maximum number of connections. The limit is lower if it is more than half of the process's descriptors, because
/// calls need some too.
const MAX_CONNECTIONS: usize = 512;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum size, in bytes, of a request's head, and of one read.
const MAX_HEAD_SIZE: usize = 16 * 1024;

/// The interval of keep-alive messages on an idle stream, which detect that the client has disconnected.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server waits at its end for answers that are being sent.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The pause before the next attempt when the system has no descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address of the HTTP server, and which clients may use it.
pub(crate) struct Http {
    address: String,
    token: Option<String>,
    allowed_hosts: Vec<String>,
    allowed_origins: Vec<String>,
    max_sessions: usize,
}

/// Omits the token, which is a secret.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Http {
    pub(crate) fn new(
        address: String,
        token_file: Option<PathBuf>,
        allowed_hosts: Vec<String>,
        allowed_origins: Vec<String>,
        max_sessions: usize,
    ) -> Result<Self, Error> {
        let token = match token_file {
            Some(file) => Some(std::fs::read_to_string(&file).map_err(|error| {
                invalid(format!(
                    "failed to read the file {} of --http-token-file: {error}",
                    file.display()
                ))
            })?),
            None => match std::env::var(TOKEN) {
                Ok(token) => Some(token),
                Err(VarError::NotPresent) => None,
                Err(VarError::NotUnicode(_)) => return Err(invalid(format!("{TOKEN} is not UTF-8"))),
            },
        };
        let token = token.map(|token| token.trim().to_owned());
        if let Some(token) = &token
            && (token.len() < MIN_TOKEN_LEN || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(invalid(format!(
                "the bearer token must be at least {MIN_TOKEN_LEN} printable characters without spaces: create one with \
                 `openssl rand -hex 32`"
            )));
        }
        Ok(Self {
            address,
            token,
            allowed_hosts,
            allowed_origins,
            max_sessions,
        })
    }

    async fn listen(&self) -> Result<TcpListener, Error> {
        let failed = |error| invalid(format!("failed to listen at {} (--http): {error}", self.address));
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&self.address).await.map_err(failed)?.collect();
        if self.token.is_none() && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(invalid(format!(
                "other machines can reach {} (--http), so clients need a bearer token: set {TOKEN} or --http-token-file, \
                 or listen at 127.0.0.1",
                self.address
            )));
        }
        TcpListener::bind(addresses.as_slice()).await.map_err(failed)
    }

    fn config(&self, address: SocketAddr) -> StreamableHttpServerConfig {
        let mut hosts = StreamableHttpServerConfig::default().allowed_hosts;
        if !address.ip().is_unspecified() {
            hosts.push(host(address.ip()));
        }
        hosts.extend(self.allowed_hosts.iter().cloned());
        // Some clients send an `Origin` header with every request, with the server's own origin.
        let mut origins = vec![format!("http://{address}")];
        if address.ip().is_loopback() {
            origins.push(format!("http://localhost:{}", address.port()));
        }
        origins.extend(self.allowed_origins.iter().cloned());
        StreamableHttpServerConfig::default()
            .with_allowed_hosts(hosts)
            .with_allowed_origins(origins)
            .enforce_origin_validation()
            .with_max_request_body_bytes(message::LARGEST)
            .with_sse_keep_alive(Some(TRY_TIMEOUT))
    }
}

/// An address in the form of a `Host` header.
fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Serves until the server is interrupted.
pub(crate) async fn serve(server: &Arc<Server>, http: Http) -> Result<(), Error> {
    let listener = http.listen().await?;
    let address = listener.local_addr().map_err(|error| invalid(error.to_string()))?;
    let config = http.config(address);
    let end_of_streams = config.cancellation_token.clone();
    let mut all = LocalSessionManager::default();
    // Sessions do not expire: a long-lived one is not cut off, and an unused one is closed when its place is needed.
    all.session_config.keep_alive = None;
    let sessions = Sessions::new(all, http.max_sessions);
    let handler = Handler::new(Arc::clone(server));
    let front = Arc::new(HttpFrontend {
        token: http.token,
        server: Arc::clone(server),
        bodies: Arc::default(),
        sessions: Arc::clone(&sessions),
        answers: TaskTracker::new(),
        service: StreamableHttpService::new(move || Ok(handler.clone()), sessions, config),
    });
    log!("listening at http://{address}{PATH}");
    if front.token.is_none() {
        log!("every user of this machine can use the server; set {TOKEN} to require a bearer token");
    }

    let graceful = GracefulShutdown::new();
    let connections = Connections::new(max_connections());
    let accept = async {
        loop {
            let Ok((stream, address)) = listener.accept().await else {
                connections.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let place = loop {
                match connections.open() {
                    Some(place) => break place,
                    None => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            };
            let connection = connection(stream, address, Arc::clone(&place), Arc::clone(&front));
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                tokio::select! {
                    // If the connection breaks, the calls that arrived on it are cancelled when their futures are
                    // dropped.
                    _ = connection => {}
                    () = place.closed() => {}
                }
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = server.interrupted.cancelled() => {}
    }
    drop(listener);
    server.finish().await;
    // The last answers get some time; streams on which clients only listen would otherwise stay open forever.
    let last = async {
        front.answers.close();
        front.answers.wait().await;
        end_of_streams.cancel();
        graceful.shutdown().await;
    };
    let _ = tokio::time::timeout(LAST_ANSWERS, last).await;
    Ok(())
}

/// The maximum number of connections that the limit on descriptors allows.
fn max_connections() -> usize {
    #[cfg(unix)]
    if let Some(descriptors) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        return half.clamp(1, MAX_CONNECTIONS);
    }
    MAX_CONNECTIONS
}

fn connection(
    stream: TcpStream,
    address: SocketAddr,
    place: Arc<Place>,
    front: Arc<HttpFrontend>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Answers are small, and the client waits for each.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (front, place) = (Arc::clone(&front), Arc::clone(&place));
        async move { Ok::<_, Infallible>(front.answer(request, address, place).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_SIZE)
        .serve_connection(TokioIo::new(stream), service)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}
