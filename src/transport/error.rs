//! Why there is no answer.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::error::Error as Diagnosed;

/// How long an engine may take to begin its answer. Under heavy load a start takes many seconds.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What to say of a port at which TLS is spoken, and that was asked without.
pub(crate) const WANTS_TLS: &str = "speaks TLS, and was asked without: set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to \
                                    the directory of ca.pem, cert.pem and key.pem";

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// No connection was made, and what to do about it is told.
    #[error("{0}")]
    Diagnosed(#[from] Diagnosed),
    /// No answer came, and why is told.
    #[error("{0}")]
    NoResponse(#[source] Diagnosed),
    #[error("no connection was made within {} s", .0.as_secs_f64())]
    ConnectTimeout(Duration),
    #[error("no answer came within {} s: it hangs, or it is none", ANSWER_TIMEOUT.as_secs())]
    AnswerTimeout,
    #[error("{0}")]
    Http(#[source] hyper::Error),
    /// The connection broke while an answer was read.
    #[error("the connection broke: {0}")]
    BodyRead(#[source] Box<dyn StdError + Send + Sync>),
}
