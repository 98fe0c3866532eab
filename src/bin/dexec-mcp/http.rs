//! Many clients, over streamable HTTP.

mod sessions;

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dexec::{CancellationToken, Error, ErrorKind};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use crate::handler::Handler;
use crate::server::Server;

use sessions::{InUse, Sessions};

const PATH: &str = "/mcp";

/// The environment variable with the bearer token.
const TOKEN: &str = "DEXEC_MCP_TOKEN";

/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The header with which a client names its session.
const SESSION: &str = "mcp-session-id";

/// The header with which a client names the version of the protocol, a date.
const VERSION: &str = "mcp-protocol-version";

/// The version that has no sessions any more.
const WITHOUT_SESSIONS: &[u8] = b"2026-07-28";

/// A session without a message for so long is ended, with what it runs: no call may take longer by itself.
const IDLE_TIME: Duration = Duration::from_secs(20 * 60);

const MOST_CONNECTIONS: usize = 1024;

/// How long a client may take for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long answers that are on their way are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Where the system has no descriptor for a connection, it may have one later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// As much as over standard input.
const LARGEST_REQUEST: usize = 16 * 1024 * 1024;

/// How the server is reached over HTTP, and by whom.
pub(crate) struct Http {
    address: String,
    token: Option<String>,
    allowed_hosts: Vec<String>,
    allowed_origins: Vec<String>,
    most_sessions: usize,
}

/// The token is a secret.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The connection over which a request came.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) address: SocketAddr,
    /// The client has gone, or has its answer.
    pub(crate) gone: CancellationToken,
}

impl Http {
    pub(crate) fn new(
        address: String,
        token_file: Option<PathBuf>,
        allowed_hosts: Vec<String>,
        allowed_origins: Vec<String>,
        most_sessions: usize,
    ) -> Result<Self, Error> {
        let token = match token_file {
            Some(file) => Some(std::fs::read_to_string(&file).map_err(|error| {
                invalid(format!(
                    "the file {} of --http-token-file can't be read: {error}",
                    file.display()
                ))
            })?),
            None => std::env::var(TOKEN).ok(),
        };
        let token = token.map(|token| token.trim().to_owned());
        if let Some(token) = &token
            && (token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(invalid(format!(
                "the bearer token has to be {SHORTEST_TOKEN} or more printable characters, without spaces: make one \
                 with `openssl rand -hex 32`"
            )));
        }
        Ok(Self {
            address,
            token,
            allowed_hosts,
            allowed_origins,
            most_sessions,
        })
    }

    async fn listen(&self) -> Result<TcpListener, Error> {
        let failed = |error| invalid(format!("can't listen at {} (--http): {error}", self.address));
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&self.address).await.map_err(failed)?.collect();
        if self.token.is_none() && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(invalid(format!(
                "{} (--http) can be reached by other machines, so clients need a bearer token: give one by {TOKEN} or \
                 --http-token-file, or listen at 127.0.0.1",
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
        // Clients that always send an origin send the server's own.
        let mut origins = vec![format!("http://{address}")];
        if address.ip().is_loopback() {
            origins.push(format!("http://localhost:{}", address.port()));
        }
        origins.extend(self.allowed_origins.iter().cloned());
        StreamableHttpServerConfig::default()
            .with_allowed_hosts(hosts)
            .with_allowed_origins(origins)
            .enforce_origin_validation()
            .with_max_request_body_bytes(LARGEST_REQUEST)
    }
}

/// An address as it stands in a `Host` header.
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
    let mut session_config = SessionConfig::default();
    session_config.keep_alive = Some(IDLE_TIME);
    let mut sessions = LocalSessionManager::default();
    sessions.session_config = session_config;
    let sessions = Arc::new(sessions);
    let handler = Handler::new(Arc::clone(server));
    let front = Arc::new(Front {
        token: http.token,
        sessions: Sessions::new(Arc::clone(&sessions), http.most_sessions),
        service: StreamableHttpService::new(move || Ok(handler.clone()), sessions, config),
    });
    eprintln!("dexec-mcp: listening at http://{address}{PATH}");

    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let accept = async {
        loop {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, address)) => {
                    let connection = connections.watch(connection(stream, address, Arc::clone(&front)));
                    tokio::spawn(async move {
                        // A connection that breaks is told by the calls that came over it.
                        let _ = connection.await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = server.interrupted.cancelled() => {}
    }
    drop(listener);
    server.finish().await;
    // Streams that carry nothing would be open for ever; those of the last answers are given their time.
    let ended = tokio::time::timeout(LAST_ANSWERS, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        end_of_streams.cancel();
        connections.shutdown().await;
    });
    let _ = ended.await;
    Ok(())
}

fn connection(
    stream: TcpStream,
    address: SocketAddr,
    front: Arc<Front>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Answers are small, and each is waited for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(front.answer(request, address).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service)
}

/// What stands before the protocol.
struct Front {
    token: Option<String>,
    sessions: Arc<Sessions>,
    service: StreamableHttpService<Handler, LocalSessionManager>,
}

type Answer = Response<Watched>;

impl Front {
    async fn answer(&self, mut request: Request<Incoming>, address: SocketAddr) -> Answer {
        let gone = CancellationToken::new();
        // While this future or the answer's body is there, somebody waits for it.
        let guard = gone.clone().drop_guard();
        let mut in_use = None;
        let answer = if !self.is_allowed(&request) {
            let mut answer = refusal(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            answer
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        } else if request.uri().path() != PATH {
            refusal(StatusCode::NOT_FOUND, "the server is at /mcp")
        } else if begins_session(request.headers()) && !self.sessions.make_room().await {
            refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "every session is in use: try again later",
            )
        } else {
            request.extensions_mut().insert(Connection { address, gone });
            in_use = session(request.headers()).and_then(|id| self.sessions.used(id));
            let answer = self.service.handle(request).await;
            if let Some(id) = session(answer.headers()) {
                in_use = in_use.or_else(|| self.sessions.begun(id));
            }
            answer
        };
        answer.map(|body| Watched {
            body,
            _guard: guard,
            _in_use: in_use,
        })
    }

    fn is_allowed(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &self.token else { return true };
        let given = request
            .headers()
            .get(AUTHORIZATION)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        let (scheme, given) = given.split_at(given.len().min("Bearer ".len()));
        // In constant time: how long a refusal takes says nothing of the token.
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(token.as_bytes()))
    }
}

/// The session that these headers name.
fn session(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION)?.to_str().ok()
}

/// Whether a request without a session asks for one, which clients of the newer protocol never do.
fn begins_session(headers: &HeaderMap) -> bool {
    let version = headers.get(VERSION).map_or(b"".as_slice(), HeaderValue::as_bytes);
    session(headers).is_none() && version < WITHOUT_SESSIONS
}

fn refusal(status: StatusCode, reason: &'static str) -> Response<BoxBody<Bytes, Infallible>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(reason.as_bytes())).boxed());
    *answer.status_mut() = status;
    answer
}

/// An answer's body, which tells when it is not waited for any more.
struct Watched {
    body: BoxBody<Bytes, Infallible>,
    _guard: DropGuard,
    _in_use: Option<InUse>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}
