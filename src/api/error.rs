//! Converts failed calls into the errors that users see.

use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Remedy, sanitize_line};
use crate::request::ContainerName;
use crate::transport::{TransportError, WANTS_TLS};

use super::operation::Operation;
use super::start_failure::{start_failure_kind, tells_container_end, with_advice};
use super::unreachable::unreachable_error;

/// The maximum length of an engine's own text in a message, in characters.
const MAX_WORDS_LEN: usize = 2000;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The engine answered with an HTTP error status.
    Status { status: u16, message: String },
    /// The response to an attached start did not upgrade the connection.
    NoUpgrade,
    /// The response is not one that an engine sends.
    NotAnEngine(String),
    /// There was no response.
    Transport(TransportError),
    /// The response was not complete in time.
    Late(Duration),
}

impl From<TransportError> for ApiError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl ApiError {
    /// Returns the error for the user, which names the operation, the endpoint and the container.
    pub(super) fn into_error(
        self,
        operation: Operation,
        endpoint: &Endpoint,
        container: Option<&ContainerName>,
    ) -> Error {
        let address = endpoint.address();
        match self {
            Self::Status { status, message } => refused(operation, endpoint, container, status, message.trim()),
            Self::NoUpgrade => Error::new(
                ErrorKind::ConnectionLost,
                format!(
                    "the connection to {address} was not upgraded to a stream: a proxy between dexec and the engine \
                     may remove the `Upgrade` header; configure the proxy to pass it, or use the engine's socket"
                ),
            ),
            // The request may have started the command.
            Self::NotAnEngine(reason) if operation.may_have_started() => Error::new(
                ErrorKind::ConnectionLost,
                format!("failed to start the command on the engine at {address}: {reason}"),
            ),
            Self::NotAnEngine(reason) => Error::new(
                ErrorKind::NotAnEngine,
                format!("{address} does not respond like a container engine when asked to {operation}: {reason}"),
            )
            .with_remedies([Remedy::CheckAddress]),
            Self::Transport(error) => unreachable_error(operation, endpoint, error),
            Self::Late(time) => Error::new(
                operation.unanswered_kind(),
                format!(
                    "the engine at {address} did not {operation} within {} s: it is overloaded or hangs",
                    time.as_secs()
                ),
            ),
        }
    }
}

fn refused(
    operation: Operation,
    endpoint: &Endpoint,
    container: Option<&ContainerName>,
    status: u16,
    message: &str,
) -> Error {
    let address = endpoint.address();
    let name = container.map_or("", ContainerName::as_str);
    let kind = refusal_kind(status, message);
    let text = match kind {
        ErrorKind::ContainerNotFound => format!("container `{name}` not found at {address}"),
        ErrorKind::AmbiguousContainer => {
            format!("more than one container id begins with `{name}`: use more digits of the id, or the name")
        }
        ErrorKind::ContainerNotRunning => not_running(name),
        ErrorKind::ContainerPaused => format!("the container `{name}` is paused: unpause it first"),
        ErrorKind::ContainerRestarting => restarting(name),
        // The status is from a proxy, which may have forwarded the start before it failed.
        ErrorKind::NotAnEngine if operation.may_have_started() && status >= 500 => {
            return Error::new(
                ErrorKind::ConnectionLost,
                format!("failed to start the command on the engine at {address}: HTTP status {status} from a proxy"),
            );
        }
        // The text of a response that is not an engine's is left out.
        ErrorKind::NotAnEngine => {
            let redirects = if (300..400).contains(&status) {
                " (a redirect)"
            } else {
                ""
            };
            return Error::new(
                kind,
                format!(
                    "{address} does not respond like a container engine when asked to {operation}: HTTP status \
                     {status}{redirects}"
                ),
            )
            .with_remedies([Remedy::CheckAddress]);
        }
        ErrorKind::Tls => return Error::new(kind, format!("{address} {WANTS_TLS}")),
        _ => {
            let said = if message.is_empty() || message.starts_with('<') {
                format!("HTTP status {status} without a message")
            } else {
                sanitize_line(message, MAX_WORDS_LEN)
            };
            let error = Error::new(kind, format!("the engine at {address} refused to {operation}: {said}"))
                .with_docker_text(format!("Error response from daemon: {said}"));
            return match kind {
                ErrorKind::RefusedByPolicy => error.with_hint(
                    "A proxy or a plugin of the engine denied the call: allow the calls of exec, including those with POST",
                ),
                _ if message.starts_with("client version ") => {
                    error.with_hint("DOCKER_API_VERSION requests this version: unset it to let the engine choose")
                }
                _ => with_advice(error, message),
            };
        }
    };
    Error::new(kind, text).with_docker_text(format!(
        "Error response from daemon: {}",
        sanitize_line(message, MAX_WORDS_LEN)
    ))
}

pub(super) fn not_running(name: &str) -> String {
    format!("the container `{name}` is not running: start it first")
}

pub(super) fn restarting(name: &str) -> String {
    format!("the container `{name}` is restarting: wait until it is running; its logs show why it stops")
}

