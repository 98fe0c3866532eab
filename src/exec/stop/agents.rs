//! All agents in one container: the helper as root, and as other users if root lacks the capability to act as them.

use std::collections::{HashMap, HashSet};

use tokio::time::{Instant, sleep};

use crate::api::{Api, ContainerState};
use crate::error::ErrorKind;
use crate::exec::helper::Helper;
use crate::marker::Marker;
use crate::request::ContainerName;
use crate::transport::EngineKind;

use super::agent::{Agent, Attribution, NOT_PERMITTED, Place, Unstarted};
use super::clock::{EngineClock, Moment};
use super::error::{Step, StopError};
use super::first::{self, First};
use super::processes::{Process, ProcessId, Sign, Table};

/// How long an engine under load may refuse to start the agent.
const STARTING_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(4);

const STARTING_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// As how many users agents may run.
const MAX_USERS: usize = 8;

const ROOT: &str = "0:0";

#[derive(Debug)]
pub(super) struct Agents {
    api: Api,
    whose: Whose,
    pub(super) clock: EngineClock,
    /// The agent that lists the processes. It can act as any user, or it is the best one that could be started.
    main: Agent,
    others: Vec<Agent>,
    /// The users as which starting an agent was tried.
    users: HashSet<u32>,
    /// Whether further agents can do what the main one can't.
    takes_more: bool,
    /// Whether the agent sees the same process ids as the engine; `None` before this is known.
    is_in_engine_namespace: Option<bool>,
    /// The known processes by the engine's process ids.
    by_host_pid: HashMap<u32, ProcessId>,
}

/// Identifies the agents that can be used for a command: those in its container, for its user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    /// The container's id if it is known, because its name may belong to another container by now.
    pub(super) container: ContainerName,
    /// The requested user.
    pub(super) user: Option<String>,
    pub(super) is_privileged: bool,
}

impl Agents {
    pub(super) async fn start(api: &Api, whose: &Whose, step: &mut Step) -> Result<Self, StopError> {
        match api.container_state(&whose.container).await? {
            ContainerState::Running => {}
            ContainerState::Paused => return Err(StopError::Paused),
            ContainerState::NotRunning | ContainerState::Gone => return Err(StopError::ContainerEnded),
        }
        let deadline = Instant::now() + STARTING_TIMEOUT;
        let (main, is_helper) = loop {
            match start_main(api, whose, step).await {
                Err(StopError::Api(error)) if error.kind() == ErrorKind::EngineError && Instant::now() < deadline => {
                    sleep(STARTING_PAUSE).await;
                }
                started => break started?,
            }
        };
        let mut agents = Self {
            api: api.clone(),
            whose: whose.clone(),
            clock: EngineClock::UNKNOWN,
            users: main.hello.user.into_iter().collect(),
            takes_more: is_helper && !main.hello.acts_as_anyone,
            main,
            others: Vec::new(),
            is_in_engine_namespace: None,
            by_host_pid: HashMap::new(),
        };
        *step = Step::Attribution;
        agents.main.read_clock(&mut agents.clock).await?;
        if agents.takes_more {
            agents.add(whose.user.clone()).await?;
        }
        Ok(agents)
    }

    /// Starts another agent, if a program can be run as this user.
    async fn add(&mut self, user: Option<String>) -> Result<(), StopError> {
        let Ok(helper) = Helper::put(&self.api, &self.whose.container).await else {
            return Ok(());
        };
        let agent = Agent::helper(self.whose.place(&self.api, user), helper.path()).await;
        if !agent.as_ref().is_ok_and(|agent| agent.hello.is_unlinked) {
            self.main.unlink(helper.path()).await?;
        }
        if let Ok(agent) = agent {
            self.users.extend(agent.hello.user);
            self.others.push(agent);
        }
        Ok(())
    }

    async fn add_users(&mut self, users: HashSet<u32>) -> Result<(), StopError> {
        for user in users {
            if self.takes_more && self.users.len() < MAX_USERS && self.users.insert(user) {
                self.add(Some(user.to_string())).await?;
            }
        }
        Ok(())
    }

    /// Lists the visible processes. Processes that started before the tick `since` have only the data that every user
    /// may read.
    pub(super) async fn list(&mut self, marker: &Marker, since: u64) -> Result<Table, StopError> {
        let mut processes = self.main.list(marker, since).await?;
        let is_hidden = |process: &&Process| process.sign == Sign::Unreadable && process.is_inside;
        self.add_users(
            processes
                .iter()
                .filter(is_hidden)
                .filter_map(|process| process.user)
                .collect(),
        )
        .await?;
        for agent in &mut self.others {
            let seen = agent.list(marker, since).await?;
            let signs: HashMap<ProcessId, Sign> = seen.into_iter().map(|process| (process.id, process.sign)).collect();
            for process in processes.iter_mut().filter(|process| process.sign == Sign::Unreadable) {
                process.sign = signs.get(&process.id).copied().unwrap_or(process.sign);
            }
        }
        let agents = [&self.main].into_iter().chain(&self.others);
        Ok(Table::new(processes, agents.map(|agent| agent.hello.pid).collect()))
    }

