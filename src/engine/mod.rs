//! How to reach an engine: the few calls that are made, and what its refusals mean.

mod answers;
mod client;
mod container_end;
mod dial;
mod info;
mod refusal;
mod socket;
#[cfg(unix)]
mod ssh;
mod start_failure;
mod stops;
mod tls;
mod transport;
mod unreachable;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{ResizeExecOptions, StartExecOptions};
use bollard::models::{ExecConfig, ExecStartConfig};
use bollard::query_parameters::UploadToContainerOptions;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, shown};
use crate::exec::SharedAgents;
use crate::outcome::Signal;
use crate::request::{ContainerName, Spec};
use crate::terminal::TerminalSize;

use client::{CallOptions, UpgradeSlot};
pub(crate) use container_end::ContainerEnd;
pub use info::EngineInfo;
use refusal::Refusal;
pub(crate) use socket::Socket;
pub(crate) use start_failure::{execute_failure, is_docker_start_failure, is_podman_start_failure, start_failure};
use stops::Stops;
pub(crate) use transport::Make;
use transport::{Transport, TransportError};

/// How long one call may take, its answer's body included. Docker was seen to hold an inspect for 2 s.
const CALL_TIME: Duration = Duration::from_secs(90);

/// Podman waits for no time before it starts a container anew.
const RESTART_TIME: Duration = Duration::from_millis(500);

/// No engine takes a longer name for a container.
const LONGEST_NAME: usize = 255;

/// How many names of containers an error lists.
const MOST_NAMES: usize = 10;

const CREATE: &str = "create the command";
const START: &str = "start the command";

/// Detach keys for an engine that looks for some in what a terminal's user types, whether it is told to or not. dexec
/// looks for its own, so that they work alike everywhere; nobody types these. The engine holds back what begins like
/// them, so they begin with a key that hardly any program uses. Docker doubles the second key where the first ended what
/// it read before and a wrong third follows at once, so that the second must not be common behind the first, as NUL is.
const UNTYPED_KEYS: &str = "ctrl-^,ctrl-],ctrl-^,ctrl-@,ctrl-^,ctrl-],ctrl-_,ctrl-^";

const JSON: &str = "application/json";

/// How often a question is asked again over another connection.
const MOST_RETRIES: u32 = 2;

const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A list of ten thousand containers is smaller.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// What a piece of an answer costs beyond its bytes: a body in pieces of one byte has an end too.
const COST_OF_PIECE: usize = 64;

/// No refusal of an engine is longer.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// A container engine at an [`Endpoint`].
///
/// Nothing is sent before the first call. It needs a tokio runtime with time and I/O enabled. A clone shares its
/// connections.
#[derive(Clone, Debug)]
pub struct Engine {
    transport: Arc<Transport>,
    docker: Docker,
    stops: Arc<Stops>,
    agents: Arc<SharedAgents>,
}

/// One container, as a listing shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name, without the slash that engines put before it.
    pub name: String,
    /// The image it was made from, as it was named then.
    pub image: String,
    /// Whether it runs; a paused one does not.
    pub is_running: bool,
    /// The engine's word for its state, such as `running`, `paused` or `exited`.
    pub state: String,
    /// The compose project that it belongs to, by the label that compose gives it.
    pub compose_project: Option<String>,
    /// The service that it is in that project.
    pub compose_service: Option<String>,
}

/// One container, as it is known by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerDetails {
    /// The full id.
    pub id: String,
    /// The name, without the slash that engines put before it.
    pub name: String,
    /// The user that its commands run as unless told otherwise, as it was configured; empty for root.
    pub user: String,
}

/// A command that the engine has created, in the engines' own grammar, so that it can't become another request.
#[derive(Clone, Debug)]
pub(crate) struct ExecId(String);

/// What an engine tells of a command.
#[derive(Debug)]
pub(crate) struct ExecState {
    pub(crate) is_running: bool,
    pub(crate) exit_code: Option<i64>,
    /// The process that was made for it, by its number on the engine's machine. Podman forgets it when the process ends.
    pub(crate) pid: Option<u32>,
    /// The container in which it runs, whatever its name is by now.
    pub(crate) container: Option<ContainerName>,
}

/// The open connection to a started command.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) socket: Socket,
    /// What came behind the head of the engine's answer.
    pub(crate) early: Bytes,
}

/// What became of a container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Running,
    Paused,
    NotRunning,
    Gone,
}

impl Engine {
    /// An engine at this endpoint. No connection is made yet.
    #[must_use]
    pub fn connect(endpoint: &Endpoint) -> Self {
        let transport = Arc::new(Transport::new(endpoint.clone()));
        Self {
            docker: client::client(&transport),
            transport,
            stops: Arc::default(),
            agents: Arc::default(),
        }
    }