/// Returns the kind of an error response, based on the messages of Docker 20.10 to 28 and Podman 4.3 to 5.8.
fn refusal_kind(status: u16, message: &str) -> ErrorKind {
    let lower = message.to_lowercase();
    let says = |words: &str| lower.contains(words);
    if status == 401 || status == 403 {
        // The engines do not send these statuses themselves: a plugin or a proxy denies the call.
        ErrorKind::RefusedByPolicy
    } else if says("http request to an https server") || says("plain http request was sent to https port") {
        // The messages of nginx and of Go's HTTP servers, which the engines use.
        ErrorKind::Tls
    } else if message.starts_with('<') || is_foreign(status) {
        ErrorKind::NotAnEngine
    } else if says("multiple ids found") || says("more than one result for container") {
        ErrorKind::AmbiguousContainer
    } else if says("no such container") || says("no container with name or id") {
        ErrorKind::ContainerNotFound
    } else if says("is paused") {
        ErrorKind::ContainerPaused
    } else if says("is restarting") {
        ErrorKind::ContainerRestarting
    } else if tells_container_end(&lower)
        || says("container state improper")
        || says("is exited")
        // An engine knows a newly created exec as long as its container runs.
        || says("no such exec")
        || says("no exec session with id")
    {
        ErrorKind::ContainerNotRunning
    } else if says("client version") && says("is too new") {
        ErrorKind::EngineTooOld
    } else if says("client version") && says("is too old")
        || says("badly formed")
        || says("bad parameter")
        || status == 413
    {
        ErrorKind::InvalidRequest
    } else if status == 404 {
        ErrorKind::NotAnEngine
    } else {
        start_failure_kind(message)
    }
}

/// Returns whether no engine sends this status for a call that it knows: the status is not an error, such as a
/// redirect, or it is that of a server that does not know the call's method or protocol.
fn is_foreign(status: u16) -> bool {
    !(400..600).contains(&status) || matches!(status, 405 | 411 | 421 | 426 | 501 | 505)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a list of cases")]
    fn error_messages_of_every_engine_have_the_same_kind() {
        for (status, message, kind) in [
            (404, "No such container: x", ErrorKind::ContainerNotFound),
            (
                404,
                "no container with name or ID \"x\" found: no such container",
                ErrorKind::ContainerNotFound,
            ),
            (
                500,
                "Multiple IDs found with provided prefix: b",
                ErrorKind::AmbiguousContainer,
            ),
            (
                404,
                "more than one result for container ID b: container already exists",
                ErrorKind::AmbiguousContainer,
            ),
            (409, "Container 12ab is not running", ErrorKind::ContainerNotRunning),
            (
                500,
                "can only create exec sessions on running containers: container state improper",
                ErrorKind::ContainerNotRunning,
            ),
            (404, "No such exec instance: 12ab", ErrorKind::ContainerNotRunning),
            (
                404,
                "no exec session with ID 12ab found: no such exec session",
                ErrorKind::ContainerNotRunning,
            ),
            (
                409,
                "Container c3 is paused, unpause the container before exec",
                ErrorKind::ContainerPaused,
            ),
            (
                409,
                "cannot create exec session as container 12ab is paused",
                ErrorKind::ContainerPaused,
            ),
            (
                409,
                "Container 12ab is restarting, wait until the container is running",
                ErrorKind::ContainerRestarting,
            ),
            (
                400,
                "unable to find user nosuch: no matching entries in passwd file",
                ErrorKind::UserNotFound,
            ),
            (
                400,
                "environment variable \"FOO\" badly formed: bad parameter",
                ErrorKind::InvalidRequest,
            ),
            (404, "404 page not found", ErrorKind::NotAnEngine),
            (
                403,
                "<html><body><h1>403 Forbidden</h1></body></html>",
                ErrorKind::RefusedByPolicy,
            ),
            (
                403,
                "authorization denied by plugin opa: no exec",
                ErrorKind::RefusedByPolicy,
            ),
            (301, "", ErrorKind::NotAnEngine),
            (302, "Found", ErrorKind::NotAnEngine),
            (405, "Method Not Allowed", ErrorKind::NotAnEngine),
            (501, "Unsupported method ('POST')", ErrorKind::NotAnEngine),
            (404, "{\"error\":\"not found\"}", ErrorKind::NotAnEngine),
            (
                500,
                "cannot exec in a stopped state: unknown",
                ErrorKind::ContainerNotRunning,
            ),
            (
                404,
                "task 0123456789ab not found: not found",
                ErrorKind::ContainerNotRunning,
            ),
            (502, "<html>bad gateway</html>", ErrorKind::NotAnEngine),
            (400, "Client sent an HTTP request to an HTTPS server.", ErrorKind::Tls),
            (
                400,
                "<html><body>400 The plain HTTP request was sent to HTTPS port</body></html>",
                ErrorKind::Tls,
            ),
            (
                400,
                "client version 1.99 is too new. Maximum supported API version is 1.41",
                ErrorKind::EngineTooOld,
            ),
            (
                400,
                "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client",
                ErrorKind::InvalidRequest,
            ),
            (500, "something new", ErrorKind::EngineError),
            (500, "", ErrorKind::EngineError),
        ] {
            assert_eq!(refusal_kind(status, message), kind, "{message}");
        }
    }
}
