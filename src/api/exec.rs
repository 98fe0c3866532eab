//! The calls on an exec: create, start, inspect, resize, signal.

use std::collections::HashSet;

use bollard::exec::{ResizeExecOptions, StartExecOptions};
use bollard::models::{ExecConfig, ExecStartConfig};
use bytes::Bytes;
use hyper::Method;

use crate::error::{Error, ErrorKind};
use crate::outcome::Signal;
use crate::request::{ContainerName, ExecSpec};
use crate::terminal::TerminalSize;
use crate::transport::{EngineKind, Upgraded};

use super::client::{CallOptions, UpgradeSlot};
use super::error::ApiError;
use super::http::{retried, to_json, within_time};
use super::operation::Operation;
use super::{Api, ExecId, models};

/// Detach keys for engines that look for such keys in a terminal's input, whether they are asked to or not. dexec
/// looks for its own detach keys, so that they work the same with every engine; nobody types these. The engine holds
/// back input that begins like them, so they begin with a key that hardly any program uses. Docker sends the second
/// key twice if one read ends with the first key and the next begins with the second and a wrong third. The second key
/// must therefore be rare after the first, unlike NUL.
const UNREACHABLE_DETACH_KEYS: &str = "ctrl-^,ctrl-],ctrl-^,ctrl-@,ctrl-^,ctrl-],ctrl-_,ctrl-^";

/// What an engine reports about a command.
#[derive(Debug)]
pub(crate) struct ExecState {
    pub(crate) is_running: bool,
    pub(crate) exit_code: Option<i64>,
    /// The id of the command's first process on the engine's host. Podman forgets it when the process ends.
    pub(crate) pid: Option<u32>,
    /// The id of the container in which the command runs, which stays the same if the container is renamed.
    pub(crate) container: Option<ContainerName>,
}

impl Api {
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

    /// Sets the size of a running command's terminal. Docker waits 10 s for a command that does not run yet.
    pub(crate) async fn resize_exec(&self, id: &ExecId, size: TerminalSize) -> bool {
        let size = ResizeExecOptions {
            height: size.rows,
            width: size.columns,
        };
        within_time(self.docker.resize_exec(id.as_str(), size)).await.is_ok()
    }

    /// Sends a signal to a command's process group if the engine has a call for that. Podman has one since September
    /// 2026 (pull request 29525).
    pub(crate) async fn kill_exec(&self, id: &ExecId, signal: Signal) -> bool {
        let path = format!("/v4.0.0/libpod/exec/{}/kill?signal={}", id.as_str(), signal.name());
        self.kind() == EngineKind::Podman && within_time(self.call(Method::POST, &path, Bytes::new())).await.is_ok()
    }

    /// Starts a command and returns the connection for its streams.
    pub(crate) async fn start_attached(&self, id: &ExecId, spec: &ExecSpec) -> Result<Upgraded, Error> {
        let slot = UpgradeSlot::default();
        let started = self.start(id, spec, Some(slot.clone())).await;
        // If the slot has the connection, bollard failed because it did not find the connection in the response.
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
            // Docker uses this field, not the one of the create call, to choose the format of the output.
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

    /// Returns what the engine reports about a command; `None` if the engine no longer knows it.
    pub(crate) async fn inspect_exec(&self, id: &ExecId) -> Result<Option<ExecState>, Error> {
        let docker = self.docker_with(CallOptions {
            reduce: Some(models::without_command),
            ..CallOptions::default()
        });
        match retried(|| docker.inspect_exec(id.as_str())).await {
            Ok(state) => Ok(Some(ExecState {
                // A response without this field does not prove that the command has ended.
                is_running: state.running.unwrap_or(true),
                // Podman was seen to return -1 for a command that ended because its container did.
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
                    // Podman looks for the container first, so its error may name the container.
                    ErrorKind::ContainerNotRunning | ErrorKind::ContainerNotFound => Ok(None),
                    _ => Err(error),
                }
            }
        }
    }

    /// Returns the process ids, on the engine's host, of the execs in a container.
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
}
