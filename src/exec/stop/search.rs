//! Finds the processes of a command and ends them, until none is left.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::api::{Api, ExecState};
use crate::error::{ErrorKind, sanitize_line};
use crate::outcome::Signal;

use super::agent::{Attribution, CONT, KILL, STOP, TERM};
use super::agents::Agents;
use super::clock::{EngineClock, Moment};
use super::error::{Step, StopError};
use super::first::First;
use super::processes::{INIT, Process, ProcessId, ProcessTree, Table};
use super::shared::{Share, SharedAgents};
use super::target::Target;

/// How long the engine may report a command as running while none of its processes can be found: Docker and Podman
/// respond to a start before the process exists.
const APPEARING_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a start without a response is assumed to be in progress.
const UNANSWERED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the runtime may take to execute the command in the process that it created.
const EXECUTE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long killed processes may take to end. A process that waits for a disk or a network file system can't be killed.
const KILLING_TIMEOUT: Duration = Duration::from_secs(6);

const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
pub(super) const MAX_PAUSE: Duration = Duration::from_millis(100);

/// How many times new processes are suspended (SIGSTOP) before all are killed. Processes that multiply faster are killed
/// without that.
const MAX_FREEZES: u32 = 50;

/// How many times agents are started again after their connection was lost.
const MAX_RESTARTS: u32 = 3;

/// How many times a process without any sign of the command is checked: during an execve, it has none for a moment.
const SUSPECT_LOOKS: u32 = 4;
const SUSPECT_PAUSE: Duration = Duration::from_millis(30);

/// Longer than any process name that the kernel keeps.
const MAX_NAME_LEN: usize = 64;

/// The maximum number of processes that a message names.
const MAX_NAMES: usize = 5;

/// The progress of a stop. It is also valid after the stop has timed out.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) step: Step,
    /// The strongest signal that was sent.
    pub(super) signal: Option<Signal>,
    /// The processes that were killed last and may not have ended.
    pub(super) killed: Option<String>,
}

pub(super) struct Search<'a> {
    api: &'a Api,
    target: &'a Target,
    share: Share<'a>,
    clock: EngineClock,
    tree: ProcessTree,
    progress: &'a mut Progress,
    started_at: Instant,
    /// Whether the engine has already failed once to list the command's first process.
    is_unlisted: bool,
    /// How many times the agents were started again.
    restarts: u32,
}

impl<'a> Search<'a> {
    /// Ends the command's processes. Returns a message about processes that may belong to the command but were not
    /// signalled, if there are any.
    pub(super) async fn run(
        (api, agents): (&'a Api, &'a SharedAgents),
        target: &'a Target,
        progress: &'a mut Progress,
    ) -> Result<Option<String>, StopError> {
        let (container, host_pid) = match api.inspect_exec(&target.exec).await {
            Ok(Some(ExecState { container, pid, .. })) => (container, pid),
            _ => (None, None),
        };
        let container = container.unwrap_or_else(|| target.container.clone());
        let mut share = Share::of(api, agents, target.whose(container));
        let clock = share
            .with(&mut progress.step, async |agents: &mut Agents| Ok(agents.clock))
            .await?;
        let tree = ProcessTree::new(clock.earliest(target.since, Moment::now()));
        let mut search = Self {
            api,
            target,
            share,
            clock,
            tree,
            progress,
            started_at: Instant::now(),
            is_unlisted: false,
            restarts: 0,
        };
        if let Some(host_pid) = host_pid {
            search.set_first_by_host_pid(host_pid).await?;
        }
        let found = loop {
            if let Err(error) = search.end_all().await {
                break Err(error);
            }
            match search.unattributed().await {
                Ok(Doubt::MoreFound) => {}
                Ok(Doubt::None) => break Ok(None),
                Ok(Doubt::Unattributed(names)) => break Ok(Some(names)),
                Err(error) => break Err(error),
            }
        };
        search.share.leave().await;
        found
    }

    async fn list(&mut self, since: u64) -> Result<Table, StopError> {
        let marker = &self.target.marker;
        loop {
            let list = async |agents: &mut Agents| agents.list(marker, since).await;
            let listed = self.share.with(&mut self.progress.step, list).await;
            if !should_retry(&listed, &mut self.restarts) {
                return listed;
            }
        }
    }

    /// Sends a signal, and returns the processes to which no agent may send it.
    async fn kill(&mut self, signal: u8, ids: &[ProcessId], table: &Table) -> Result<Vec<ProcessId>, StopError> {
        loop {
            let kill = async |agents: &mut Agents| agents.kill(signal, ids, table).await;
            let killed = self.share.with(&mut self.progress.step, kill).await;
            if !should_retry(&killed, &mut self.restarts) {
                return killed;
            }
        }
    }

