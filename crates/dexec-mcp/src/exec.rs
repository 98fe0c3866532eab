//! The tool `exec`: from a call's arguments to its answer.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use dexec::{
    CancellationToken, Capture, Captured, ContainerDetails, End, Error, ErrorKind, Outcome, Output, Request, Stream,
};
use rmcp::model::{CallToolResult, JsonObject};
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{AnswerOptions, MAX_MESSAGE_SIZE, Structured};
use crate::audit::Entry;
use crate::caller::Caller;
use crate::environment::environment;
use crate::input::ExecInput;
use crate::remedy;
use crate::server::{Server, Settings};

/// The time between SIGTERM and SIGKILL. Clients terminate a server 2 s after they have closed its standard input, and
/// kill it 2 s later: this leaves time to kill commands that ignore SIGTERM before the server is killed.
const KILL_AFTER: Duration = Duration::from_secs(1);

/// From this many bytes of output, the answer is made outside the async workers. Less is not worth a thread, which
/// needs its own memory.
const LARGE: u64 = 256 * 1024;

/// A call whose arguments are not checked yet.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) schema: Arc<JsonObject>,
    pub(crate) arguments: JsonObject,
    pub(crate) caller: Caller,
    pub(crate) cancel: CancellationToken,
    /// The size of the request's id, in bytes.
    pub(crate) id_size: usize,
    pub(crate) progress: Arc<CallProgress>,
}

/// The progress of a running call.
#[derive(Debug, Default)]
pub(crate) struct CallProgress {
    /// The call is no longer waiting for its turn.
    pub(crate) has_begun: AtomicBool,
    /// How many bytes of output have arrived.
    pub(crate) written: AtomicU64,
}

impl Call {
    /// Runs the command, and always returns an answer.
    pub(crate) async fn answer(self) -> CallToolResult {
        let begun = (SystemTime::now(), Instant::now());
        let mut options = answer_options(&self.server.settings, self.id_size);
        let mut input = match ExecInput::parse(self.arguments, &self.schema) {
            Ok(input) => input,
            Err(reason) => {
                let message = format!("the arguments are not valid: {reason}");
                let error = Error::new(ErrorKind::InvalidRequest, message);
                return options.answer(without_output(End::NotRun(error)));
            }
        };
        input.apply_to(&mut options);
        let run = Run {
            server: &self.server,
            cancel: &self.cancel,
            seen: &self.progress,
        };
        let mut container = None;
        // Held until the audit log is written: if writing fails, the next command must not start.
        let mut permit = None;
        let stdin = input.stdin.take();
        let mut outcome = match run.to_end(&input, stdin, &mut container, &mut permit).await {
            Ok(outcome) => outcome,
            Err(error) => without_output(End::NotRun(error)),
        };
        outcome.end = outcome.end.reworded(remedy::words);
        if let Some(audit) = &self.server.settings.audit {
            let entry = Entry {
                caller: &self.caller,
                container: &input.container,
                container_id: container.as_ref().map(|container| container.id.as_str()),
                command: &input.command,
                user: input.user(),
                exit_code: outcome.end.exit_code(),
                error_kind: outcome.end.error().map(Error::kind),
                duration_ms: u64::try_from(begun.1.elapsed().as_millis()).unwrap_or(u64::MAX),
            };
            audit.write(begun.0, &entry);
        }
        drop(permit);
        if self.progress.written.load(Ordering::Relaxed) < LARGE {
            return options.answer(outcome);
        }
        // Making a large answer takes time, and must not block other calls.
        tokio::task::block_in_place(|| options.answer(outcome))
    }
}

struct Run<'a> {
    server: &'a Server,
    cancel: &'a CancellationToken,
    seen: &'a CallProgress,
}

