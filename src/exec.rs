//! Runs a command: creates and starts it, transfers its data and asks for its exit code, or stops it.

mod command;
mod context;
mod detach;
mod end;
mod frames;
mod groups;
mod helper;
mod own;
mod pump;
mod stop;
mod stop_tracker;

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use crate::api::{Api, ExecId};
use crate::error::Error;
use crate::marker::Marker;
use crate::outcome::End;
use crate::output::Output;
use crate::request::{ExecSpec, Request};

use command::{Command, interrupted_early};
use context::Context;
use helper::Helper;
use stop::{Moment, Target};

/// Runs commands on one engine. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Executor(Context);

impl Executor {
    pub(crate) fn new(api: Api) -> Self {
        Self(Context::new(api))
    }

    pub(crate) fn api(&self) -> &Api {
        &self.0.api
    }

    /// Runs a command and passes on its output as it arrives.
    pub(crate) async fn exec_to<O: Output>(&self, request: Request, output: &mut O, cancel: &CancellationToken) -> End {
        let Request {
            spec,
            stdin,
            timeout,
            kill_after,
        } = request;
        let user = spec.user.clone();
        let marker = Marker::new(Some(kill_after));
        let has_groups = !spec.groups.is_empty();
        let created = {
            let mut creating = pin!(self.create(spec, &marker, stdin.is_some()));
            tokio::select! {
                biased;
                created = &mut creating => created,
                () = cancel.cancelled() => {
                    // The helper for added groups must not be left in the container.
                    if has_groups && let Ok((_, Some(helper), _)) = creating.await {
                        let _ = Box::pin(helper.remove(self.api())).await;
                    }
                    return interrupted_early();
                }
            }
        };
        let (spec, helper, exec) = match created {
            Ok(created) => created,
            Err(error) => return End::NotRun(error),
        };
        let target = Target {
            exec,
            container: spec.container.clone(),
            user,
            is_privileged: spec.is_privileged,
            marker,
            kill_after,
            since: Moment::now(),
            is_answered: false,
        };
        let command = Command::new(&self.0, spec, target);
        // The future is on the heap because it is too large for a stack frame.
        let end = Box::pin(command.live(stdin, timeout, output, cancel)).await;
        let end = end.unwrap_or_else(End::NotRun);
        if let Some(helper) = helper
            && !matches!(end, End::Exited { .. } | End::Detached { .. } | End::LeftRunning { .. })
        {
            // The helper removes itself when it is started. The command's end is more important than a failure here.
            let _ = Box::pin(helper.remove(self.api())).await;
        }
        end
    }

    async fn create(
        &self,
        mut spec: ExecSpec,
        marker: &Marker,
        has_stdin: bool,
    ) -> Result<(ExecSpec, Option<Helper>, ExecId), Error> {
        let mut helper = None;
        if !spec.groups.is_empty() {
            let (with_groups, put) = Box::pin(groups::with_groups(self.api(), spec)).await?;
            (spec, helper) = (with_groups, Some(put));
        }
        spec.env.push(marker.entry().to_owned());
        match self.api().create_exec(&spec, has_stdin).await {
            Ok(id) => Ok((spec, helper, id)),
            Err(error) => {
                if let Some(helper) = helper {
                    // The original error is more important than a failure here.
                    let _ = Box::pin(helper.remove(self.api())).await;
                }
                Err(error)
            }
        }
    }

    /// Waits until the commands whose futures were dropped are stopped. Returns an error for each of which a process
    /// may be left.
    pub(crate) async fn shutdown(&self) -> Vec<Error> {
        self.0.stops.wait().await
    }
}
