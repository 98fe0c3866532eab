//! Looks for the processes of a command and ends them, until none is left.

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

/// How long a command may be called running while no process of it can be found: Docker and Podman answer a start
/// before there is one.
const APPEARING_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a start without an answer is thought to be under way.
const UNANSWERED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the runtime may take to become the command in the process that it made.
const BECOMING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long killed processes may take to end. One that waits for a disk or a network file system can't be killed.
const KILLING_TIMEOUT: Duration = Duration::from_secs(6);

const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
pub(super) const MAX_PAUSE: Duration = Duration::from_millis(100);

/// How often new processes are stopped before all are killed: those that multiply faster are killed as they are.
const MAX_FREEZES: u32 = 50;

/// How often agents are started again after they were ended.
const MAX_RESTARTS: u32 = 3;

/// How often a process without a sign is looked at: one in the middle of an execve has none for a moment.
const SUSPECT_LOOKS: u32 = 4;
const SUSPECT_PAUSE: Duration = Duration::from_millis(30);

/// The kernel keeps fewer characters of a process's name.
const MAX_NAME_LEN: usize = 64;

/// How many processes a message names.
const MAX_NAMES: usize = 5;

/// How far a stop has come, also where its time was over.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) step: Step,
    /// The strongest signal that was sent.
    pub(super) signal: Option<Signal>,
    /// What was killed last, and may not have ended.
    pub(super) killed: Option<String>,
}

pub(super) struct Search<'a> {
    api: &'a Api,
    target: &'a Target,
    share: Share<'a>,
    clock: EngineClock,
    family: ProcessTree,
    progress: &'a mut Progress,
    begun: Instant,
    /// Once the engine did not list the command's first process.
    is_unlisted: bool,
    /// How often the agents were started again.
    restarts: u32,
}

impl<'a> Search<'a> {
    /// Ends what is found. Gives what is to be said of processes that may be the command's and were left alone.
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
        let family = ProcessTree::new(clock.earliest(target.since, Moment::now()));
        let mut search = Self {
            api,
            target,
            share,
            clock,
            family,
            progress,
            begun: Instant::now(),
            is_unlisted: false,
            restarts: 0,
        };
        if let Some(host_pid) = host_pid {
            search.take_shared_first(host_pid).await?;
        }
        let found = loop {
            if let Err(error) = search.end_all().await {
                break Err(error);
            }
            match search.doubt().await {
                Ok(Doubt::NotAnyMore) => {}
                Ok(Doubt::None) => break Ok(None),
                Ok(Doubt::Of(names)) => break Ok(Some(names)),
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
            if !is_restarted(&listed, &mut self.restarts) {
                return listed;
            }
        }
    }

    /// Sends a signal, and gives the processes that nobody may send it to.
    async fn kill(&mut self, signal: u8, ids: &[ProcessId], table: &Table) -> Result<Vec<ProcessId>, StopError> {
        loop {
            let kill = async |agents: &mut Agents| agents.kill(signal, ids, table).await;
            let killed = self.share.with(&mut self.progress.step, kill).await;
            if !is_restarted(&killed, &mut self.restarts) {
                return killed;
            }
        }
    }

    async fn look(&mut self, first: u32, pids: &[u32]) -> Result<HashMap<u32, Attribution>, StopError> {
        let marker = &self.target.marker;
        let look = async |agents: &mut Agents| agents.look(marker, first, pids).await;
        self.share.with(&mut self.progress.step, look).await
    }

    async fn is_in_engine_namespace(&mut self) -> Result<bool, StopError> {
        let ask = async |agents: &mut Agents| agents.is_in_engine_namespace().await;
        self.share.with(&mut self.progress.step, ask).await
    }

    /// Ends every process that is found, until none is.
    async fn end_all(&mut self) -> Result<(), StopError> {
        let mut frozen: HashSet<ProcessId> = HashSet::new();
        let mut freezes = 0;
        let mut grace_ends = None;
        let mut pauses = Pauses::default();
        let mut was_empty = false;
        loop {
            let table = self.list(self.family.begun()).await?;
            let living = self.family.living(&table);
            let now = Instant::now();
            if living.is_empty() {
                self.progress.killed = None;
                // A process in the middle of its execve has no environment for a moment, so one look is no proof.
                if was_empty && !self.may_appear().await? {
                    return Ok(());
                }
                was_empty = true;
                sleep(pauses.next()).await;
                continue;
            }
            was_empty = false;
            if self.is_becoming(&table) {
                sleep(pauses.next()).await;
                continue;
            }
            let mut refused = Vec::new();
            if grace_ends.is_none() {
                // Only once: what is begun from here on may be the clean-up of those that were asked to end.
                self.progress.signal.get_or_insert(Signal::Term);
                self.kill(TERM, &living, &table).await?;
                // A stopped process would get the signal only when it goes on.
                self.kill(CONT, &living, &table).await?;
                grace_ends = Some(now + self.target.kill_after);
                pauses = Pauses::default();
            } else if grace_ends.is_some_and(|end| now < end) {
                // They are ending.
            } else {
                let new: Vec<ProcessId> = living.iter().copied().filter(|id| frozen.insert(*id)).collect();
                if !new.is_empty() && freezes < MAX_FREEZES {
                    freezes += 1;
                    // A process that is stopped has no more children, and stays the parent of those it has.
                    self.kill(STOP, &new, &table).await?;
                    continue;
                }
                self.progress.signal = Some(Signal::Kill);
                self.progress.killed = Some(named(&table, &living));
                refused = self.kill(KILL, &living, &table).await?;
            }
            if grace_ends.is_some_and(|end| now > end + KILLING_TIMEOUT) || refused.len() == living.len() {
                return Err(left(&table, &living, &refused));
            }
            let rest = grace_ends.map_or(MAX_PAUSE, |end| end.saturating_duration_since(Instant::now()));
            sleep(pauses.next().min(rest.max(SHORTEST_PAUSE))).await;
        }
    }

