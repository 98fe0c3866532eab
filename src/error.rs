//! Errors from outside the command itself.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

mod remedy;

pub use remedy::Remedy;

/// A coarse, stable name for a failure, the same on every engine. A response contains it as `errorKind`.
///
/// More kinds may be added: treat an unknown one as [`ErrorKind::EngineError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The engine has no container with this name or id.
    ContainerNotFound,
    /// The given prefix matches the ids of more than one container.
    AmbiguousContainer,
    /// The container exists but is not running.
    ContainerNotRunning,
    /// The container is paused.
    ContainerPaused,
    /// The container is restarting.
    ContainerRestarting,
    /// The container stopped while the command ran.
    ContainerStopped,
    /// The command's program does not exist in the container.
    CommandNotFound,
    /// The command's program exists but can't be executed.
    CommandNotExecutable,
    /// The working directory does not exist in the container, or is not a directory.
    WorkdirNotFound,
    /// The user or group does not exist in the container, or its number is out of range.
    UserNotFound,
    /// The container lacks something that the request requires.
    UnsupportedInContainer,
    /// The engine or dexec rejects the request as invalid. dexec refuses most such requests before it sends anything.
    InvalidRequest,
    /// A rule set by the operator forbids the request.
    RefusedByPolicy,
    /// Nothing answers at the endpoint.
    EngineUnreachable,
    /// The endpoint exists, but this user may not use it.
    PermissionDenied,
    /// No TLS connection could be made.
    Tls,
    /// No ssh connection could be made.
    Ssh,
    /// Something answers at the endpoint, but it is not a container engine.
    NotAnEngine,
    /// The engine is too old for the request.
    EngineTooOld,
    /// The connection was lost before the command's exit code was known.
    ConnectionLost,
    /// The caller cancelled the command.
    Interrupted,
    /// The command's output could not be passed on.
    OutputFailed,
    /// The engine failed in a way that has no specific kind.
    EngineError,
}

/// Makes external text safe for a message: on one line, without control characters, cut to at most `most` characters.
pub(crate) fn sanitize_line(words: &str, most: usize) -> String {
    let mut shown: String = words
        .trim()
        .chars()
        .take(most)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if words.trim().chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns the system's error text as Go prints it: in lower case, without the error number.
pub(crate) fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}

/// A failure of the engine, the endpoint or the request. A non-zero exit code of the command is not an error.
///
/// Its `Display` is one or two lines that say what was tried, what went wrong and what to do next. They never contain
/// the values of the command's environment, or keys.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    /// The cause, followed by the text of the remedies.
    text: String,
    /// The length of the cause in bytes.
    cause_size: usize,
    remedies: Vec<Remedy>,
    docker_text: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error. `message` says what was tried, what went wrong and what to do next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let text = message.into();
        Self {
            kind,
            cause_size: text.len(),
            text,
            remedies: Vec::new(),
            docker_text: None,
            source: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// Sets the text that `docker exec` prints for this failure, if it has one.
    #[must_use]
    pub fn with_docker_text(mut self, text: impl Into<String>) -> Self {
        self.docker_text = Some(text.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Adds a hint to the cause, as a further sentence.
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        if !hint.is_empty() {
            self.text.truncate(self.cause_size);
            self.text.push_str(". ");
            self.text.push_str(hint);
            self.cause_size = self.text.len();
        }
        self.reworded(Remedy::to_string)
    }

    /// Adds remedies.
    pub(crate) fn with_remedies(mut self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        self.remedies.extend(remedies);
        self.reworded(Remedy::to_string)
    }

    /// Returns the same error with different texts for its remedies. `words` returns a sentence without its full stop.
    ///
    /// The library's texts name items of its API. A program can use this to give its own names instead, such as those
    /// of options.
    #[must_use]
    pub fn reworded(mut self, words: impl Fn(&Remedy) -> String) -> Self {
        self.reword(words);
        self
    }

    pub(crate) fn reword(&mut self, words: impl Fn(&Remedy) -> String) {
        self.text.truncate(self.cause_size);
        for remedy in &self.remedies {
            self.text.push_str(". ");
            self.text.push_str(&words(remedy));
        }
    }

    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What `docker exec` would print to standard error for this failure, without the final newline. If docker has no
    /// text for it, this error's own text.
    #[must_use]
    pub fn docker_text(&self) -> &str {
        self.docker_text.as_deref().unwrap_or(&self.text)
    }

    /// The remedies for this failure beyond what the cause says, in the order of the text.
    #[must_use]
    pub fn remedies(&self) -> &[Remedy] {
        &self.remedies
    }

    /// The text without the remedies, for use as part of another message.
    pub(crate) fn cause(&self) -> &str {
        &self.text[..self.cause_size]
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.text)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_the_last_sentences() {
        let error = Error::invalid("it went wrong")
            .with_remedies([Remedy::UseStdin])
            .with_hint("It is an old fault")
            .with_remedies([Remedy::NameProgram]);
        assert_eq!(error.remedies(), [Remedy::UseStdin, Remedy::NameProgram]);
        assert_eq!(error.cause(), "it went wrong. It is an old fault");
        let text = format!("{}. {}. {}", error.cause(), Remedy::UseStdin, Remedy::NameProgram);
        assert_eq!(error.to_string(), text);
        assert_eq!(error.docker_text(), text);
    }

    #[test]
    fn reworded_replaces_the_text_of_the_remedies() {
        let words = |remedy: &Remedy| format!("Do {remedy:?}");
        let error = Error::invalid("it went wrong")
            .with_remedies([Remedy::UseStdin, Remedy::UseTls])
            .with_docker_text("wrong");
        let error = error.reworded(words).reworded(words);
        assert_eq!(error.to_string(), "it went wrong. Do UseStdin. Do UseTls");
        assert_eq!(error.docker_text(), "wrong");
        assert_eq!(
            Error::invalid("it went wrong").reworded(words).to_string(),
            "it went wrong"
        );
    }

    /// As the tests of the programs have the same failures.
    #[tokio::test]
    #[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    async fn remedy_names_items_of_the_library() {
        use crate::{Endpoint, EndpointOptions, Engine, Request};

        let options = EndpointOptions {
            host: Some("tcp://a".to_owned()),
            context: Some("b".to_owned()),
            ..EndpointOptions::default()
        };
        assert_eq!(
            Endpoint::from_options(&options).unwrap_err().to_string(),
            "both the engine's address and a context are given. Set `EndpointOptions::host` or `EndpointOptions::context`, \
             not both"
        );
        let engine = Engine::connect(&Endpoint::parse("unix:///nonexistent/socket").unwrap());
        assert_eq!(
            engine.info().await.unwrap_err().to_string(),
            "can't connect to the engine at unix:///nonexistent/socket (as given): the socket does not exist. Start the engine, \
            or set its address with `EndpointOptions::host` or DOCKER_HOST"
        );
        let request = Request::new("web", ["-it", "sh"]).build();
        assert_eq!(
            request.unwrap_err().to_string(),
            "the command `-it` begins with `-`. Begin the command with a program; if its name begins with `-`, \
            give its path, as in ./-x"
        );
        let request = Request::new("web", ["echo".to_owned(), "x".repeat(131_072)]).build();
        assert_eq!(
            request.unwrap_err().to_string(),
            "argument 1 of the command is 131072 bytes, and Linux accepts fewer than 131072. Send large data on standard input \
             (`RequestBuilder::stdin`) or in a file"
        );
    }
}
