//! Sends requests over connections that are reused, and limits every wait.

use std::future::Future;
use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, SERVER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::endpoint::{Address, Endpoint};

use super::connect::Dialer;
use super::error::{ANSWER_TIMEOUT, TransportError};

type Body = Full<Bytes>;

/// A request of which nothing was sent, and the reason.
type Unsent = (Request<Body>, hyper::Error);

/// How long a connection may be unused: after that, the network may have dropped it without notice.
const MAX_IDLE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Transport {
    dialer: Dialer,
    host: HeaderValue,
    /// The user's own headers.
    headers: HeaderMap,
    idle: Mutex<Vec<IdleConnection>>,
    kind: OnceLock<EngineKind>,
}

/// The kind of engine. The kinds differ in what they report about a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Docker,
    Podman,
    /// The engine does not report it, or a proxy removes the header.
    Unknown,
}

#[derive(Debug)]
struct IdleConnection {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let host = match endpoint.address() {
            address @ Address::Tcp { host, .. } => {
                let authority = address.to_string().strip_prefix("tcp://").map(str::to_owned);
                // The zone of an address has a meaning only on this machine.
                match host.split_once('%') {
                    Some((_, zone)) => authority.map(|authority| authority.replacen(&format!("%25{zone}]"), "]", 1)),
                    None => authority,
                }
            }
            _ => None,
        };
        let host = host.and_then(|host| HeaderValue::from_str(&host).ok());
        let mut headers = HeaderMap::new();
        for (name, value) in endpoint.headers() {
            // The endpoint has already validated each header.
            if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Self {
            dialer: Dialer::new(endpoint),
            headers,
            // docker sends this value if the address has no host.
            host: host.unwrap_or(HeaderValue::from_static("api.moby.localhost")),
            idle: Mutex::default(),
            kind: OnceLock::new(),
        }
    }

    /// Returns the kind of engine, if a response has named it.
    pub(crate) fn kind(&self) -> EngineKind {
        self.kind.get().copied().unwrap_or(EngineKind::Unknown)
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
    }

    /// Returns how the engine on another machine was reached, if the address does not say it and a connection was
    /// made.
    pub(crate) fn far_end(&self) -> Option<String> {
        self.dialer.far_end()
    }

    /// Sends a request, over an idle connection if there is one.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, TransportError> {
        let mut request = self.addressed(request);
        while let Some(sender) = self.take_idle() {
            match self.send_over(sender, request).await? {
                Ok(response) => return Ok(response),
                // The engine had closed the connection, and nothing of the request was sent.
                Err((unsent, _)) => request = unsent,
            }
        }
        let sender = self.connect().await?;
        match self.send_over(sender, request).await? {
            Ok(response) => Ok(response),
            Err((_, error)) => {
                let fault = self.dialer.fault_of_answer(&error).await;
                let aborted = || TransportError::Connect(io::ErrorKind::ConnectionAborted.into());
                Err(fault.map_or_else(aborted, TransportError::NoResponse))
            }
        }
    }

    async fn send_over(
        &self,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
    ) -> Result<Result<Response<Incoming>, Unsent>, TransportError> {
        match within(ANSWER_TIMEOUT, sender.try_send_request(request)).await {
            None => Err(TransportError::AnswerTimeout),
            Some(Ok(response)) => {
                if let Some(kind) = kind(&response) {
                    self.kind.get_or_init(|| kind);
                }
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    self.lock_idle().push(IdleConnection {
                        sender,
                        since: Instant::now(),
                    });
                }
                Ok(Ok(response))
            }
            Some(Err(mut error)) => {
                if let Some(unsent) = error.take_message() {
                    return Ok(Err((unsent, error.into_error())));
                }
                let error = error.into_error();
                let fault = self.dialer.fault_of_answer(&error).await;
                Err(fault.map_or(TransportError::Http(error), TransportError::NoResponse))
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, TransportError> {
        let socket = self.dialer.dial().await?;
        let (sender, connection) = Builder::new()
            .handshake(TokioIo::new(socket))
            .await
            .map_err(TransportError::Http)?;
        // Errors of the connection are returned to the callers that wait for a response over it.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// Returns a connection that can send a request now. Drops connections that are closed or were unused for too
    /// long, and skips those whose response is still being read.
    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.lock_idle();
        idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < MAX_IDLE);
        let ready = idle.iter().position(|idle| idle.sender.is_ready())?;
        Some(idle.swap_remove(ready).sender)
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        // No code that holds the lock can leave the list in an inconsistent state.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the request as it is sent: with the path only, after the endpoint's base path and the API version if it
    /// has them, and with the headers for the host, the user agent and the user's own. dexec's headers take precedence
    /// over the user's.
    fn addressed(&self, request: Request<Body>) -> Request<Body> {
        let (mut parts, body) = request.into_parts();
        if let Some(path) = parts.uri.path_and_query() {
            let endpoint = self.endpoint();
            let base = endpoint.base_path();
            let whole = match endpoint.api_version() {
                // The paths of Podman's own calls already contain a version.
                Some(version) if !path.as_str().contains("/libpod/") => format!("{base}/v{version}{path}"),
                _ => format!("{base}{path}"),
            };
            // The endpoint has already validated what precedes the path.
            parts.uri = whole.parse().unwrap_or_else(|_| path.clone().into());
        }
        for (name, value) in &self.headers {
            if !parts.headers.contains_key(name) {
                parts.headers.insert(name, value.clone());
            }
        }
        parts.headers.insert(HOST, self.host.clone());
        parts.headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("dexec/", env!("CARGO_PKG_VERSION"))),
        );
        Request::from_parts(parts, body)
    }
}

async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(time, future).await.ok()
}

/// Returns the kind of engine that the response's `Server` header names.
fn kind(response: &Response<Incoming>) -> Option<EngineKind> {
    let server = response.headers().get(SERVER)?.as_bytes();
    if server.starts_with(b"Libpod") {
        Some(EngineKind::Podman)
    } else if server.starts_with(b"Docker") {
        Some(EngineKind::Docker)
    } else {
        None
    }
}