    async fn attribute(&mut self, first: u32, pids: &[u32]) -> Result<HashMap<u32, Attribution>, StopError> {
        let marker = &self.target.marker;
        let look = async |agents: &mut Agents| agents.look(marker, first, pids).await;
        self.share.with(&mut self.progress.step, look).await
    }

    async fn is_in_engine_namespace(&mut self) -> Result<bool, StopError> {
        let ask = async |agents: &mut Agents| agents.is_in_engine_namespace().await;
        self.share.with(&mut self.progress.step, ask).await
    }

    /// Ends every process of the command, until no more are found.
    async fn end_all(&mut self) -> Result<(), StopError> {
        let mut frozen: HashSet<ProcessId> = HashSet::new();
        let mut freezes = 0;
        let mut grace_ends = None;
        let mut pauses = Pauses::default();
        let mut was_empty = false;
        loop {
            let table = self.list(self.tree.begun()).await?;
            let living = self.tree.living(&table);
            let now = Instant::now();
            if living.is_empty() {
                self.progress.killed = None;
                // During an execve a process has no environment for a moment, so one check is not enough.
                if was_empty && !self.may_appear().await? {
                    return Ok(());
                }
                was_empty = true;
                sleep(pauses.next()).await;
                continue;
            }
            was_empty = false;
            if self.is_still_runtime(&table) {
                sleep(pauses.next()).await;
                continue;
            }
            let mut refused = Vec::new();
            if grace_ends.is_none() {
                // TERM is sent only once: processes started later may be cleaning up for those that received it.
                self.progress.signal.get_or_insert(Signal::Term);
                self.kill(TERM, &living, &table).await?;
                // A suspended process receives the signal only when it continues.
                self.kill(CONT, &living, &table).await?;
                grace_ends = Some(now + self.target.kill_after);
                pauses = Pauses::default();
            } else if grace_ends.is_some_and(|end| now < end) {
                // The processes are within their grace period.
            } else {
                let new: Vec<ProcessId> = living.iter().copied().filter(|id| frozen.insert(*id)).collect();
                if !new.is_empty() && freezes < MAX_FREEZES {
                    freezes += 1;
                    // A suspended process starts no more children, and remains the parent of those that it has.
                    self.kill(STOP, &new, &table).await?;
                    continue;
                }
                self.progress.signal = Some(Signal::Kill);
                self.progress.killed = Some(named(&table, &living));
                refused = self.kill(KILL, &living, &table).await?;
            }
            if grace_ends.is_some_and(|end| now > end + KILLING_TIMEOUT) || refused.len() == living.len() {
                return Err(not_ended(&table, &living, &refused));
            }
            let rest = grace_ends.map_or(MAX_PAUSE, |end| end.saturating_duration_since(Instant::now()));
            sleep(pauses.next().min(rest.max(SHORTEST_PAUSE))).await;
        }
    }

    /// Whether the command's first process still runs the runtime's own code, which should not be interrupted.
    fn is_still_runtime(&self, table: &Table) -> bool {
        let first = self.tree.first().and_then(|first| table.find(first));
        first.is_some_and(|first| first.name.starts_with("runc:[") || first.name == "crun")
            && self.started_at.elapsed() < EXECUTE_TIMEOUT
    }

    /// Whether a process of the command may still be started or found after a check that found none.
    async fn may_appear(&mut self) -> Result<bool, StopError> {
        if self.tree.first().is_some() {
            return Ok(false);
        }
        let host_pid = match self.api.inspect_exec(&self.target.exec).await? {
            None => return Ok(false),
            Some(ExecState { is_running: false, .. }) => {
                return Ok(!self.target.is_answered && self.started_at.elapsed() < UNANSWERED_TIMEOUT);
            }
            Some(ExecState { pid, .. }) => pid,
        };
        let first = match host_pid {
            Some(host_pid) => self.find_first(host_pid).await?,
            // Podman forgets the id when the process ends, and may report the command as running for several more
            // seconds.
            None if self.progress.signal.is_some() => First::Ended,
            None => First::Unclear,
        };
        match first {
            First::Found(first) => self.tree.set_first(&first),
            // An engine under load may report a command as running although it has ended. A process that is missing
            // from the engine's list once may have ended just then, and its children may not have been adopted yet.
            First::Ended if self.is_unlisted => return Ok(false),
            First::Ended => self.is_unlisted = true,
            First::Unclear => {}
        }
        if self.started_at.elapsed() < APPEARING_TIMEOUT {
            return Ok(true);
        }
        Err(StopError::Unseen)
    }

