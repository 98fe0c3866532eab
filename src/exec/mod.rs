//! One command's life: created, started, its bytes moved until they end, its exit code asked for; or stopped.

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

/// Runs commands on one engine. A clone shares what they need.
#[derive(Clone, Debug)]
pub(crate) struct Executor(Context);

impl Executor {
    pub(crate) fn new(api: Api) -> Self {
        Self(Context::new(api))
    }

    pub(crate) fn api(&self) -> &Api {
        &self.0.api
    }

    /// Runs a command and hands its output on while it comes.
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
                    // What adding groups has put into the container is not left there.
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
        // On the heap: what a life takes is more than a stack frame should.
        let end = Box::pin(command.live(stdin, timeout, output, cancel)).await;
        let end = end.unwrap_or_else(End::NotRun);
        if let Some(helper) = helper
            && !matches!(end, End::Exited { .. } | End::Detached { .. } | End::LeftRunning { .. })
        {
            // It removes itself when it is started. What the end says is more than that it could not be done.
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
                    // The error is what the caller has to know.
                    let _ = Box::pin(helper.remove(self.api())).await;
                }
                Err(error)
            }
        }
    }

    /// Waits for the commands whose futures were dropped; gives an error for each of which a process may be left.
    pub(crate) async fn shutdown(&self) -> Vec<Error> {
        self.0.stops.wait().await
    }
}
