//! One command's life: created, started, its bytes moved until they end, its exit code asked for; or stopped.

mod capture;
mod command;
mod detach;
mod end;
mod frames;
mod groups;
mod helper;
mod output;
mod pump;
mod stop;

use std::pin::pin;

use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, ExecId};
use crate::error::Error;
use crate::outcome::{End, Outcome};
use crate::request::{Request, Spec};

use crate::marker::Marker;
pub use capture::{CAPTURE_LIMIT, Capture, Captured};
use command::{Command, interrupted_early};
use helper::Helper;
pub use output::{Output, Stream};
use pump::{Seen, pump};
pub(crate) use stop::SharedAgents;
use stop::{Moment, Target};

impl Engine {
    /// Runs a command and keeps what it writes, up to [`CAPTURE_LIMIT`] bytes of each stream.
    ///
    /// There is always an outcome; see [`exec_to`](Self::exec_to).
    pub async fn exec(&self, request: Request, cancel: &CancellationToken) -> Outcome {
        let mut capture = Capture::default();
        let end = self.exec_to(request, &mut capture, cancel).await;
        let (stdout, stderr) = capture.finish();
        Outcome { end, stdout, stderr }
    }

    /// Runs a command and hands its output on while it comes.
    ///
    /// It takes three requests: create, start, and an inspect for the exit code when the output has ended. The exit
    /// code is the command's own; where it can't be had the [`End`] says so.
    ///
    /// When `cancel` is cancelled, when the request's time is over, or when the output takes no more, the command is
    /// stopped: all its processes in the container are sent SIGTERM, and after
    /// [`kill_after`](crate::RequestBuilder::kill_after) SIGKILL. The end is then [`End::Stopped`], and it comes when
    /// nothing of the command is left, or says why something may be.
    ///
    /// Dropping the future is the emergency way to do the same: see [`shutdown`](Self::shutdown).
    pub async fn exec_to<O: Output>(&self, request: Request, output: &mut O, cancel: &CancellationToken) -> End {
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
                        let _ = Box::pin(helper.remove(self)).await;
                    }
                    return interrupted_early();
                }
            }
        };
        let (spec, helper, exec) = match created {
            Ok(created) => created,
            Err(error) => return End::Refused(error),
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
        let command = Command::new(self, spec, target);
        // On the heap: what a life takes is more than a stack frame should.
        let end = Box::pin(command.live(stdin, timeout, output, cancel)).await;
        let end = end.unwrap_or_else(End::Refused);
        if let Some(helper) = helper
            && !matches!(end, End::Exited { .. } | End::Detached { .. } | End::Left { .. })
        {
            // It removes itself when it is started. What the end says is more than that it could not be done.
            let _ = Box::pin(helper.remove(self)).await;
        }
        end
    }

    async fn create(
        &self,
        mut spec: Spec,
        marker: &Marker,
        has_stdin: bool,
    ) -> Result<(Spec, Option<Helper>, ExecId), Error> {
        let mut helper = None;
        if !spec.groups.is_empty() {
            let (with_groups, put) = Box::pin(groups::with_groups(self, spec)).await?;
            (spec, helper) = (with_groups, Some(put));
        }
        spec.env.push(marker.entry().to_owned());
        match self.create_exec(&spec, has_stdin).await {
            Ok(id) => Ok((spec, helper, id)),
            Err(error) => {
                if let Some(helper) = helper {
                    // The error is what the caller has to know.
                    let _ = Box::pin(helper.remove(self)).await;
                }
                Err(error)
            }
        }
    }

    /// Runs a command of dexec's own, which ends by itself. An error means that nothing was started.
    async fn run(&self, spec: &Spec, output: &mut Capture) -> Result<End, Error> {
        let id = self.create_exec(spec, false).await?;
        let attached = self.start_attached(&id, spec).await?;
        let mut seen = Seen::default();
        let streamed = pump(attached, (None, None), output, &mut seen, (self, &id)).await;
        Ok(self.conclude(spec, None, &id, streamed.map(drop), &seen).await)
    }

    /// Waits for the commands whose futures were dropped before their end: each is being stopped.
    ///
    /// Gives an error for each of which a process may be left. The engine can be used on.
    pub async fn shutdown(&self) -> Vec<Error> {
        self.stops().wait().await
    }
}