impl Run<'_> {
    /// Runs the command. An error means that nothing was run.
    async fn to_end(
        &self,
        input: &ExecInput,
        stdin: Option<String>,
        container: &mut Option<ContainerDetails>,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Outcome, Error> {
        let settings = &self.server.settings;
        settings.policy.check(input)?;
        *permit = Some(self.permit().await?);
        self.seen.has_begun.store(true, Ordering::Relaxed);
        if let Some(audit) = &settings.audit {
            audit.check()?;
        }
        let build = self.request(input, stdin)?;
        if settings.policy.needs_container(input) {
            let asked = self.container(&input.container).await;
            let details = asked.map_err(|error| self.without_hidden_names(error, input))?;
            settings.policy.check_container(input, &details)?;
            *container = Some(details);
        }
        // A name may later refer to another container; the id that was checked can't.
        let reference = container.as_ref().map_or(&input.container, |container| &container.id);
        let request = build(reference)?;
        let mut output = Counted {
            capture: Capture::with_limit(MAX_MESSAGE_SIZE),
            written: &self.seen.written,
        };
        let end = self.server.engine.exec_to(request, &mut output, self.cancel).await;
        let (stdout, stderr) = output.capture.finish();
        match end {
            End::NotRun(error) => Err(self.without_hidden_names(error, input)),
            end => Ok(Outcome::new(end, stdout, stderr)),
        }
    }

    /// Builds the request, except for its container.
    fn request(
        &self,
        input: &ExecInput,
        stdin: Option<String>,
    ) -> Result<impl FnOnce(&str) -> Result<Request, Error>, Error> {
        let settings = &self.server.settings;
        let environment = || environment(&input.env, input.env_file(), input.path(), &settings.policy);
        let environment = if input.env_file().is_some() {
            // The file system may be slow, and must not block other calls.
            tokio::task::block_in_place(environment)
        } else {
            environment()
        }?;
        let timeout = input.timeout().or(settings.default_timeout);
        if input.detach && stdin.is_some() {
            let message = "a detached command has no standard input: omit `stdin` or `detach`";
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        Ok(move |container: &str| {
            let mut request = Request::new(container, input.command.iter().cloned())
                .envs(environment)
                .groups(input.group_add.iter().cloned())
                .privileged(input.privileged)
                .detach(input.detach)
                .workdir(input.workdir.as_deref().unwrap_or_default())
                .user(input.user().unwrap_or_default())
                .kill_after(KILL_AFTER);
            if let Some(time) = timeout.filter(|_| !input.detach) {
                request = request.timeout(time);
            }
            if let Some(stdin) = stdin {
                request = request.stdin(Cursor::new(stdin.into_bytes()));
            }
            request.build()
        })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let places = Arc::clone(&self.server.places);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {}
            permit = places.acquire_owned() => if let Ok(permit) = permit {
                return Ok(permit);
            }
        }
        Err(interrupted())
    }

    async fn container(&self, reference: &str) -> Result<ContainerDetails, Error> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(interrupted()),
            asked = self.server.engine.container(reference) => asked,
        }
    }

    /// Removes the names of other containers from the engine's error, because a rule may hide them.
    fn without_hidden_names(&self, error: Error, input: &ExecInput) -> Error {
        if error.kind() != ErrorKind::ContainerNotFound || self.server.settings.policy.containers.is_empty() {
            return error;
        }
        let name = input.container.escape_debug();
        Error::new(
            error.kind(),
            format!("container `{name}` not found: the tool `containers` lists the available containers"),
        )
    }
}

/// Captures the output, and counts its bytes.
struct Counted<'a> {
    capture: Capture,
    written: &'a AtomicU64,
}

impl Output for Counted<'_> {
    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.capture.write(stream, bytes).await
    }
}

fn interrupted() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the call was cancelled before the command was started",
    )
}

fn without_output(end: End) -> Outcome {
    Outcome::new(end, Captured::default(), Captured::default())
}

/// The options of an answer if the call sets none.
fn answer_options(settings: &Settings, id_size: usize) -> AnswerOptions {
    AnswerOptions {
        answers: settings.answers,
        structured: if settings.default_compact {
            Structured::Compact
        } else {
            Structured::Limited
        },
        limit: None,
        default_limit: settings.default_limit,
        parse_json: false,
        keep_newline: false,
        keep_ansi: false,
        id_size,
    }
}
