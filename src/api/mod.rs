//! The calls to an engine, and what it means when one fails.
//!
//! [`client`] makes the typed calls with bollard, [`http`] bounds every answer, and [`error`] gives a failed call the error
//! that users see.

mod client;
mod container_end;
mod error;
mod exec_id;
mod http;
mod info;
mod models;
mod operation;
mod start_failure;
mod suggest;
mod unreachable;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{ResizeExecOptions, StartExecOptions};
use bollard::models::{ExecConfig, ExecStartConfig};
use bollard::query_parameters::UploadToContainerOptions;
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use serde::de::DeserializeOwned;

use crate::container::{Container, ContainerDetails};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, sanitize_line};
use crate::outcome::Signal;
use crate::request::{ContainerName, ExecSpec};
use crate::terminal::TerminalSize;
use crate::transport::{EngineKind, Transport, Upgraded};

use client::{CallOptions, UpgradeSlot};
pub(crate) use container_end::ContainerEnd;
use error::ApiError;
pub(crate) use exec_id::ExecId;
use http::{MAX_ANSWER_SIZE, broken, from_json, read_body, read_refusal, retried, to_json, within_time};
pub use info::EngineInfo;
use operation::Operation;
pub(crate) use start_failure::{execute_failure, is_docker_start_failure, is_podman_start_failure, start_failure};
use suggest::{MAX_NAME_LEN, near_names};

/// Podman waits for no time before it starts a container anew.
const RESTART_TIMEOUT: Duration = Duration::from_millis(500);

/// How many names of containers an error lists.
const MAX_NAMES: usize = 10;

/// Detach keys for an engine that looks for some in what a terminal's user types, whether it is told to or not. dexec
/// looks for its own, so that they work alike everywhere; nobody types these. The engine holds back what begins like
/// them, so they begin with a key that hardly any program uses. Docker doubles the second key where the first ended what
/// it read before and a wrong third follows at once, so that the second must not be common behind the first, as NUL is.
const UNREACHABLE_DETACH_KEYS: &str = "ctrl-^,ctrl-],ctrl-^,ctrl-@,ctrl-^,ctrl-],ctrl-_,ctrl-^";

const JSON: &str = "application/json";

/// The calls to one engine. A clone shares its connections.
///
/// [`container_end`] and [`info`] have calls of it too, which are made of several.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    transport: Arc<Transport>,
    docker: Docker,
}

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

/// What became of a container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Running,
    Paused,
    NotRunning,
    Gone,
}