    /// The endpoint at which the engine is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// Every container of the engine, running or not.
    ///
    /// # Errors
    ///
    /// The engine can't be reached, or refuses.
    pub async fn containers(&self) -> Result<Vec<Container>, Error> {
        let listed: Result<answers::Listing, _> = self.get("/containers/json?all=true").await;
        listed
            .map(|listing| listing.0)
            .map_err(|refusal| refusal.into_error("list containers", self.endpoint(), None))
    }

    /// The container of this name, id, or beginning of an id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] when `container` is neither a name nor an id; there is no such container, or more
    /// than one; the engine can't be reached, or refuses.
    pub async fn container(&self, container: &str) -> Result<ContainerDetails, Error> {
        let container = ContainerName::parse(container)?;
        let inspected = self.inspect_container(&container).await;
        let inspected = self.or_refused("inspect the container", inspected, &container).await?;
        Ok(inspected.into())
    }

    /// What the engine calls itself in its answers.
    pub(crate) fn make(&self) -> Make {
        self.transport.make()
    }

    /// The same, for a caller that has to know it before the first answer.
    async fn make_asked(&self, container: &ContainerName) -> Result<Make, Error> {
        if self.make() == Make::Unknown {
            let inspected = self.inspect_container(container).await;
            self.or_refused("inspect the container", inspected, container).await?;
        }
        Ok(self.make())
    }

    /// The commands that are being stopped on their own.
    pub(crate) fn stops(&self) -> &Stops {
        &self.stops
    }

    /// What looks into its containers while commands are stopped.
    pub(crate) fn agents(&self) -> &SharedAgents {
        &self.agents
    }

    pub(crate) async fn create_exec(&self, spec: &Spec, attach_stdin: bool) -> Result<ExecId, Error> {
        let attach = !spec.is_detached;
        let attach_stdin = attach && attach_stdin;
        let mut detach_keys = None;
        let mut console_size = None;
        if let Some(terminal) = &spec.terminal {
            if attach_stdin && Box::pin(self.make_asked(&spec.container)).await? != Make::Podman {
                detach_keys = Some(UNTYPED_KEYS.to_owned());
            }
            let size = *terminal.sizes.borrow();
            console_size = size.map(|size| vec![size.rows.into(), size.columns.into()]);
        }
        let config = ExecConfig {
            attach_stdin: Some(attach_stdin),
            attach_stdout: Some(attach),
            attach_stderr: Some(attach),
            tty: Some(spec.terminal.is_some()),
            console_size,
            detach_keys,
            env: (!spec.env.is_empty()).then(|| spec.env.clone()),
            cmd: Some(spec.command.clone()),
            privileged: spec.is_privileged.then_some(true),
            user: spec.user.clone(),
            working_dir: spec.workdir.clone(),
        };
        let created = async {
            let docker = self.docker_with(CallOptions {
                body: Some(to_json(&config)?),
                ..CallOptions::default()
            });
            let created = within_time(docker.create_exec(spec.container.as_str(), ExecConfig::default())).await?;
            ExecId::parse(created.id)
        };
        let created = created.await;
        self.or_refused(CREATE, created, &spec.container).await
    }

    /// Sets the size of a running command's terminal. Docker waits 10 s for one that does not run yet.
    pub(crate) async fn resize_exec(&self, id: &ExecId, size: TerminalSize) -> bool {
        let size = ResizeExecOptions {
            height: size.rows,
            width: size.columns,
        };
        within_time(self.docker.resize_exec(&id.0, size)).await.is_ok()
    }

    /// Sends a signal to a command's process group where the engine has a call for that. Podman has one since
    /// September 2026 (its pull request 29525).
    pub(crate) async fn kill_exec(&self, id: &ExecId, signal: Signal) -> bool {
        let path = format!("/v4.0.0/libpod/exec/{}/kill?signal={}", id.0, signal.name());
        self.make() == Make::Podman && within_time(self.call(Method::POST, &path, Bytes::new())).await.is_ok()
    }

    /// The name of the processor architecture that a container's image is for. The engine itself is asked only where the
    /// image does not tell: Podman takes half a second for that.
    pub(crate) async fn architecture(&self, container: &ContainerName) -> Result<String, Error> {
        let inspected = self.inspect_container(container).await;
        let inspected = self.or_refused("inspect the container", inspected, container).await?;
        let architecture = match inspected.image_id() {
            Some(id) => self.get::<answers::Image>(&format!("/images/{id}/json")).await.ok(),
            None => None,
        };
        let architecture = architecture.map(|image| image.architecture).unwrap_or_default();
        if !architecture.is_empty() {
            return Ok(shown(&architecture, LONGEST_NAME));
        }
        let version = retried(|| self.docker.version()).await;
        let version = self.or_refused("tell its version", version, container).await?;
        Ok(shown(&version.arch.unwrap_or_default(), LONGEST_NAME))
    }

