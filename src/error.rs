//! What can go wrong outside the command itself.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

mod remedy;

pub use remedy::Remedy;

/// The coarse, stable name of a failure, the same on every engine. It stands in a response as `errorKind`.
///
/// The set may grow: treat an unknown one as [`ErrorKind::EngineError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The engine knows no container of this name or id.
    ContainerNotFound,
    /// More than one container's id begins with what was given.
    AmbiguousContainer,
    /// The container exists and does not run.
    ContainerNotRunning,
    /// The container is paused.
    ContainerPaused,
    /// The container is between two starts.
    ContainerRestarting,
    /// The container ended while the command ran.
    ContainerStopped,
    /// The command's program is not in the container.
    CommandNotFound,
    /// The command's program is there and can't be executed.
    CommandNotExecutable,
    /// The working directory does not exist in the container, or is not a directory.
    WorkdirNotFound,
    /// The user or group is not known in the container, or out of range.
    UserNotFound,
    /// The container lacks something that the request needs.
    UnsupportedInContainer,
    /// The request can't be right on any engine; most are refused before anything is sent.
    InvalidRequest,
    /// A rule of the operator forbids the request.
    RefusedByPolicy,
    /// Nothing answers at the endpoint.
    EngineUnreachable,
    /// The endpoint exists and this user may not use it.
    PermissionDenied,
    /// No TLS connection could be made.
    Tls,
    /// No ssh connection could be made.
    Ssh,
    /// Something answers at the endpoint, and not as a container engine does.
    NotAnEngine,
    /// The engine is too old for the request.
    EngineTooOld,
    /// The connection ended before the command's exit code was known.
    ConnectionLost,
    /// The caller cancelled the command.
    Interrupted,
    /// The command's output could not be handed on.
    OutputFailed,
    /// The engine failed in a way that has no name of its own here.
    EngineError,
}

/// Words from outside as they may stand in a message: on one line, without control characters, at most so many
/// characters.
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

/// The system's words as Go prints them: in lower case, without the number.
pub(crate) fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}

/// A failure of the engine, the endpoint or the request; never the command's own non-zero exit.
///
/// Its `Display` is one or two lines that say what was tried, what went wrong and what to do next.
/// Environment values and keys never appear in it.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    /// The cause, and the words for the remedies behind it.
    text: String,
    /// How many bytes of the text are the cause.
    cause_size: usize,
    remedies: Vec<Remedy>,
    docker_text: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of this kind; `message` says what was tried, what went wrong and what to do next.
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

    /// Sets the words that `docker exec` has for this failure, where it has some.
    #[must_use]
    pub fn with_docker_text(mut self, text: impl Into<String>) -> Self {
        self.docker_text = Some(text.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Adds what else helps, as a further sentence of the cause.
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        if !hint.is_empty() {
            self.text.truncate(self.cause_size);
            self.text.push_str(". ");
            self.text.push_str(hint);
            self.cause_size = self.text.len();
        }
        self.reworded(Remedy::to_string)
    }

    /// Adds what to do about it.
    pub(crate) fn with_remedies(mut self, remedies: impl IntoIterator<Item = Remedy>) -> Self {
        self.remedies.extend(remedies);
        self.reworded(Remedy::to_string)
    }

    /// The same failure with other words for what to do about it: each of `words` is a sentence without its full stop.
    ///
    /// The library's own words name what users of the library call. A program has its own names for that, such as options.
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

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What `docker exec` would write to its standard error for this failure, without the final newline;
    /// the text itself where docker has no words of its own.
    #[must_use]
    pub fn docker_text(&self) -> &str {
        self.docker_text.as_deref().unwrap_or(&self.text)
    }

    /// What can be done about it, where more is known than the cause says; in the order of the text.
    #[must_use]
    pub fn remedies(&self) -> &[Remedy] {
        &self.remedies
    }

    /// The text without the words for the remedies: what a message has in which this failure is a part.
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
mod tests;
