//! Stops a running command. Docker has no API call for this, and Podman's call does not reach every process.
//!
//! An [agent](agent) in the container lists its processes. [`processes`] determines which of them belong to the
//! command; [`first`] identifies the one that the engine started. They are sent TERM and, if they don't end, KILL,
//! until none is left. Processes that can't be reached, or can't be distinguished from others, are reported.

mod agent;
mod agents;
mod clock;
mod error;
mod first;
mod processes;
mod search;
mod shared;
mod target;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::api::{Api, ExecState};
use crate::outcome::Signal;

use agents::Agents;
pub(super) use clock::Moment;
use error::{Step, StopError};
use processes::ProcessTree;
use search::{MAX_PAUSE, Progress, Search};
use shared::{Share, SharedAgents};
pub(super) use target::Target;

/// How long a stop may take beyond the grace period. The rest of ten seconds is left for the response.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(8);

/// The result of a stop.
#[derive(Debug)]
pub(super) struct Stopped {
    /// The strongest signal that was sent; `None` if there was no process to send one to.
    pub(super) signal: Option<Signal>,
    /// Why a process of the command may be left running.
    pub(super) orphaned: Option<String>,
}

impl Stopped {
    /// Whether the command had already ended on its own.
    pub(super) fn is_needless(&self) -> bool {
        self.signal.is_none() && self.orphaned.is_none()
    }
}

/// Stops commands on one engine. Clones share their agents.
#[derive(Clone, Debug)]
pub(super) struct Stopper {
    api: Api,
    agents: Arc<SharedAgents>,
}

impl Stopper {
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            agents: Arc::default(),
        }
    }

    /// Ends all processes of a command: sends TERM, waits for the grace period, sends KILL, and checks that none is
    /// left.
    pub(super) async fn stop(&self, target: &Target) -> Stopped {
        let deadline = Instant::now() + target.kill_after.saturating_add(WHOLE_TIMEOUT);
        let mut progress = Progress::default();
        let searched = timeout_at(deadline, Search::run((&self.api, &self.agents), target, &mut progress)).await;
        let Progress {
            mut signal,
            killed,
            step,
        } = progress;
        let searched = searched.unwrap_or_else(|_| Err(killed.map_or(StopError::Late(step), StopError::LateEnd)));
        let orphaned = match searched {
            Ok(_) if !target.is_answered && signal.is_none() => {
                Some("the engine did not respond to its start, and may still start it".to_owned())
            }
            Ok(doubt) => doubt,
            Err(StopError::ContainerEnded) => None,
            Err(error) => {
                // The deadline limits this too; `error` is reported in any case.
                let _ = timeout_at(deadline, kill_by_engine(&self.api, target, &mut signal)).await;
                Some(error.to_string())
            }
        };
        Stopped { signal, orphaned }
    }

    /// Whether a process of the command may be running, as far as a check of the container shows. A check that fails or
    /// times out returns `true`.
    pub(super) async fn may_be_running(&self, target: &Target) -> bool {
        let looked = async {
            let mut share = Share::of(&self.api, &self.agents, target.whose(target.container.clone()));
            let look = async |agents: &mut Agents| {
                let mut family = ProcessTree::new(agents.clock.earliest(target.since, Moment::now()));
                let table = agents.list(&target.marker, family.begun()).await?;
                Ok(!family.living(&table).is_empty())
            };
            let may_live = share.with(&mut Step::default(), look).await;
            share.leave().await;
            may_live
        };
        match timeout(WHOLE_TIMEOUT, looked).await {
            Ok(Err(StopError::ContainerEnded)) => false,
            Ok(Ok(may_live)) => may_live,
            _ => true,
        }
    }
}

/// Asks the engine to signal the command's process group, which Podman supports since September 2026. This gives no
/// information about processes that have left the group.
async fn kill_by_engine(api: &Api, target: &Target, signal: &mut Option<Signal>) {
    if !api.kill_exec(&target.exec, Signal::Term).await {
        return;
    }
    signal.get_or_insert(Signal::Term);
    let grace_ends = Instant::now() + target.kill_after;
    while Instant::now() < grace_ends {
        match api.inspect_exec(&target.exec).await {
            Ok(Some(ExecState { is_running: true, .. })) => sleep(MAX_PAUSE).await,
            _ => return,
        }
    }
    *signal = Some(Signal::Kill);
    api.kill_exec(&target.exec, Signal::Kill).await;
}
