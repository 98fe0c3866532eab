//! Reads whole responses, within limits of size and time.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::transport::TransportError;

use super::error::ApiError;

/// How long one call may take, including the response's body. Docker was seen to delay an inspect response for 2 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);

/// How often a failed query is sent again over another connection.
const MAX_RETRIES: u32 = 2;

const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The maximum size of a response's body in bytes. A list of ten thousand containers is smaller.
pub(super) const MAX_ANSWER_SIZE: usize = 16 * 1024 * 1024;

/// The cost of a piece of a response in addition to its bytes, so that a body in pieces of one byte is limited too.
const COST_OF_PIECE: usize = 64;

/// The maximum size of an error response's body in bytes. No engine sends a longer one.
const MAX_REFUSAL_LEN: usize = 64 * 1024;

/// Makes a query, and repeats it if the connection breaks, because a query changes nothing.
pub(super) async fn retried<T, E, F>(ask: impl Fn() -> F) -> Result<T, ApiError>
where
    ApiError: From<E>,
    F: Future<Output = Result<T, E>>,
{
    let mut tries = 0;
    loop {
        match within_time(ask()).await {
            Err(ApiError::Transport(
                TransportError::Http(_) | TransportError::NoResponse(_) | TransportError::BodyRead(_),
            )) if tries < MAX_RETRIES => {
                tries += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Runs one call with [`CALL_TIMEOUT`].
pub(super) async fn within_time<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T, ApiError>
where
    ApiError: From<E>,
{
    // bollard's futures are tens of kilobytes large.
    let call = Box::pin(call);
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ApiError::Late(CALL_TIMEOUT)),
    }
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Bytes, ApiError> {
    let json = serde_json::to_vec(value).map_err(broken)?;
    Ok(json.into())
}

pub(super) fn from_json<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(answer).map_err(|error| ApiError::NotAnEngine(error.to_string()))
}

pub(super) fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
    TransportError::BodyRead(error.into())
}

/// Reads the error from a response with an error status: the engines' JSON, or plain text.
pub(super) async fn read_refusal(response: Response<Incoming>) -> ApiError {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }

    let status = response.status().as_u16();
    match read_body(response, MAX_REFUSAL_LEN).await {
        Ok(body) => {
            let message = serde_json::from_slice::<Body>(&body)
                .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |body| body.message);
            ApiError::Status { status, message }
        }
        Err(refusal) => refusal,
    }
}

/// Returns a response's body as one buffer, however small its pieces are.
pub(super) async fn read_body(response: Response<Incoming>, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    let mut cost = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        cost += data.len() + COST_OF_PIECE;
        if cost > limit.saturating_mul(2) || bytes.len() + data.len() > limit {
            return Err(ApiError::NotAnEngine(format!(
                "the response is larger than {limit} bytes"
            )));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}
