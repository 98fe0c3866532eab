//! Why there was no response.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::error::Error as Diagnosed;

/// How long an engine may take to begin its response. Under heavy load a start takes many seconds.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The message for a port that expects TLS, if the request was sent without TLS.
pub(crate) const WANTS_TLS: &str = "requires TLS, and the request was sent without TLS: set DOCKER_TLS_VERIFY=1, and \
                                    DOCKER_CERT_PATH to the directory of ca.pem, cert.pem and key.pem";

/// Why there was no response.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// No connection was made; the error says why and what to do about it.
    #[error("{0}")]
    Diagnosed(#[from] Diagnosed),
    /// There was no response; the error says why.
    #[error("{0}")]
    NoResponse(#[source] Diagnosed),
    #[error("no connection was made within {} s", .0.as_secs_f64())]
    ConnectTimeout(Duration),
    #[error("no response within {} s: the engine hangs, or the server is not an engine", ANSWER_TIMEOUT.as_secs())]
    AnswerTimeout,
    #[error("{0}")]
    Http(#[source] hyper::Error),
    /// The connection broke while a response was read.
    #[error("the connection broke: {0}")]
    BodyRead(#[source] Box<dyn StdError + Send + Sync>),
}
