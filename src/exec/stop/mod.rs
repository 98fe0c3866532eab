//! Ends a command that is running: the engines have no call for it.
//!
//! An [agent](agent) in the container finds the command's processes, asks them to end, kills those that don't, and
//! looks until none is left. What can't be reached is said.

mod agent;
mod processes;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::engine::{Engine, ExecId, ExecState};
use crate::error::{Error, ErrorKind, shown};
use crate::outcome::Signal;
use crate::request::ContainerName;

use super::helper::Helper;
use super::marker::Marker;
use agent::{Agent, CONT, KILL, Look, STOP, TERM};
use processes::{Family, Process, ProcessId, Table, milliseconds};

/// How long a command may be called running while no process of it can be found: Docker and Podman answer a start
/// before there is one.
const APPEARING_TIME: Duration = Duration::from_secs(10);

/// How long a start without an answer is thought to be under way.
const UNANSWERED_TIME: Duration = Duration::from_secs(1);

/// How long killed processes may take to end. One that waits for a disk or a network file system can't be killed.
const KILLING_TIME: Duration = Duration::from_secs(6);

/// How long an engine under load may refuse to start the agent.
const STARTING_TIME: Duration = Duration::from_secs(5);

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How often new processes are stopped before all are killed: those that multiply faster are killed as they are.
const MOST_FREEZES: u32 = 50;

/// As how many further users processes are looked for.
const MOST_USERS: usize = 8;

/// The kernel keeps fewer characters of a process's name.
const LONGEST_NAME: usize = 64;

/// How long a stop may take beyond the grace.
const WHOLE_TIME: Duration = Duration::from_secs(120);

/// After what time without a sign of the command other users are asked.
const UNSEEN_TIME: Duration = Duration::from_millis(500);

const ROOT: u32 = 0;

/// The kind of [`left`]'s error, which another user may mend.
const UNKILLABLE: ErrorKind = ErrorKind::PermissionDenied;

/// How many processes a message names.
const MOST_NAMES: usize = 5;

/// The command that is to be ended.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) exec: ExecId,
    pub(super) container: ContainerName,
    /// The user that was asked for, whose processes only the same user can look into.
    pub(super) user: Option<String>,
    pub(super) is_privileged: bool,
    pub(super) marker: Marker,
    pub(super) kill_after: Duration,
    /// When the start was sent.
    pub(super) since: Instant,
    /// Whether the engine has answered the start.
    pub(super) is_answered: bool,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Stopped {
    /// The strongest signal that was sent; `None` when there was no process to send one to.
    pub(super) signal: Option<Signal>,
    /// Why a process of the command may be left.
    pub(super) orphaned: Option<String>,
}

impl Stopped {
    /// The command had ended by itself.
    pub(super) fn is_needless(&self) -> bool {
        self.signal.is_none() && self.orphaned.is_none()
    }
}

/// Ends all processes of a command: TERM, a time of grace, KILL, and a look that nothing is left.
pub(super) async fn stop(engine: &Engine, target: &Target) -> Stopped {
    let mut search = Search {
        engine,
        target,
        helper: None,
        family: Family::default(),
        signal: None,
        cleared: HashSet::new(),
        doubts: Vec::new(),
        unread_leaders: Vec::new(),
    };
    let time = target.kill_after.saturating_add(WHOLE_TIME);
    let searched = timeout(time, search.as_every_user())
        .await
        .unwrap_or_else(|_| Err(endless()));
    remove(search.helper.take(), engine).await;
    let orphaned = match searched {
        Ok(()) if !target.is_answered && search.signal.is_none() => {
            Some("the engine has not answered its start, and may still carry it out".to_owned())
        }
        Ok(()) => search.doubt(),
        Err(error) if is_container_s_end(&error) => None,
        Err(error) => {
            if let Some(signal) = kill_by_engine(engine, target).await {
                search.signal = Some(signal);
            }
            Some(error.to_string())
        }
    };
    Stopped {
        signal: search.signal,
        orphaned,
    }
}

/// Whether a process of the command may be running, as far as a look at the container can tell.
pub(super) async fn may_live(engine: &Engine, target: &Target) -> bool {
    let mut helper = None;
    let looked = async {
        let mut agent = Agent::start(engine, target, target.user.clone(), &mut helper).await?;
        let table = agent.list().await?;
        let living = Family::default().living(&table, agent.pid);
        agent.leave().await;
        Ok::<_, Error>(!living.is_empty())
    }
    .await;
    remove(helper, engine).await;
    looked.unwrap_or(true)
}

async fn remove(helper: Option<Helper>, engine: &Engine) {
    if let Some(helper) = helper {
        // A container in which nothing can be run any more keeps the file, which is all that can be done about it.
        let _ = helper.remove(engine).await;
    }
}