    /// Whether others than its owner can put files of their own in the place of ours in this directory of the container.
    pub(crate) async fn is_open_to_others(
        &self,
        container: &ContainerName,
        directory: &'static str,
    ) -> Result<bool, Error> {
        let path = format!("/containers/{container}/archive?path={directory}");
        let asked = within_time(async {
            let request = Request::head(path).body(Bytes::new().into()).map_err(broken)?;
            let response = self.transport.send(request).await?;
            if !response.status().is_success() {
                return Err(read_refusal(response).await);
            }
            answers::PathStat::of(response.headers())
                .ok_or_else(|| Refusal::NotAnEngine("it does not describe the file".to_owned()))
        })
        .await;
        let stat = self
            .or_refused("describe a file of the container", asked, container)
            .await?;
        Ok(stat.is_open_to_others())
    }

    /// The engine's own list of a container's processes, with the columns that were asked for.
    pub(crate) async fn processes(
        &self,
        container: &ContainerName,
        columns: &'static str,
    ) -> Result<Vec<Vec<String>>, Error> {
        let path = format!("/containers/{container}/top?ps_args={columns}");
        let listed = self.get::<answers::Processes>(&path).await;
        let listed = self
            .or_refused("list the container's processes", listed, container)
            .await?;
        Ok(listed.rows())
    }

    /// The engine's numbers of the processes that run as execs in a container.
    pub(crate) async fn exec_pids(&self, container: &ContainerName) -> Result<HashSet<u32>, Error> {
        let inspected = self.inspect_container(container).await;
        let inspected = self.or_refused("inspect the container", inspected, container).await?;
        let mut pids = HashSet::new();
        for id in inspected.exec_ids() {
            if let Ok(id) = ExecId::parse(id)
                && let Ok(Some(ExecState { pid: Some(pid), .. })) = self.inspect_exec(&id).await
            {
                pids.insert(pid);
            }
        }
        Ok(pids)
    }

    /// Unpacks a tar archive in a directory of the container, one that needs no encoding in a URL.
    pub(crate) async fn put_archive(
        &self,
        container: &ContainerName,
        directory: &'static str,
        archive: Bytes,
    ) -> Result<(), Error> {
        let options = UploadToContainerOptions {
            path: directory.to_owned(),
            ..UploadToContainerOptions::default()
        };
        let docker = self.docker_with(CallOptions {
            body: Some(archive),
            ..CallOptions::default()
        });
        let put = docker.upload_to_container(container.as_str(), Some(options), bollard::body_full(Bytes::new()));
        self.or_refused("put a file into the container", within_time(put).await, container)
            .await
    }

    /// Starts a command and gives the connection over which its streams go.
    pub(crate) async fn start_attached(&self, id: &ExecId, spec: &Spec) -> Result<Attached, Error> {
        let slot = UpgradeSlot::default();
        let started = self.start(id, spec, Some(slot.clone())).await;
        // Where the slot has the connection, bollard has failed to find it in the answer.
        let attached = match (slot.take(), started) {
            (Some(attached), _) => Ok(attached),
            (None, Err(refusal)) => Err(refusal),
            (None, Ok(())) => Err(Refusal::NoUpgrade),
        };
        self.or_refused(START, attached, &spec.container).await
    }

    pub(crate) async fn start_detached(&self, id: &ExecId, spec: &Spec) -> Result<(), Error> {
        let started = self.start(id, spec, None).await;
        self.or_refused(START, started, &spec.container).await
    }

    async fn start(&self, id: &ExecId, spec: &Spec, upgrade: Option<UpgradeSlot>) -> Result<(), Refusal> {
        let config = ExecStartConfig {
            detach: Some(spec.is_detached),
            // Docker goes by what it is told here, not at the create, in how it sends the output.
            tty: Some(spec.terminal.is_some()),
            ..ExecStartConfig::default()
        };
        let docker = self.docker_with(CallOptions {
            body: Some(to_json(&config)?),
            upgrade,
            ..CallOptions::default()
        });
        let options = StartExecOptions {
            detach: spec.is_detached,
            ..StartExecOptions::default()
        };
        within_time(docker.start_exec(&id.0, Some(options))).await.map(drop)
    }

