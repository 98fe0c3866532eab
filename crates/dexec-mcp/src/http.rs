//! Serves many clients over streamable HTTP.

mod body;
mod connections;
mod sessions;

use std::convert::Infallible;
use std::env::VarError;
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
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rmcp::model::{JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::caller::Connection;
use crate::calls::HeldRoom;
use crate::handler::Handler;
use crate::message;
use crate::server::Server;

use body::{Bodies, Bounded, Fate, Refused};
use connections::{Connections, Place, Use, Used};
use sessions::{InUse, Sessions};

const PATH: &str = "/mcp";

/// The environment variable that contains the bearer token.
const TOKEN: &str = "DEXEC_MCP_TOKEN";

/// The minimum length of a token; a shorter one could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The header with the session id.
const SESSION: &str = "mcp-session-id";

/// The most connections. The limit is lower if it is more than half of the process's descriptors; calls need some too.
const MAX_CONNECTIONS: usize = 512;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of a request's head, and of one read.
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
    most_sessions: usize,
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
        most_sessions: usize,
    ) -> Result<Self, Error> {
        let token = match token_file {
            Some(file) => Some(std::fs::read_to_string(&file).map_err(|error| {
                invalid(format!(
                    "the file {} of --http-token-file can't be read: {error}",
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
    let sessions = Sessions::new(all, http.most_sessions);
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
        log!("every user of this machine can use it; {TOKEN} asks for a token");
    }

    let graceful = GracefulShutdown::new();
    let connections = Connections::new(most_connections());
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

/// The most connections that the limit on descriptors allows.
fn most_connections() -> usize {
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

/// Handles HTTP requests before the MCP library does.
struct HttpFrontend {
    token: Option<String>,
    server: Arc<Server>,
    bodies: Arc<Bodies>,
    sessions: Arc<Sessions>,
    /// Tracks the answers to calls until they are sent.
    answers: TaskTracker,
    service: StreamableHttpService<Handler, Sessions>,
}

type Answer = Response<TrackedBody>;

impl HttpFrontend {
    async fn answer(&self, request: Request<Incoming>, address: SocketAddr, place: Arc<Place>) -> Answer {
        let gone = CancellationToken::new();
        // The call is cancelled when both this future and the answer's body are dropped.
        let guard = gone.clone().drop_guard();
        let call = (request.method() == Method::POST).then(|| self.answers.token());
        let (fate, room) = (Arc::<Fate>::default(), HeldRoom::default());
        let (mut in_use, mut listening) = (None, None);
        let answer = if !self.is_allowed(&request) {
            let mut answer = refusal(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            let bearer = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            answer
        } else if request.uri().path() != PATH {
            refusal(StatusCode::NOT_FOUND, "the server is at /mcp")
        } else {
            let id = request.headers().get(SESSION).and_then(|id| id.to_str().ok());
            in_use = id.and_then(|id| self.sessions.used(id));
            place.heard();
            if request.method() == Method::GET {
                listening = Some(place.used(Use::Listening));
            }
            // The body is not read if the headers are refused.
            let mut request = request.map(|body| {
                let server = Arc::clone(&self.server);
                let known = (Arc::clone(&fate), Arc::clone(&room));
                Bounded::new(body, &self.bodies, place, server, known)
            });
            request.extensions_mut().insert(Connection {
                address,
                gone,
                _room: room,
            });
            let answer = self.service.handle(request).await;
            fate.refused.get().map_or(answer, refusal_of_body)
        };
        answer.map(|body| TrackedBody {
            body,
            _guard: guard,
            _call: call,
            _in_use: in_use,
            _listening: listening,
            _fate: fate,
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
        // The comparison takes constant time, so that the time of a refusal reveals nothing about the token.
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(token.as_bytes()))
    }
}

fn refusal(status: StatusCode, reason: impl Into<Bytes>) -> Response<BoxBody<Bytes, Infallible>> {
    let mut answer = Response::new(Full::new(reason.into()).boxed());
    *answer.status_mut() = status;
    answer
}

/// An error of the protocol, with the request's id if it is known.
fn refusal_of_body(refused: &Refused) -> Response<BoxBody<Bytes, Infallible>> {
    let error: ServerJsonRpcMessage = JsonRpcMessage::error(refused.error.clone(), refused.id.clone());
    // All of its fields can be written as JSON.
    let mut answer = refusal(refused.status, serde_json::to_vec(&error).unwrap_or_default());
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// An answer's body, which releases its guards when it is dropped.
struct TrackedBody {
    body: BoxBody<Bytes, Infallible>,
    _guard: DropGuard,
    _call: Option<TaskTrackerToken>,
    _in_use: Option<InUse>,
    _listening: Option<Used>,
    _fate: Arc<Fate>,
}

impl Body for TrackedBody {
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
