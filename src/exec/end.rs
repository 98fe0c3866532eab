//! Determines how a command ended. The end of its output proves nothing, so the engine is asked.

use std::time::Duration;

use tokio::time::Instant;

use crate::api::{
    Api, ContainerEnd, ExecId, ExecState, execute_failure, is_docker_start_failure, is_podman_start_failure,
    start_failure,
};
use crate::error::{Error, ErrorKind};
use crate::exit_code;
use crate::outcome::End;
use crate::request::{ContainerName, ExecSpec};
use crate::transport::EngineKind;

use super::helper;
use super::pump::{OutputPrefix, StreamError};
use super::stop::{Stopper, Target};

/// How long the engine may still report a command as running after its output has ended.
const SETTLING_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns how a command ended, after its output ended or failed.
pub(super) async fn resolve_exit(
    api: &Api,
    spec: &ExecSpec,
    target: Option<(&Stopper, &Target)>,
    id: &ExecId,
    streamed: Result<(), StreamError>,
    seen: &OutputPrefix,
) -> End {
    let state = match wait_until_exited(api, id).await {
        Ok(Some(state)) => state,
        Ok(None) => return exec_gone(api, &spec.container, target).await,
        Err(error) => return lost(error.cause(), true),
    };
    if state.is_running {
        return lost(
            "the output ended while the command was still running: the engine was restarted or closed the connection",
            true,
        );
    }
    // The container's name may belong to another container by now.
    let container = state.container.as_ref().unwrap_or(&spec.container);
    match (state.exit_code, streamed) {
        (Some(code), Ok(())) => ended(api, spec, container, (code, state.pid.is_some()), seen).await,
        (Some(code), Err(fault @ StreamError::Unsealed(_))) => {
            match ended(api, spec, container, (code, state.pid.is_some()), seen).await {
                End::Exited { code } => End::ExitedUnsealed {
                    code,
                    reason: format!("{fault}: the end of the output may be missing"),
                },
                end => end,
            }
        }
        (_, Err(fault)) => lost(&format!("{fault}: part of the output may be missing"), false),
        (None, Ok(())) => match api.container_end(container).await {
            Some(ContainerEnd::Ended(event)) => container_stopped(&spec.container, event, exit_code::UNKNOWN),
            _ => lost("the engine does not report the exit code", false),
        },
    }
}

/// How a command ended that the engine no longer knows: its container stopped or restarted, or the engine restarted.
async fn exec_gone(api: &Api, container: &ContainerName, target: Option<(&Stopper, &Target)>) -> End {
    match (api.container_end(container).await, target) {
        (Some(ContainerEnd::Ended(event)), _) => container_stopped(container, event, exit_code::UNKNOWN),
        (Some(ContainerEnd::Runs), Some((stopper, target))) if !Box::pin(stopper.may_be_running(target)).await => {
            container_stopped(container, "was restarted", exit_code::UNKNOWN)
        }
        _ => lost(
            "the engine no longer knows the command, for example after a restart",
            true,
        ),
    }
}

async fn wait_until_exited(api: &Api, id: &ExecId) -> Result<Option<ExecState>, Error> {
    let deadline = Instant::now() + SETTLING_TIMEOUT;
    let mut pause = Duration::from_millis(10);
    loop {
        let state = api.inspect_exec(id).await?;
        let is_running = state.as_ref().is_some_and(|state| state.is_running);
        if !is_running || Instant::now() > deadline {
            return Ok(state);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Returns how a command ended that, according to the engine, ended with `code` in `container`.
async fn ended(
    api: &Api,
    spec: &ExecSpec,
    container: &ContainerName,
    (code, has_pid): (i64, bool),
    seen: &OutputPrefix,
) -> End {
    let program = spec.command.first().map_or("", String::as_str);
    let has_terminal = spec.terminal.is_some();
    let stderr = if has_terminal { &seen.stdout } else { &seen.stderr };
    let stderr = String::from_utf8_lossy(stderr);
    let is_stderr_alone = has_terminal || seen.stdout.is_empty();
    if !spec.groups.is_empty()
        && let 126 | 127 = code
        && is_stderr_alone
        && let Some(kind) = helper::execute_failure(&stderr)
    {
        let error = Error::new(kind, stderr.trim().to_owned());
        return End::StartFailed { code, error };
    }
    if let 1 | 126 | 127 | 255 = code
        && is_stderr_alone
        && let Some(error) = execute_failure(program, &stderr)
    {
        return End::StartFailed { code, error };
    }
    let stdout = String::from_utf8_lossy(&seen.stdout);
    // Podman forgets the process id of every command that has ended, so only its message can be checked.
    let by_words = (125..=127).contains(&code) && is_stderr_alone && is_podman_start_failure(&stderr);
    // Without a process id, Docker never created a process.
    let by_process = (125..=128).contains(&code) && !has_pid;
    let words = match api.kind() {
        EngineKind::Docker => by_process.then_some(stdout),
        EngineKind::Podman => by_words.then_some(stderr),
        EngineKind::Unknown if by_words => Some(stderr),
        EngineKind::Unknown => (by_process && is_docker_start_failure(&stdout)).then_some(stdout),
    };
    if let Some(words) = words {
        let error = start_failure(program, &words);
        let error = api.with_true_cause(error, container, &spec.container).await;
        return End::StartFailed { code, error };
    }
    if code == exit_code::KILLED
        && let Some(ContainerEnd::Ended(event)) = api.container_end(container).await
    {
        return container_stopped(&spec.container, event, exit_code::KILLED);
    }
    End::Exited { code }
}

pub(super) fn lost(reason: &str, may_run: bool) -> End {
    let mut message = format!("the connection was lost before the exit code was known: {reason}");
    if may_run {
        message.push_str(". The command may still be running in the container");
    }
    End::ConnectionLost {
        error: Error::new(ErrorKind::ConnectionLost, message),
        may_run,
    }
}

fn container_stopped(container: &ContainerName, event: &str, code: i64) -> End {
    End::ContainerStopped {
        error: Error::new(
            ErrorKind::ContainerStopped,
            format!("the container `{container}` {event} while the command ran, which ended the command"),
        ),
        code,
    }
}