    /// What the engine tells of a command; `None` when it does not know it any more.
    pub(crate) async fn inspect_exec(&self, id: &ExecId) -> Result<Option<ExecState>, Error> {
        let docker = self.docker_with(CallOptions {
            reduce: Some(answers::without_command),
            ..CallOptions::default()
        });
        match retried(|| docker.inspect_exec(&id.0)).await {
            Ok(state) => Ok(Some(ExecState {
                // An answer without this field is no proof that the command has ended.
                is_running: state.running.unwrap_or(true),
                exit_code: state.exit_code,
                pid: state
                    .pid
                    .and_then(|pid| u32::try_from(pid).ok())
                    .filter(|pid| *pid != 0),
                container: state.container_id.and_then(|id| ContainerName::parse(&id).ok()),
            })),
            Err(refusal) => {
                let error = refusal.into_error("inspect the command", self.endpoint(), None);
                match error.kind() {
                    // Podman names the container, which it looks for first.
                    ErrorKind::ContainerNotRunning | ErrorKind::ContainerNotFound => Ok(None),
                    _ => Err(error),
                }
            }
        }
    }

    pub(crate) async fn container_state(&self, container: &ContainerName) -> Result<ContainerState, Error> {
        match self.inspect_container(container).await {
            Ok(inspected) if inspected.state.is_paused() => Ok(ContainerState::Paused),
            Ok(inspected) if inspected.state.is_running() => Ok(ContainerState::Running),
            Ok(_) => Ok(ContainerState::NotRunning),
            Err(refusal) => {
                let error = refusal.into_error("inspect the container", self.endpoint(), Some(container));
                match error.kind() {
                    ErrorKind::ContainerNotFound => Ok(ContainerState::Gone),
                    _ => Err(error),
                }
            }
        }
    }

    async fn inspect_container(&self, container: &ContainerName) -> Result<answers::Inspected, Refusal> {
        self.get(&format!("/containers/{container}/json")).await
    }

    fn docker_with(&self, options: CallOptions) -> Docker {
        client::with_options(&self.docker, options)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let answer = retried(|| self.call(Method::GET, path, Bytes::new())).await;
        from_json(&answer?)
    }

    /// One call that bollard has not, or does not make as it must be, and its answer whole.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Refusal> {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, JSON);
        let response = self.transport.send(request.body(body.into()).map_err(broken)?).await?;
        if !response.status().is_success() {
            return Err(read_refusal(response).await);
        }
        read_body(response, LARGEST_ANSWER).await
    }

    /// The error of a call on a container, with what further calls can tell about it.
    async fn or_refused<T>(
        &self,
        what: &str,
        result: Result<T, Refusal>,
        container: &ContainerName,
    ) -> Result<T, Error> {
        let refusal = match result {
            Ok(value) => return Ok(value),
            Err(refusal) => refusal,
        };
        let error = refusal.into_error(what, self.endpoint(), Some(container));
        Err(match error.kind() {
            ErrorKind::ContainerNotFound => {
                let hint = self.other_containers(container).await;
                error.with_hint(&hint)
            }
            ErrorKind::ContainerNotRunning => self.with_true_cause(error, container, container).await,
            ErrorKind::EngineError if matches!(what, CREATE | START) => {
                self.with_true_cause(error, container, container).await
            }
            _ => error,
        })
    }

    /// Sentences for an error: which containers have a similar name, which run, and why this engine was asked.
    async fn other_containers(&self, container: &ContainerName) -> String {
        let mut sentences = Vec::new();
        if let Ok(containers) = self.containers().await {
            let near = near_names(container.as_str(), &containers);
            if !near.is_empty() {
                sentences.push(format!("Did you mean {}?", near.join(" or ")));
            }
            let mut running = containers.iter().filter(|container| container.is_running);
            let names: Vec<String> = running
                .by_ref()
                .take(MOST_NAMES)
                .map(|container| shown(&container.name, LONGEST_NAME))
                .collect();
            sentences.push(match (names.as_slice(), running.count()) {
                ([], _) => "No container is running".to_owned(),
                (names, 0) => format!("Running: {}", names.join(", ")),
                (names, more) => format!("Running: {} and {more} more", names.join(", ")),
            });
        }
        if self.endpoint().origin().is_beyond_docker() {
            sentences.push(format!("(The engine is {})", self.endpoint().origin()));
        }
        if let Some(far_end) = self.transport.far_end() {
            sentences.push(format!("(The far end's engine was reached through {far_end})"));
        }
        sentences.join(" ")
    }

    /// Whether a container that does not run is about to run again.
    ///
    /// Docker says so itself. Podman calls the same state "stopped"; so look whether a container that has a restart
    /// policy is started anew.
    async fn restarts(&self, container: &ContainerName) -> bool {
        let Ok(before) = self.inspect_container(container).await else {
            return false;
        };
        if before.state.is_restarting() {
            return true;
        }
        if self.make() == Make::Docker || !before.has_restart_policy() {
            return false;
        }
        tokio::time::sleep(RESTART_TIME).await;
        let after = self.inspect_container(container).await;
        after.is_ok_and(|after| after.restart_count != before.restart_count || after.state.is_running())
    }
}