    /// Whether the command's first process is still the runtime's own, which had better come to its end.
    fn is_becoming(&self, table: &Table) -> bool {
        let first = self.family.first().and_then(|first| table.find(first));
        first.is_some_and(|first| first.name.starts_with("runc:[") || first.name == "crun")
            && self.begun.elapsed() < BECOMING_TIMEOUT
    }

    /// Whether a process of the command may come to be, or be found, after a look that found none.
    async fn may_appear(&mut self) -> Result<bool, StopError> {
        if self.family.first().is_some() {
            return Ok(false);
        }
        let host_pid = match self.api.inspect_exec(&self.target.exec).await? {
            None => return Ok(false),
            Some(ExecState { is_running: false, .. }) => {
                return Ok(!self.target.is_answered && self.begun.elapsed() < UNANSWERED_TIMEOUT);
            }
            Some(ExecState { pid, .. }) => pid,
        };
        let first = match host_pid {
            Some(host_pid) => self.find_first(host_pid).await?,
            // Podman forgets the number when the process ends, and may call the command running for seconds more.
            None if self.progress.signal.is_some() => First::Ended,
            None => First::Unclear,
        };
        match first {
            First::Found(first) => self.family.set_first(&first),
            // An engine under load may call a command running that has ended. What it does not list once may have
            // ended just then, and its children be on their way to another parent.
            First::Ended if self.is_unlisted => return Ok(false),
            First::Ended => self.is_unlisted = true,
            First::Unclear => {}
        }
        if self.begun.elapsed() < APPEARING_TIMEOUT {
            return Ok(true);
        }
        Err(StopError::Unseen)
    }

    /// In the engine's own process namespace the number it knows is enough, and says also which process adopts what the
    /// command leaves.
    async fn take_shared_first(&mut self, host_pid: u32) -> Result<(), StopError> {
        let table = self.list(self.family.begun()).await?;
        if table.is_shared()
            && self.is_in_engine_namespace().await?
            && let Some(first) = table.with_pid(host_pid)
        {
            self.family.set_first(first);
        }
        Ok(())
    }

    async fn find_first(&mut self, host_pid: u32) -> Result<First, StopError> {
        let marker = &self.target.marker;
        let find = async |agents: &mut Agents| agents.find_first(marker, host_pid).await;
        self.share.with(&mut self.progress.step, find).await
    }

    /// What is to be said of processes that may be the command's and can't be told from others.
    async fn doubt(&mut self) -> Result<Doubt, StopError> {
        let since = match self.family.first() {
            Some(first) => first.start,
            None => self.clock.latest(self.target.since),
        };
        let mut cleared: HashSet<u32> = HashSet::new();
        // Nothing of the command lives that could begin more, so who is no suspect at first never is.
        let mut known: Option<HashSet<ProcessId>> = None;
        for look in 1.. {
            let table = self.list(0).await?;
            if !self.family.living(&table).is_empty() {
                return Ok(Doubt::NotAnyMore);
            }
            let mut suspects = self.family.suspects(&table, since);
            if known.is_none() && !suspects.is_empty() && table.is_shared() {
                // The first processes of other execs are among them, which the engine knows.
                cleared = self
                    .api
                    .exec_pids(&self.share.whose.container)
                    .await
                    .unwrap_or_default();
            }
            let is_known = |id| known.as_ref().is_none_or(|known| known.contains(id));
            suspects.retain(|suspect| {
                is_known(&suspect.id) && !cleared.contains(&suspect.id.pid) && !cleared.contains(&suspect.session)
            });
            let oldest = table.processes.iter().filter(|process| process.is_inside);
            let container_first = oldest.min_by_key(|process| process.id.start);
            let container_first = container_first.map_or(INIT, |oldest| oldest.id.pid);
            let pids: Vec<u32> = suspects.iter().map(|suspect| suspect.id.pid).collect();
            if pids.is_empty() {
                return Ok(Doubt::None);
            }
            let looks = self.look(container_first, &pids).await?;
            // One with the command's marker shows as its own in the next list.
            suspects.retain(|suspect| {
                matches!(
                    looks.get(&suspect.id.pid),
                    Some(Attribution::Unknown | Attribution::Marked)
                )
            });
            if look >= SUSPECT_LOOKS && !suspects.is_empty() {
                return Ok(Doubt::Of(format!(
                    "{} began while the command ran and can't be told from the container's own, so it was left alone",
                    names(&suspects)
                )));
            }
            known = Some(suspects.iter().map(|suspect| suspect.id).collect());
            sleep(SUSPECT_PAUSE).await;
        }
        Ok(Doubt::None)
    }
}

/// The pauses between looks, each twice as long as the one before.
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

/// Whether the agents are to be started again: a command that is asked to end may take everything in its container with
/// it.
fn is_restarted<T>(done: &Result<T, StopError>, restarts: &mut u32) -> bool {
    let is_lost = matches!(done, Err(StopError::Api(error)) if error.kind() == ErrorKind::ConnectionLost);
    *restarts += u32::from(is_lost);
    is_lost && *restarts <= MAX_RESTARTS
}

/// What a look at what is left has shown.
enum Doubt {
    /// Processes of the command have turned up.
    NotAnyMore,
    None,
    /// These may be the command's.
    Of(String),
}

fn left(table: &Table, living: &[ProcessId], refused: &[ProcessId]) -> StopError {
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

/// `process 12 (sleep)`, or several.
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