impl Api {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let transport = Arc::new(Transport::new(endpoint.clone()));
        Self {
            docker: client::client(&transport),
            transport,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// Every container of the engine, running or not.
    pub(crate) async fn containers(&self) -> Result<Vec<Container>, Error> {
        let listed: Result<models::ContainerSummaries, _> = self.get("/containers/json?all=true").await;
        listed
            .map(|listing| listing.0)
            .map_err(|refusal| refusal.into_error(Operation::ListContainers, self.endpoint(), None))
    }

    pub(crate) async fn container(&self, container: &ContainerName) -> Result<ContainerDetails, Error> {
        self.inspected(container).await.map(ContainerDetails::from)
    }

    /// What the engine calls itself in its answers.
    pub(crate) fn kind(&self) -> EngineKind {
        self.transport.kind()
    }

    /// The same, for a caller that has to know it before the first answer.
    async fn detect_kind(&self, container: &ContainerName) -> Result<EngineKind, Error> {
        if self.kind() == EngineKind::Unknown {
            self.inspected(container).await?;
        }
        Ok(self.kind())
    }

    pub(crate) async fn create_exec(&self, spec: &ExecSpec, attach_stdin: bool) -> Result<ExecId, Error> {
        let attach = !spec.is_detached;
        let attach_stdin = attach && attach_stdin;
        let mut detach_keys = None;
        let mut console_size = None;
        if let Some(terminal) = &spec.terminal {
            if attach_stdin && Box::pin(self.detect_kind(&spec.container)).await? != EngineKind::Podman {
                detach_keys = Some(UNREACHABLE_DETACH_KEYS.to_owned());
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
        self.explain(Operation::CreateExec, created, &spec.container).await
    }

    /// Sets the size of a running command's terminal. Docker waits 10 s for one that does not run yet.
    pub(crate) async fn resize_exec(&self, id: &ExecId, size: TerminalSize) -> bool {
        let size = ResizeExecOptions {
            height: size.rows,
            width: size.columns,
        };
        within_time(self.docker.resize_exec(id.as_str(), size)).await.is_ok()
    }

    /// Sends a signal to a command's process group where the engine has a call for that. Podman has one since
    /// September 2026 (its pull request 29525).
    pub(crate) async fn kill_exec(&self, id: &ExecId, signal: Signal) -> bool {
        let path = format!("/v4.0.0/libpod/exec/{}/kill?signal={}", id.as_str(), signal.name());
        self.kind() == EngineKind::Podman && within_time(self.call(Method::POST, &path, Bytes::new())).await.is_ok()
    }

    /// The name of the processor architecture that a container's image is for. The engine itself is asked only where the
    /// image does not tell: Podman takes half a second for that.
    pub(crate) async fn architecture(&self, container: &ContainerName) -> Result<String, Error> {
        let inspected = self.inspected(container).await?;
        let architecture = match inspected.image_id() {
            Some(id) => self.get::<models::Image>(&format!("/images/{id}/json")).await.ok(),
            None => None,
        };
        let architecture = architecture.map(|image| image.architecture).unwrap_or_default();
        if !architecture.is_empty() {
            return Ok(sanitize_line(&architecture, MAX_NAME_LEN));
        }
        let version = retried(|| self.docker.version()).await;
        let version = self.explain(Operation::Version, version, container).await?;
        Ok(sanitize_line(&version.arch.unwrap_or_default(), MAX_NAME_LEN))
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
            models::PathStat::of(response.headers())
                .ok_or_else(|| ApiError::NotAnEngine("it does not describe the file".to_owned()))
        })
        .await;
        let stat = self.explain(Operation::StatFile, asked, container).await?;
        Ok(stat.is_open_to_others())
    }

    /// The engine's own list of a container's processes, with the columns that were asked for.
    pub(crate) async fn processes(
        &self,
        container: &ContainerName,
        columns: &'static str,
    ) -> Result<Vec<Vec<String>>, Error> {
        let path = format!("/containers/{container}/top?ps_args={columns}");
        let listed = self.get::<models::Processes>(&path).await;
        let listed = self.explain(Operation::ListProcesses, listed, container).await?;
        Ok(listed.rows())
    }

    /// The engine's numbers of the processes that run as execs in a container.
    pub(crate) async fn exec_pids(&self, container: &ContainerName) -> Result<HashSet<u32>, Error> {
        let inspected = self.inspected(container).await?;
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
        self.explain(Operation::UploadFile, within_time(put).await, container)
            .await
    }

    /// Starts a command and gives the connection over which its streams go.
    pub(crate) async fn start_attached(&self, id: &ExecId, spec: &ExecSpec) -> Result<Upgraded, Error> {
        let slot = UpgradeSlot::default();
        let started = self.start(id, spec, Some(slot.clone())).await;
        // Where the slot has the connection, bollard has failed to find it in the answer.
        let attached = match (slot.take(), started) {
            (Some(attached), _) => Ok(attached),
            (None, Err(refusal)) => Err(refusal),
            (None, Ok(())) => Err(ApiError::NoUpgrade),
        };
        self.explain(Operation::StartExec, attached, &spec.container).await
    }

    pub(crate) async fn start_detached(&self, id: &ExecId, spec: &ExecSpec) -> Result<(), Error> {
        let started = self.start(id, spec, None).await;
        self.explain(Operation::StartExec, started, &spec.container).await
    }

    async fn start(&self, id: &ExecId, spec: &ExecSpec, upgrade: Option<UpgradeSlot>) -> Result<(), ApiError> {
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
        within_time(docker.start_exec(id.as_str(), Some(options)))
            .await
            .map(drop)
    }

    /// What the engine tells of a command; `None` when it does not know it any more.
    pub(crate) async fn inspect_exec(&self, id: &ExecId) -> Result<Option<ExecState>, Error> {
        let docker = self.docker_with(CallOptions {
            reduce: Some(models::without_command),
            ..CallOptions::default()
        });
        match retried(|| docker.inspect_exec(id.as_str())).await {
            Ok(state) => Ok(Some(ExecState {
                // An answer without this field is no proof that the command has ended.
                is_running: state.running.unwrap_or(true),
                // Podman was seen to give -1 for a command that its container's end took with it.
                exit_code: state.exit_code.filter(|code| *code >= 0),
                pid: state
                    .pid
                    .and_then(|pid| u32::try_from(pid).ok())
                    .filter(|pid| *pid != 0),
                container: state.container_id.and_then(|id| ContainerName::parse(&id).ok()),
            })),
            Err(refusal) => {
                let error = refusal.into_error(Operation::InspectExec, self.endpoint(), None);
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
                let error = refusal.into_error(Operation::InspectContainer, self.endpoint(), Some(container));
                match error.kind() {
                    ErrorKind::ContainerNotFound => Ok(ContainerState::Gone),
                    _ => Err(error),
                }
            }
        }
    }

    async fn inspect_container(&self, container: &ContainerName) -> Result<models::ContainerInspect, ApiError> {
        self.get(&format!("/containers/{container}/json")).await
    }

    /// The same, with the error that users see.
    async fn inspected(&self, container: &ContainerName) -> Result<models::ContainerInspect, Error> {
        let inspected = self.inspect_container(container).await;
        self.explain(Operation::InspectContainer, inspected, container).await
    }

    fn docker_with(&self, options: CallOptions) -> Docker {
        client::with_options(&self.docker, options)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let answer = retried(|| self.call(Method::GET, path, Bytes::new())).await;
        from_json(&answer?)
    }

    /// One call that bollard has not, or does not make as it must be, and its answer whole.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ApiError> {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, JSON);
        let response = self.transport.send(request.body(body.into()).map_err(broken)?).await?;
        if !response.status().is_success() {
            return Err(read_refusal(response).await);
        }
        read_body(response, MAX_ANSWER_SIZE).await
    }

    /// The error of a call on a container, with what further calls can tell about it.
    async fn explain<T>(
        &self,
        operation: Operation,
        result: Result<T, ApiError>,
        container: &ContainerName,
    ) -> Result<T, Error> {
        let refusal = match result {
            Ok(value) => return Ok(value),
            Err(refusal) => refusal,
        };
        let error = refusal.into_error(operation, self.endpoint(), Some(container));
        Err(match error.kind() {
            ErrorKind::ContainerNotFound => {
                let hint = self.other_containers(container).await;
                error.with_hint(&hint)
            }
            ErrorKind::ContainerNotRunning => self.with_true_cause(error, container, container).await,
            ErrorKind::EngineError if matches!(operation, Operation::CreateExec | Operation::StartExec) => {
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
                .take(MAX_NAMES)
                .map(|container| sanitize_line(&container.name, MAX_NAME_LEN))
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
        if self.kind() == EngineKind::Docker || !before.has_restart_policy() {
            return false;
        }
        tokio::time::sleep(RESTART_TIMEOUT).await;
        let after = self.inspect_container(container).await;
        after.is_ok_and(|after| after.restart_count != before.restart_count || after.state.is_running())
    }
}
