//! The one way to an engine: it connects, keeps connections for the next request, and bounds every wait.

use std::error::Error as StdError;
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
use thiserror::Error;

use crate::endpoint::{Address, Endpoint};
use crate::error::Error as Explained;

use super::dial::Dialer;

/// The body of a request.
type Body = Full<Bytes>;

/// A request of which nothing was sent, and why.
type Unsent = (Request<Body>, hyper::Error);

/// How long an engine may take to begin its answer. Under heavy load a start takes many seconds.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// A connection that was not used for longer may have been cut on the way without a sign.
const KEPT_TIME: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Transport {
    dialer: Dialer,
    host: HeaderValue,
    /// The user's own.
    headers: HeaderMap,
    kept: Mutex<Vec<Kept>>,
    make: OnceLock<Make>,
}

/// Which engine it is. They differ in what they tell of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Docker,
    Podman,
    /// It does not say, or a proxy between does not let it.
    Unknown,
}

#[derive(Debug)]
struct Kept {
    sender: SendRequest<Body>,
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// No connection was made, and what to do about it is told.
    #[error("{0}")]
    Explained(#[from] Explained),
    /// No answer came, and why is told.
    #[error("{0}")]
    Unanswered(#[source] Explained),
    #[error("no connection was made within {} s", .0.as_secs_f64())]
    ConnectTimeout(Duration),
    #[error("no answer came within {} s: it hangs, or it is none", ANSWER_TIME.as_secs())]
    AnswerTimeout,
    #[error("{0}")]
    Http(#[source] hyper::Error),
    /// The connection broke while an answer was read.
    #[error("the connection broke: {0}")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
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
            kept: Mutex::default(),
            make: OnceLock::new(),
        }
    }

    /// Which engine it is, as far as an answer has told.
    pub(crate) fn make(&self) -> Make {
        self.make.get().copied().unwrap_or(Make::Unknown)
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
    }

    /// What leads to the engine on another machine, where the address does not say it and a connection was made.
    pub(crate) fn far_end(&self) -> Option<String> {
        self.dialer.far_end()
    }

    /// Sends a request, over a kept connection where there is one.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, TransportError> {
        let mut request = self.addressed(request);
        while let Some(sender) = self.take_kept() {
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
                Err(fault.map_or_else(aborted, TransportError::Unanswered))
            }
        }
    }

    async fn send_over(
        &self,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
    ) -> Result<Result<Response<Incoming>, Unsent>, TransportError> {
        match within(ANSWER_TIME, sender.try_send_request(request)).await {
            None => Err(TransportError::AnswerTimeout),
            Some(Ok(response)) => {
                if let Some(make) = make(&response) {
                    self.make.get_or_init(|| make);
                }
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    self.lock_kept().push(Kept {
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
                Err(fault.map_or(TransportError::Http(error), TransportError::Unanswered))
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

    /// A connection that can take a request now. Those that are closed or were kept for too long are dropped; one
    /// whose answer is still being read stays.
    fn take_kept(&self) -> Option<SendRequest<Body>> {
        let mut kept = self.lock_kept();
        kept.retain(|kept| !kept.sender.is_closed() && kept.since.elapsed() < KEPT_TIME);
        let ready = kept.iter().position(|kept| kept.sender.is_ready())?;
        Some(kept.swap_remove(ready).sender)
    }

    fn lock_kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        // No code that holds the lock can leave the list half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
fn make(response: &Response<Incoming>) -> Option<Make> {
    let server = response.headers().get(SERVER)?.as_bytes();
    if server.starts_with(b"Libpod") {
        Some(Make::Podman)
    } else if server.starts_with(b"Docker") {
        Some(Make::Docker)
    } else {
        None
    }
}