struct Search<'a> {
    engine: &'a Engine,
    target: &'a Target,
    helper: Option<Helper>,
    family: Family,
    signal: Option<Signal>,
    /// The suspects that some user's look has cleared.
    cleared: HashSet<ProcessId>,
    /// The suspects that the last look has left.
    doubts: Vec<(Process, Look)>,
    /// The users of execs that nobody else can look into, while the command runs and no process of it was found.
    unread_leaders: Vec<u32>,
}

impl Search<'_> {
    /// Looks as the command's user first, then as whoever can see what that one can't.
    async fn as_every_user(&mut self) -> Result<(), Error> {
        let mut asked = HashSet::new();
        let mut result = self.as_user(self.target.user.clone()).await;
        if result.as_ref().is_err_and(|error| error.kind() == UNKILLABLE) && asked.insert(ROOT) {
            // What a setuid program has made root's, only root can signal.
            result = self.as_user(Some(ROOT.to_string())).await;
        }
        while let Some(uid) = self.unread_user(&asked)
            && result.is_ok()
            && asked.len() < MOST_USERS
        {
            asked.insert(uid);
            // Where nothing can be run as this user, the doubt stays.
            if self.as_user(Some(uid.to_string())).await.is_ok() {
                self.unread_leaders.clear();
            }
        }
        result?;
        if self.unread_leaders.is_empty() {
            return Ok(());
        }
        Err(unseen())
    }

    fn unread_user(&self, asked: &HashSet<u32>) -> Option<u32> {
        let of_doubts = self.doubts.iter().filter_map(|(_, look)| match look {
            Look::Unreadable(uid) => Some(*uid),
            _ => None,
        });
        let mut users = self.unread_leaders.iter().copied().chain(of_doubts);
        users.find(|uid| !asked.contains(uid))
    }

    async fn as_user(&mut self, user: Option<String>) -> Result<(), Error> {
        let mut agent = self.start_agent(user).await?;
        let table = self.end_all(&mut agent).await?;
        let age = milliseconds(self.target.since.elapsed());
        let suspects: Vec<&Process> = self
            .family
            .suspects(&table, agent.pid, age)
            .into_iter()
            .filter(|suspect| !self.cleared.contains(&suspect.id))
            .collect();
        let mut doubts = Vec::new();
        if !suspects.is_empty() {
            let pids: Vec<u32> = suspects.iter().map(|suspect| suspect.id.pid).collect();
            let by_pid: HashMap<u32, &Process> = suspects.iter().map(|suspect| (suspect.id.pid, *suspect)).collect();
            let before: HashMap<ProcessId, &Look> =
                self.doubts.iter().map(|(process, look)| (process.id, look)).collect();
            for (pid, look) in agent.look(&pids).await? {
                let Some(suspect) = by_pid.get(&pid) else { continue };
                match (look, before.get(&suspect.id)) {
                    (Look::Cleared, _) => drop(self.cleared.insert(suspect.id)),
                    // Another user has read it, and found no sign.
                    (_, Some(Look::Unknown)) => doubts.push(((*suspect).clone(), Look::Unknown)),
                    (look, _) => doubts.push(((*suspect).clone(), look)),
                }
            }
        }
        self.doubts = doubts;
        agent.leave().await;
        Ok(())
    }

    async fn start_agent(&mut self, user: Option<String>) -> Result<Agent, Error> {
        let deadline = Instant::now() + STARTING_TIME;
        loop {
            match Agent::start(self.engine, self.target, user.clone(), &mut self.helper).await {
                Err(error) if error.kind() == ErrorKind::EngineError && Instant::now() < deadline => {
                    sleep(LONGEST_PAUSE).await;
                }
                started => return started,
            }
        }
    }

    /// Ends every process that is found, and gives the table in which none was.
    async fn end_all(&mut self, agent: &mut Agent) -> Result<Table, Error> {
        let begun = Instant::now();
        let mut frozen: HashSet<ProcessId> = HashSet::new();
        let mut freezes = 0;
        let mut grace_ends = None;
        let mut pause = SHORTEST_PAUSE;
        let mut was_empty = false;
        loop {
            let table = agent.list().await?;
            let living = self.family.living(&table, agent.pid);
            let now = Instant::now();
            if living.is_empty() {
                // A process in the middle of its execve has no environment for a moment, so one look is no proof.
                if was_empty && !self.may_appear(begun).await? {
                    return Ok(table);
                }
                was_empty = true;
                if begun.elapsed() > UNSEEN_TIME && self.look_at_leaders(agent, &table).await? {
                    return Ok(table);
                }
                sleep(SHORTEST_PAUSE).await;
                continue;
            }
            was_empty = false;
            if grace_ends.is_none() {
                // Only once: what is begun from here on may be the clean-up of those that were asked to end.
                self.signal.get_or_insert(Signal::Term);
                agent.kill(TERM, &living).await?;
                // A stopped process would get the signal only when it goes on.
                agent.kill(CONT, &living).await?;
                grace_ends = Some(Instant::now() + self.target.kill_after);
            } else if grace_ends.is_some_and(|end| now < end) {
                // They are ending.
            } else {
                let new: Vec<ProcessId> = living.iter().copied().filter(|id| frozen.insert(*id)).collect();
                if !new.is_empty() && freezes < MOST_FREEZES {
                    freezes += 1;
                    // A process that is stopped has no more children, and stays the parent of those it has.
                    agent.kill(STOP, &new).await?;
                    continue;
                }
                if grace_ends.is_some_and(|end| now > end + KILLING_TIME) {
                    return Err(left(&table, &living));
                }
                self.signal = Some(Signal::Kill);
                agent.kill(KILL, &living).await?;
            }
            let rest = grace_ends.map_or(pause, |end| end.saturating_duration_since(Instant::now()));
            sleep(pause.min(rest.max(SHORTEST_PAUSE))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether there are execs that may be the command, and that another user has to look into.
    async fn look_at_leaders(&mut self, agent: &mut Agent, table: &Table) -> Result<bool, Error> {
        let age = milliseconds(self.target.since.elapsed());
        let leaders = self.family.leaders(table, agent.pid, age);
        let pids: Vec<u32> = leaders.iter().map(|leader| leader.id.pid).collect();
        if !pids.is_empty() {
            let looks = agent.look(&pids).await?;
            self.unread_leaders = looks
                .into_iter()
                .filter_map(|(_, look)| match look {
                    Look::Unreadable(uid) => Some(uid),
                    _ => None,
                })
                .collect();
        }
        Ok(!self.unread_leaders.is_empty())
    }

    /// Whether a process of the command may come to be after a look that found none.
    async fn may_appear(&self, begun: Instant) -> Result<bool, Error> {
        match self.engine.inspect_exec(&self.target.exec).await? {
            None => Ok(false),
            Some(ExecState { is_running: false, .. }) => {
                Ok(!self.target.is_answered && begun.elapsed() < UNANSWERED_TIME)
            }
            Some(_) if begun.elapsed() < APPEARING_TIME => Ok(true),
            Some(_) => Err(unseen()),
        }
    }

    /// What is to be said of processes that may be the command's and can't be told from others.
    fn doubt(&self) -> Option<String> {
        let processes: Vec<&Process> = self.doubts.iter().map(|(process, _)| process).collect();
        (!processes.is_empty()).then(|| {
            format!(
                "{} began while the command ran and can't be told from the container's own, so it was left alone",
                names(&processes)
            )
        })
    }
}

fn is_container_s_end(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ContainerNotFound | ErrorKind::ContainerNotRunning | ErrorKind::ContainerRestarting
    )
}

fn left(table: &Table, living: &[ProcessId]) -> Error {
    let processes: Vec<&Process> = table
        .processes
        .iter()
        .filter(|process| living.contains(&process.id))
        .collect();
    Error::new(UNKILLABLE, format!("{} could not be ended", names(&processes)))
}

fn unseen() -> Error {
    Error::new(
        ErrorKind::UnsupportedInContainer,
        "the engine calls the command running, and no process of it can be found in the container",
    )
}

fn endless() -> Error {
    Error::new(
        ErrorKind::UnsupportedInContainer,
        "the look at the container's processes takes too long",
    )
}

/// `process 12 (sleep)`, or several.
fn names(processes: &[&Process]) -> String {
    let shown: Vec<String> = processes
        .iter()
        .take(MOST_NAMES)
        .map(|process| format!("{} ({})", process.id.pid, shown(&process.name, LONGEST_NAME)))
        .collect();
    let noun = if processes.len() == 1 { "process" } else { "processes" };
    match processes.len().saturating_sub(MOST_NAMES) {
        0 => format!("{noun} {}", shown.join(", ")),
        more => format!("{noun} {} and {more} more", shown.join(", ")),
    }
}

/// Asks the engine itself to signal the command's process group, as Podman can since September 2026. It tells nothing
/// of the processes that have left the group.
async fn kill_by_engine(engine: &Engine, target: &Target) -> Option<Signal> {
    if !engine.kill_exec(&target.exec, Signal::Term).await {
        return None;
    }
    let grace_ends = Instant::now() + target.kill_after;
    while Instant::now() < grace_ends {
        match engine.inspect_exec(&target.exec).await {
            Ok(Some(ExecState { is_running: true, .. })) => sleep(LONGEST_PAUSE).await,
            _ => return Some(Signal::Term),
        }
    }
    engine.kill_exec(&target.exec, Signal::Kill).await;
    Some(Signal::Kill)
}