impl ExecId {
    fn parse(id: String) -> Result<Self, Refusal> {
        let is_id = !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            Ok(Self(id))
        } else {
            Err(Refusal::NotAnEngine("it gave an id that is none".to_owned()))
        }
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Asks for something. A connection that breaks is no answer, and asking again changes nothing.
async fn retried<T, E, F>(ask: impl Fn() -> F) -> Result<T, Refusal>
where
    Refusal: From<E>,
    F: Future<Output = Result<T, E>>,
{
    let mut tries = 0;
    loop {
        match within_time(ask()).await {
            Err(Refusal::Transport(
                TransportError::Http(_) | TransportError::Unanswered(_) | TransportError::Broken(_),
            )) if tries < MOST_RETRIES => {
                tries += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// One call within its time.
async fn within_time<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T, Refusal>
where
    Refusal: From<E>,
{
    // bollard's futures have tens of kilobytes.
    let call = Box::pin(call);
    match tokio::time::timeout(CALL_TIME, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Refusal::Late(CALL_TIME)),
    }
}

fn to_json(value: &impl Serialize) -> Result<Bytes, Refusal> {
    let json = serde_json::to_vec(value).map_err(broken)?;
    Ok(json.into())
}

fn from_json<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(answer).map_err(|error| Refusal::NotAnEngine(error.to_string()))
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
    TransportError::Broken(error.into())
}

/// The refusal in an answer with an error status: the engines' JSON, or plain text.
async fn read_refusal(response: Response<Incoming>) -> Refusal {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }

    let status = response.status().as_u16();
    match read_body(response, LONGEST_REFUSAL).await {
        Ok(body) => {
            let message = serde_json::from_slice::<Body>(&body)
                .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |body| body.message);
            Refusal::Status { status, message }
        }
        Err(refusal) => refusal,
    }
}

/// An answer's body, in one piece however small its pieces are.
async fn read_body(response: Response<Incoming>, limit: usize) -> Result<Bytes, Refusal> {
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    let mut cost = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        cost += data.len() + COST_OF_PIECE;
        if cost > limit.saturating_mul(2) || bytes.len() + data.len() > limit {
            return Err(Refusal::NotAnEngine(format!("its answer is larger than {limit} bytes")));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Up to three names that are similar to `wanted`, the nearest first.
fn near_names(wanted: &str, containers: &[Container]) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut near: Vec<(f64, &str)> = containers
        .iter()
        .filter(|container| container.name.len() <= LONGEST_NAME)
        .map(|container| {
            let name = container.name.to_lowercase();
            let contains = name.contains(&wanted) || wanted.contains(&name) && !name.is_empty();
            let similarity = if contains {
                0.9
            } else {
                strsim::normalized_damerau_levenshtein(&wanted, &name)
            };
            (similarity, container.name.as_str())
        })
        .filter(|(similarity, _)| *similarity > 0.7)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    near.into_iter()
        .take(3)
        .map(|(_, name)| format!("`{}`", shown(name, LONGEST_NAME)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(names: &[&str]) -> Vec<Container> {
        names
            .iter()
            .map(|name| Container {
                name: (*name).to_owned(),
                is_running: true,
                ..Container::default()
            })
            .collect()
    }

    #[test]
    fn near_names_are_those_a_slip_away() {
        let containers = containers(&["web-1", "database", "shop_web_1", "worker"]);
        assert_eq!(near_names("web", &containers), ["`web-1`", "`shop_web_1`"]);
        assert_eq!(near_names("databse", &containers), ["`database`"]);
        assert_eq!(near_names("WORKER", &containers), ["`worker`"]);
        assert!(near_names("zzz", &containers).is_empty());
    }

    #[test]
    fn an_exec_id_cannot_become_another_request() {
        for id in ["", "..", "abc/../x", "12?x", "xyz"] {
            assert!(ExecId::parse(id.to_owned()).is_err(), "{id}");
        }
        assert!(ExecId::parse("0123abcdef".to_owned()).is_ok());
    }
}
