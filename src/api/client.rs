//! Uses bollard as the client for the typed calls, over dexec's own transport.
//!
//! bollard reads responses without a limit, logs request bodies, loses the status of some error responses, and parses
//! a terminal's output as frames. Therefore the transport reads each response completely and within its limits before
//! bollard gets it, error responses do not reach bollard, and the connection of an attached start is taken out of the
//! response. Data that must not be logged is put into the request after bollard has logged it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::errors::Error as BollardError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::Builder;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::transport::{Connection, Transport, TransportError, Upgraded};

use super::error::ApiError;
use super::http::{MAX_ANSWER_SIZE, broken, read_body, read_refusal};

/// bollard requires an address; the transport uses only the path of a request.
const ADDRESS: &str = "http://engine";

/// bollard's own timeout in seconds, effectively disabled: it covers only the head of a response. Each call has a
/// timeout that covers all of it.
const NO_TIMEOUT: u64 = 24 * 60 * 60;

/// The size in bytes of the buffer through which a replayed response is passed to bollard.
const REPLAY_BUFFER: usize = 16 * 1024;

/// Removes parts of a response's body.
type Reduce = fn(&[u8]) -> serde_json::Result<Vec<u8>>;

/// How a call differs from bollard's default.
#[derive(Clone, Debug, Default)]
pub(super) struct CallOptions {
    /// Sent instead of bollard's body.
    pub(super) body: Option<Bytes>,
    /// If set, the call asks for an upgrade, and the connection is put here.
    pub(super) upgrade: Option<UpgradeSlot>,
    /// Applied to the response's body before it is passed to bollard, which logs all of it.
    pub(super) reduce: Option<Reduce>,
}

/// Receives the connection of an attached start.
#[derive(Clone, Debug, Default)]
pub(super) struct UpgradeSlot(Arc<Mutex<Option<Upgraded>>>);

impl UpgradeSlot {
    fn put(&self, upgraded: Upgraded) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgraded);
    }

    pub(super) fn take(&self) -> Option<Upgraded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An [`ApiError`] that is passed through bollard's error type.
#[derive(Debug, Error)]
#[error("{0:?}")]
struct Carried(ApiError);

pub(super) fn client(transport: &Arc<Transport>) -> Docker {
    let transport = Arc::clone(transport);
    let send = move |request: BollardRequest| {
        let transport = Arc::clone(&transport);
        async move {
            let answer = answer(&transport, request).await;
            answer.map_err(|refusal| io::Error::other(Carried(refusal)).into())
        }
    };
    match Docker::connect_with_custom_transport(send, Some(ADDRESS), NO_TIMEOUT, API_DEFAULT_VERSION) {
        Ok(client) => client,
        // The function only stores its arguments, and the address has a scheme.
        Err(error) => unreachable!("{error}"),
    }
}

/// Returns the same client with options for one call.
pub(super) fn with_options(client: &Docker, options: CallOptions) -> Docker {
    client.clone().with_request_modifier(move |mut request| {
        request.extensions_mut().insert(options.clone());
        request
    })
}

async fn answer(transport: &Transport, request: BollardRequest) -> Result<Response<Incoming>, ApiError> {
    let (mut parts, body) = request.into_parts();
    let options: CallOptions = parts.extensions.remove().unwrap_or_default();
    let body = match options.body {
        Some(body) => body,
        None => body.collect().await.map_err(broken)?.to_bytes(),
    };
    // bollard sets two content types for an archive.
    if let Some(kind) = parts.headers.get(CONTENT_TYPE).cloned() {
        parts.headers.insert(CONTENT_TYPE, kind);
    }
    let mut response = transport.send(Request::from_parts(parts, Full::new(body))).await?;
    match (response.status(), options.upgrade) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(slot)) => {
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(TransportError::Http)?;
            let parts = upgraded
                .downcast::<TokioIo<Connection>>()
                .map_err(|_| ApiError::NoUpgrade)?;
            slot.put(Upgraded {
                connection: parts.io.into_inner(),
                read_ahead: parts.read_buf,
            });
            // bollard finds no connection in the response and fails; the caller already has the connection.
            Ok(response)
        }
        (status, Some(_)) if status.is_success() => Err(ApiError::NoUpgrade),
        (status, None) if status.is_success() => {
            let mut body = read_body(response, MAX_ANSWER_SIZE).await?;
            if let Some(reduce) = options.reduce {
                body = reduce(&body)
                    .map_err(|error| ApiError::NotAnEngine(error.to_string()))?
                    .into();
            }
            Ok(replay(status, body).await.map_err(broken)?)
        }
        _ => Err(read_refusal(response).await),
    }
}

/// Returns a response that was already read, as the only type that bollard accepts, which only a hyper connection can
/// create.
async fn replay(status: StatusCode, body: Bytes) -> hyper::Result<Response<Incoming>> {
    let (near, mut far) = tokio::io::duplex(REPLAY_BUFFER);
    let (mut sender, exchange) = Builder::new().handshake(TokioIo::new(near)).await?;
    tokio::spawn(exchange);
    tokio::spawn(async move {
        let head = format!(
            "HTTP/1.1 {} \r\ncontent-length: {}\r\n\r\n",
            status.as_u16(),
            body.len()
        );
        // hyper accepts a response only after its request was sent.
        far.read_u8().await?;
        far.write_all(head.as_bytes()).await?;
        far.write_all(&body).await
    });
    sender.send_request(Request::new(Empty::<Bytes>::new())).await
}

impl From<BollardError> for ApiError {
    fn from(error: BollardError) -> Self {
        match error {
            BollardError::IOError { err } => match err.downcast() {
                Ok(Carried(refusal)) => refusal,
                Err(error) => broken(error).into(),
            },
            BollardError::JsonDataError { message, .. } => Self::NotAnEngine(message),
            error => Self::NotAnEngine(error.to_string()),
        }
    }
}