    /// Sends a signal to processes of this table, and returns those to which no agent may send it.
    pub(super) async fn kill(
        &mut self,
        signal: u8,
        processes: &[ProcessId],
        table: &Table,
    ) -> Result<Vec<ProcessId>, StopError> {
        let refused = self.main.kill(signal, processes).await?;
        let not_permitted = refused.into_iter().filter(|(_, errno)| *errno == NOT_PERMITTED);
        let not_permitted: HashSet<u32> = not_permitted.map(|(pid, _)| pid).collect();
        let mut left: Vec<&Process> = table
            .processes
            .iter()
            .filter(|process| not_permitted.contains(&process.id.pid))
            .collect();
        self.add_users(left.iter().filter_map(|process| process.user).collect())
            .await?;
        for agent in &mut self.others {
            let is_theirs = |process: &&Process| process.user == agent.hello.user;
            let theirs: Vec<ProcessId> = left
                .iter()
                .copied()
                .filter(is_theirs)
                .map(|process| process.id)
                .collect();
            if !theirs.is_empty() {
                let refused = agent.kill(signal, &theirs).await?;
                let refused: HashSet<u32> = refused.into_iter().map(|(pid, _)| pid).collect();
                left.retain(|process| process.user != agent.hello.user || refused.contains(&process.id.pid));
            }
        }
        Ok(left.into_iter().map(|process| process.id).collect())
    }

    /// Compares these processes with the container's first process.
    pub(super) async fn look(
        &mut self,
        marker: &Marker,
        first: u32,
        pids: &[u32],
    ) -> Result<HashMap<u32, Attribution>, StopError> {
        let mut looks: HashMap<u32, Attribution> = self.main.look(marker, first, pids).await?.into_iter().collect();
        for agent in &mut self.others {
            let known = agent.look(marker, first, pids).await?.into_iter();
            looks.extend(known.filter(|(_, look)| *look != Attribution::Unknown));
        }
        Ok(looks)
    }

    /// Whether the agent's process ids are the engine's. The agent's own id shows this.
    pub(super) async fn is_in_engine_namespace(&mut self) -> Result<bool, StopError> {
        if let Some(known) = self.is_in_engine_namespace {
            return Ok(known);
        }
        let state = self.api.inspect_exec(&self.main.exec).await?;
        let is_same = state.is_some_and(|state| state.pid == Some(self.main.hello.pid));
        self.is_in_engine_namespace = Some(is_same);
        Ok(is_same)
    }

    /// Finds the process that the engine started, whose id usually differs between the engine and the agent.
    pub(super) async fn find_first(&mut self, marker: &Marker, host_pid: u32) -> Result<First, StopError> {
        if self.is_in_engine_namespace().await? {
            let table = self.list(marker, 0).await?;
            let first = table.with_pid(host_pid);
            return Ok(first.map_or(First::Ended, |first| First::Found(first.clone())));
        }
        let (api, container) = (self.api.clone(), self.whose.container.clone());
        if api.kind() == EngineKind::Podman {
            // A missing list is no failure of the stop.
            let Ok(rows) = api.processes(&container, first::PODMAN_COLUMNS).await else {
                return Ok(First::Unclear);
            };
            let table = self.list(marker, 0).await?;
            return Ok(first::by_both_numbers(&rows, host_pid, &table));
        }
        let before = self.list(marker, 0).await?;
        if let Some(known) = self.by_host_pid.get(&host_pid).and_then(|id| before.find(*id)) {
            return Ok(First::Found(known.clone()));
        }
        let Ok(rows) = api.processes(&container, first::DOCKER_COLUMNS).await else {
            return Ok(First::Unclear);
        };
        let after = self.list(marker, 0).await?;
        let Some(found) = first::by_order(&rows, (&before, &after), self.clock.latest(Moment::now())) else {
            return Ok(First::Unclear);
        };
        // This includes other commands' processes: one list is enough for many commands that are stopped at once.
        self.by_host_pid = found.iter().filter_map(|(pid, id)| Some((*pid, (*id)?))).collect();
        Ok(match found.get(&host_pid) {
            None => First::Ended,
            Some(id) => {
                let first = id.and_then(|id| after.find(id));
                first.map_or(First::Unclear, |first| First::Found(first.clone()))
            }
        })
    }

    pub(super) async fn leave(self) {
        for agent in self.others {
            agent.leave().await;
        }
        self.main.leave().await;
    }
}

impl Whose {
    fn place<'a>(&'a self, api: &'a Api, user: Option<String>) -> Place<'a> {
        Place {
            api,
            container: &self.container,
            user,
            is_privileged: self.is_privileged,
        }
    }
}

/// Starts the helper as root or, if that fails, the container's shell, which runs only as the command's own user.
/// Returns whether it is the helper.
async fn start_main(api: &Api, whose: &Whose, step: &mut Step) -> Result<(Agent, bool), StopError> {
    *step = Step::PutHelper;
    let why_no_helper = match Helper::put(api, &whose.container).await {
        Ok(helper) => {
            let place = whose.place(api, Some(ROOT.to_owned()));
            *step = Step::StartHelper;
            let unstarted = match Agent::helper(place, helper.path()).await {
                Ok(agent) => return Ok((agent, true)),
                Err(unstarted) => unstarted,
            };
            // The helper did not remove itself. The error below is more important than a file that may be left.
            let _ = helper.remove(api).await;
            match unstarted {
                Unstarted::Unfit(words) => format!("dexec's helper does not run in the container: {words}"),
                Unstarted::Failed(error) if error.kind() == ErrorKind::RefusedByPolicy => {
                    format!(
                        "dexec's helper can't be run as root in the container: {}",
                        error.cause()
                    )
                }
                Unstarted::Failed(error) => return Err(error.into()),
            }
        }
        Err(error) => match StopError::from(error) {
            StopError::Api(error) => format!("dexec's helper can't be copied into the container: {}", error.cause()),
            ended => return Err(ended),
        },
    };
    let place = whose.place(api, whose.user.clone());
    *step = Step::StartShell;
    match Agent::shell(place).await {
        Ok(agent) => Ok((agent, false)),
        Err(Unstarted::Failed(error)) => Err(error.into()),
        Err(Unstarted::Unfit(_)) => Err(StopError::NoAgent(format!(
            "the container has no shell that can list its processes, and {why_no_helper}"
        ))),
    }
}