    /// If the container shares the engine's process namespace, the process id that the engine reports is valid there too.
    /// The first process's parent is the process that adopts the command's orphans.
    async fn set_first_by_host_pid(&mut self, host_pid: u32) -> Result<(), StopError> {
        let table = self.list(self.tree.begun()).await?;
        if table.is_shared()
            && self.is_in_engine_namespace().await?
            && let Some(first) = table.with_pid(host_pid)
        {
            self.tree.set_first(first);
        }
        Ok(())
    }

    async fn find_first(&mut self, host_pid: u32) -> Result<First, StopError> {
        let marker = &self.target.marker;
        let find = async |agents: &mut Agents| agents.find_first(marker, host_pid).await;
        self.share.with(&mut self.progress.step, find).await
    }

    /// Describes the processes that may belong to the command but can't be distinguished from others.
    async fn unattributed(&mut self) -> Result<Doubt, StopError> {
        let since = match self.tree.first() {
            Some(first) => first.start,
            None => self.clock.latest(self.target.since),
        };
        let mut other_execs: HashSet<u32> = HashSet::new();
        // No process of the command is left that could start another, so later checks add no suspects.
        let mut known: Option<HashSet<ProcessId>> = None;
        for look in 1.. {
            let table = self.list(0).await?;
            if !self.tree.living(&table).is_empty() {
                return Ok(Doubt::MoreFound);
            }
            let mut suspects = self.tree.suspects(&table, since);
            if known.is_none() && !suspects.is_empty() && table.is_shared() {
                // The suspects include the first processes of other execs, whose ids the engine knows.
                other_execs = self
                    .api
                    .exec_pids(&self.share.whose.container)
                    .await
                    .unwrap_or_default();
            }
            let is_known = |id| known.as_ref().is_none_or(|known| known.contains(id));
            suspects.retain(|suspect| {
                is_known(&suspect.id)
                    && !other_execs.contains(&suspect.id.pid)
                    && !other_execs.contains(&suspect.session)
            });
            let oldest = table.processes.iter().filter(|process| process.is_inside);
            let container_first = oldest.min_by_key(|process| process.id.start);
            let container_first = container_first.map_or(INIT, |oldest| oldest.id.pid);
            let pids: Vec<u32> = suspects.iter().map(|suspect| suspect.id.pid).collect();
            if pids.is_empty() {
                return Ok(Doubt::None);
            }
            let looks = self.attribute(container_first, &pids).await?;
            // A process with the command's marker is recognised as the command's in the next list.
            suspects.retain(|suspect| {
                matches!(
                    looks.get(&suspect.id.pid),
                    Some(Attribution::Unknown | Attribution::Marked)
                )
            });
            if look >= SUSPECT_LOOKS && !suspects.is_empty() {
                return Ok(Doubt::Unattributed(format!(
                    "{} started while the command ran and can't be distinguished from the container's own processes: not signalled",
                    names(&suspects)
                )));
            }
            known = Some(suspects.iter().map(|suspect| suspect.id).collect());
            sleep(SUSPECT_PAUSE).await;
        }
        Ok(Doubt::None)
    }
}

/// The pauses between checks. Each is twice as long as the one before, up to [`MAX_PAUSE`].
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(SHORTEST_PAUSE)
    }
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(MAX_PAUSE);
        pause
    }
}

/// Counts a lost connection, and returns whether the agents should be started again: a command that is asked to end may kill everything in its container.
fn should_retry<T>(done: &Result<T, StopError>, restarts: &mut u32) -> bool {
    let is_lost = matches!(done, Err(StopError::Api(error)) if error.kind() == ErrorKind::ConnectionLost);
    *restarts += u32::from(is_lost);
    is_lost && *restarts <= MAX_RESTARTS
}

/// The result of checking the remaining processes.
enum Doubt {
    /// Processes of the command were found.
    MoreFound,
    None,
    /// Names processes that may belong to the command.
    Unattributed(String),
}

fn not_ended(table: &Table, living: &[ProcessId], refused: &[ProcessId]) -> StopError {
    if refused.is_empty() {
        StopError::Left(named(table, living))
    } else {
        StopError::NotPermitted(named(table, refused))
    }
}

fn named(table: &Table, ids: &[ProcessId]) -> String {
    let processes: Vec<&Process> = ids.iter().filter_map(|id| table.find(*id)).collect();
    names(&processes)
}

/// Formats `process 12 (sleep)`, or a list of several processes.
fn names(processes: &[&Process]) -> String {
    let shown: Vec<String> = processes
        .iter()
        .take(MAX_NAMES)
        .map(|process| format!("{} ({})", process.id.pid, sanitize_line(&process.name, MAX_NAME_LEN)))
        .collect();
    let noun = if processes.len() == 1 { "process" } else { "processes" };
    match processes.len().saturating_sub(MAX_NAMES) {
        0 => format!("{noun} {}", shown.join(", ")),
        more => format!("{noun} {} and {more} more", shown.join(", ")),
    }
}
