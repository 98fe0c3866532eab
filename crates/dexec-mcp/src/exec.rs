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

use crate::answer::{AnswerOptions, MAX_MESSAGE_SIZE};
use crate::audit::Entry;
use crate::caller::Caller;
use crate::environment::environment;
use crate::input::ExecInput;
use crate::remedy;
use crate::server::{Server, Settings};

/// The time between SIGTERM and SIGKILL. Clients end a server 2 s after they have closed its standard input, and kill it
/// 2 s later: by then a few commands that ignore SIGTERM are gone.
const KILL_AFTER: Duration = Duration::from_secs(1);

/// With so many bytes of output an answer is made aside; any other is not worth a thread, each of which has memory of its
/// own.
const LARGE: u64 = 256 * 1024;

/// A call whose arguments are not checked yet.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) schema: Arc<JsonObject>,
    pub(crate) arguments: JsonObject,
    pub(crate) caller: Caller,
    pub(crate) cancel: CancellationToken,
    /// How many bytes the request's id has.
    pub(crate) id_size: usize,
    pub(crate) progress: Arc<CallProgress>,
}

/// What can be told of a call that is under way.
#[derive(Debug, Default)]
pub(crate) struct CallProgress {
    /// It has its turn.
    pub(crate) has_begun: AtomicBool,
    /// How many bytes of output have come.
    pub(crate) written: AtomicU64,
}

impl Call {
    /// Runs the command. There is always an answer.
    pub(crate) async fn answer(self) -> CallToolResult {
        let begun = (SystemTime::now(), Instant::now());
        let mut shape = shape(&self.server.settings, self.id_size);
        let mut input = match ExecInput::parse(self.arguments, &self.schema) {
            Ok(input) => input,
            Err(reason) => {
                let message = format!("the arguments are not valid: {reason}");
                let error = Error::new(ErrorKind::InvalidRequest, message);
                return shape.answer(without_output(End::NotRun(error)));
            }
        };
        input.ask(&mut shape);
        let run = Run {
            server: &self.server,
            cancel: &self.cancel,
            seen: &self.progress,
        };
        let mut container = None;
        // Kept until the log is written: where that fails, the next command does not run.
        let mut place = None;
        let stdin = input.stdin.take();
        let mut outcome = match run.to_end(&input, stdin, &mut container, &mut place).await {
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
        drop(place);
        if self.progress.written.load(Ordering::Relaxed) < LARGE {
            return shape.answer(outcome);
        }
        // It takes its time, and other calls go on.
        tokio::task::block_in_place(|| shape.answer(outcome))
    }
}

struct Run<'a> {
    server: &'a Server,
    cancel: &'a CancellationToken,
    seen: &'a CallProgress,
}

impl Run<'_> {
    /// An error means that nothing was run.
    async fn to_end(
        &self,
        input: &ExecInput,
        stdin: Option<String>,
        container: &mut Option<ContainerDetails>,
        place: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Outcome, Error> {
        let settings = &self.server.settings;
        settings.policy.check(input)?;
        *place = Some(self.place().await?);
        self.seen.has_begun.store(true, Ordering::Relaxed);
        if let Some(audit) = &settings.audit {
            audit.check()?;
        }
        let request = self.request(input, stdin)?;
        if settings.policy.needs_container(input) {
            let asked = self.container(&input.container).await;
            let details = asked.map_err(|error| self.without_hidden_names(error, input))?;
            settings.policy.check_container(input, &details)?;
            *container = Some(details);
        }
        // A name may come to stand for another container; the id that was checked does not.
        let reference = container.as_ref().map_or(&input.container, |container| &container.id);
        let request = request(reference)?;
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

    /// Everything of the request but its container.
    fn request(
        &self,
        input: &ExecInput,
        stdin: Option<String>,
    ) -> Result<impl FnOnce(&str) -> Result<Request, Error>, Error> {
        let settings = &self.server.settings;
        let environment = || environment(&input.env, input.env_file(), input.path(), &settings.policy);
        let environment = if input.env_file().is_some() {
            // The file system may be slow, and other calls go on.
            tokio::task::block_in_place(environment)
        } else {
            environment()
        }?;
        let timeout = input.timeout().or(settings.default_timeout);
        if input.detach && stdin.is_some() {
            let message = "a detached command has no standard input: leave `stdin` or `detach` out";
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

    async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let places = Arc::clone(&self.server.places);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {}
            place = places.acquire_owned() => if let Ok(place) = place {
                return Ok(place);
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

    /// The engine's error names other containers, which a rule may hide.
    fn without_hidden_names(&self, error: Error, input: &ExecInput) -> Error {
        if error.kind() != ErrorKind::ContainerNotFound || self.server.settings.policy.containers.is_empty() {
            return error;
        }
        let name = input.container.escape_debug();
        Error::new(
            error.kind(),
            format!("no container is called `{name}`: the tool `containers` lists those that can be used"),
        )
    }
}

/// Keeps the output, and tells how much has come.
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

/// The answer that a call gets where it asks for nothing else.
fn shape(settings: &Settings, id_size: usize) -> AnswerOptions {
    AnswerOptions {
        compact: settings.default_compact,
        limit: None,
        default_limit: settings.default_limit,
        parse_json: false,
        keep_newline: false,
        keep_ansi: false,
        id_size,
    }
}
