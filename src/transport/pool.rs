//! Sends requests over connections that are kept for the next one, and bounds every wait.

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

/// The body of a request.
type Body = Full<Bytes>;

/// A request of which nothing was sent, and why.
type Unsent = (Request<Body>, hyper::Error);

/// A connection that was not used for longer may have been cut on the way without a sign.
const MAX_IDLE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Transport {
    dialer: Dialer,
    host: HeaderValue,
    /// The user's own.
    headers: HeaderMap,
    idle: Mutex<Vec<IdleConnection>>,
    kind: OnceLock<EngineKind>,
}

/// Which engine it is. They differ in what they tell of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Docker,
    Podman,
    /// It does not say, or a proxy between does not let it.
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
                // The zone of an address is of no concern to the other end.
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
            // The endpoint has looked at each.
            if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Self {
            dialer: Dialer::new(endpoint),
            headers,
            // What docker sends where the address is no host.
            host: host.unwrap_or(HeaderValue::from_static("api.moby.localhost")),
            idle: Mutex::default(),
            kind: OnceLock::new(),
        }
    }

    /// Which engine it is, as far as an answer has told.
    pub(crate) fn kind(&self) -> EngineKind {
        self.kind.get().copied().unwrap_or(EngineKind::Unknown)
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
    }

    /// What leads to the engine on another machine, where the address does not say it and a connection was made.
    pub(crate) fn far_end(&self) -> Option<String> {
        self.dialer.far_end()
    }

    /// Sends a request, over an idle connection where there is one.
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
        // Its errors reach whoever waits for an answer over it.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// A connection that can take a request now. Those that are closed or were idle for too long are dropped; one
    /// whose answer is still being read stays.
    fn take_idle(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.lock_idle();
        idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < MAX_IDLE);
        let ready = idle.iter().position(|idle| idle.sender.is_ready())?;
        Some(idle.swap_remove(ready).sender)
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        // No code that holds the lock can leave the list half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request as it goes over a connection: the path alone, below the endpoint's own and the API's version where
    /// there are such, and the headers that say from whom and to whom. The user's own headers stand behind ours.
    fn addressed(&self, request: Request<Body>) -> Request<Body> {
        let (mut parts, body) = request.into_parts();
        if let Some(path) = parts.uri.path_and_query() {
            let endpoint = self.endpoint();
            let base = endpoint.base_path();
            let whole = match endpoint.api_version() {
                // Podman's own calls have a version of their own.
                Some(version) if !path.as_str().contains("/libpod/") => format!("{base}/v{version}{path}"),
                _ => format!("{base}{path}"),
            };
            // The endpoint has looked at what is put before the path.
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

/// The maker that an answer names.
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
