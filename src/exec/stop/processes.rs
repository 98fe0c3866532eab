//! Determines which of a container's processes belong to a command.
//!
//! The engine knows the command's first process ([`first`](super::first)), and three signs connect other processes to
//! it: the marker in the environment, which children inherit; the parent; and the session. No sign counts for a process
//! that started before the command, and such a process never makes others the command's. A process that started later
//! and has none of the signs may be a process of the command that cleared its environment, created its own session and
//! lost its parent, or a process that the container itself has started since. It is never signalled, only reported.

use std::collections::{HashMap, HashSet};

/// The container's first process, which adopts processes whose parent has ended.
pub(super) const INIT: u32 = 1;

/// The kernel reuses process ids, but not together with the same start time, in ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    pub(super) start: u64,
}

/// What a process's environment shows about the command that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sign {
    /// It has the command's marker.
    Marked,
    /// It has the marker of another command.
    Foreign,
    /// It has no marker, or it started before the command and was not read. During an execve, a process has no marker
    /// for a moment.
    #[default]
    None,
    /// Its environment can't be read.
    Unreadable,
}

/// One process, as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) name: String,
    pub(super) parent: u32,
    pub(super) session: u32,
    pub(super) has_ended: bool,
    pub(super) sign: Sign,
    /// Its real user id, if the agent reported it.
    pub(super) user: Option<u32>,
    /// Whether it is in the container. In a shared process namespace, the agent sees other processes too.
    pub(super) is_inside: bool,
}

/// The processes that the agent sees at one time.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) processes: Vec<Process>,
    /// The agents' own processes.
    agents: HashSet<u32>,
    /// The parents of the agents, which are the engine's processes that start execs. In a container with its own
    /// process namespace, that parent is not visible: its id is 0.
    engine_s: HashSet<u32>,
}

/// What is known about a command's processes from all checks of the container.
#[derive(Debug)]
pub(super) struct ProcessTree {
    /// The tick before which no process of the command started.
    begun: u64,
    /// The process that the engine started.
    first: Option<ProcessId>,
    /// The parent of the first process.
    first_parent: Option<u32>,
    members: HashSet<ProcessId>,
    /// The sessions that belong to the command.
    sessions: HashSet<u32>,
}

impl Sign {
    pub(super) fn parse(word: &str) -> Self {
        match word {
            "marked" => Self::Marked,
            "foreign" => Self::Foreign,
            "unreadable" => Self::Unreadable,
            _ => Self::None,
        }
    }
}

impl Process {
    /// Parses a line `SIGN UID PLACE STAT`, in which `STAT` is a line of `/proc/PID/stat`: `pid (name) state parent
    /// group session …`. The program chooses its own name, which may contain parentheses and spaces.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let (sign, user, place, stat) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (pid, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `fields` starts with the third field of the line.
        let field = |number: usize| fields.get(number - 3).copied();
        let threads: i64 = field(20)?.parse().ok()?;
        Some(Self {
            id: ProcessId {
                pid: pid.parse().ok()?,
                start: field(22)?.parse().ok()?,
            },
            name: name.to_owned(),
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            // A process whose main thread has ended is shown as a zombie while its other threads still run.
            has_ended: matches!(field(3)?, "Z" | "X" | "x") && threads <= 1,
            sign: Sign::parse(sign),
            user: user.parse().ok(),
            is_inside: place == "in",
        })
    }

    /// Whether it leads its session.
    pub(super) fn is_leader(&self) -> bool {
        self.session == self.id.pid
    }
}

impl Table {
    pub(super) fn new(processes: Vec<Process>, agents: HashSet<u32>) -> Self {
        let of_agents = processes.iter().filter(|process| agents.contains(&process.id.pid));
        let engine_s = of_agents.map(|agent| agent.parent).chain([0]).collect();
        Self {
            processes,
            agents,
            engine_s,
        }
    }

    pub(super) fn find(&self, id: ProcessId) -> Option<&Process> {
        self.processes.iter().find(|process| process.id == id)
    }

    pub(super) fn with_pid(&self, pid: u32) -> Option<&Process> {
        self.processes.iter().find(|process| process.id.pid == pid)
    }

    /// Whether this is the first process of an exec: it leads a session, and its parent is a process of the engine.
    pub(super) fn is_of_exec(&self, process: &Process) -> bool {
        process.is_leader() && process.id.pid != INIT && self.engine_s.contains(&process.parent)
    }

    /// Whether the container shares the engine's process namespace, in which the agent sees the parent that started it.
    pub(super) fn is_shared(&self) -> bool {
        self.engine_s.len() > 1
    }
}

/// The processes of a table by id, parent and session.
struct Index<'a> {
    by_pid: HashMap<u32, &'a Process>,
    by_parent: HashMap<u32, Vec<&'a Process>>,
    by_session: HashMap<u32, Vec<&'a Process>>,
    /// The ids and the sessions of the agents.
    agents: HashSet<u32>,
}

impl<'a> Index<'a> {
    fn of(table: &'a Table) -> Self {
        let mut index = Self {
            by_pid: HashMap::new(),
            by_parent: HashMap::new(),
            by_session: HashMap::new(),
            agents: table.agents.clone(),
        };
        for process in &table.processes {
            index.by_pid.insert(process.id.pid, process);
            index.by_parent.entry(process.parent).or_default().push(process);
            index.by_session.entry(process.session).or_default().push(process);
            if table.agents.contains(&process.id.pid) {
                index.agents.insert(process.session);
            }
        }
        index
    }

    fn children(&self, process: &'a Process) -> impl Iterator<Item = &'a Process> {
        let children = self.by_parent.get(&process.id.pid).into_iter().flatten();
        // The table is not a snapshot: if a parent ended in the meantime, another process may have its id.
        children.copied().filter(|child| child.id.start >= process.id.start)
    }

    fn in_session(&self, session: u32) -> impl Iterator<Item = &'a Process> {
        self.by_session.get(&session).into_iter().flatten().copied()
    }
}

impl ProcessTree {
    /// Creates the tree of a command that started at this tick or later.
    pub(super) fn new(begun: u64) -> Self {
        Self {
            begun,
            first: None,
            first_parent: None,
            members: HashSet::new(),
            sessions: HashSet::new(),
        }
    }

    /// Returns the tick before which no process of the command started.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    pub(super) fn first(&self) -> Option<ProcessId> {
        self.first
    }

    /// Records the process that the engine started, unless it can't belong to the command.
    pub(super) fn set_first(&mut self, first: &Process) {
        if self.may_be_ours(first) {
            self.begun = first.id.start;
            self.first = Some(first.id);
            self.first_parent = Some(first.parent);
            self.members.insert(first.id);
            self.sessions.insert(first.id.pid);
        }
    }

    /// Adds the command's processes in this table to the members, and returns those that have not ended.
    pub(super) fn living(&mut self, table: &Table) -> Vec<ProcessId> {
        if self.first.is_none()
            && let Some(first) = table
                .processes
                .iter()
                .find(|process| self.may_be_ours(process) && process.sign == Sign::Marked && table.is_of_exec(process))
        {
            self.set_first(first);
        }
        let index = Index::of(table);
        // A session's id is not reused while the session exists. If it has another leader, it is another session.
        self.sessions.retain(|session| {
            let leader = index.by_pid.get(session);
            leader.is_none_or(|leader| self.members.contains(&leader.id) || !leader.is_leader())
        });
        let mut found: HashSet<u32> = HashSet::new();
        let mut work: Vec<&Process> = table
            .processes
            .iter()
            .filter(|process| process.sign == Sign::Marked || self.members.contains(&process.id))
            .collect();
        loop {
            while let Some(process) = work.pop() {
                let is_agent = index.agents.contains(&process.session);
                if !self.may_be_ours(process) || is_agent || !found.insert(process.id.pid) {
                    continue;
                }
                self.members.insert(process.id);
                work.extend(index.children(process));
                if self.is_session_ours(process.session, &index) {
                    self.sessions.insert(process.session);
                }
            }
            // Whether a session belongs to the command may be known only after its leader is found.
            work.extend(
                self.sessions
                    .iter()
                    .flat_map(|session| index.in_session(*session))
                    .filter(|process| self.may_be_ours(process) && !found.contains(&process.id.pid))
                    .filter(|process| !index.agents.contains(&process.session)),
            );
            if work.is_empty() {
                break;
            }
        }
        let members = table.processes.iter().filter(|process| found.contains(&process.id.pid));
        members
            .filter(|process| !process.has_ended)
            .map(|process| process.id)
            .collect()
    }

    /// Whether the process can belong to the command: it did not start before the command, and is not the container's
    /// first process.
    fn may_be_ours(&self, process: &Process) -> bool {
        process.id.start >= self.begun && process.id.pid != INIT
    }

    /// Whether a session that contains a member was created by the command.
    fn is_session_ours(&self, session: u32, index: &Index<'_>) -> bool {
        if session <= INIT {
            return false;
        }
        match index.by_pid.get(&session) {
            Some(leader) if leader.is_leader() => self.members.contains(&leader.id),
            // Its leader has ended. Process ids are assigned in rising order, so a session with a higher id than the
            // command's first process was created later, unless the ids have wrapped around.
            _ => {
                let newest = index.agents.iter().max();
                self.first.is_some_and(|first| {
                    session > first.pid
                        && newest.is_some_and(|newest| *newest > first.pid)
                        && index.in_session(session).all(|process| self.may_be_ours(process))
                })
            }
        }
    }

    /// Returns the processes that may belong to the command but have no sign of it: they are in the container, started
    /// at `since` or later, are in a session that is no older, and have a parent that adopts processes.
    ///
    /// In a shared process namespace, the first processes of other execs are among them, because the parent that starts
    /// execs also adopts processes.
    pub(super) fn suspects<'a>(&self, table: &'a Table, since: u64) -> Vec<&'a Process> {
        let since = since.max(self.begun);
        let index = Index::of(table);
        let is_young = |process: &Process| process.id.start >= since && process.id.pid != INIT;
        let is_engine_s = |pid: u32| pid != 0 && (table.engine_s.contains(&pid) || self.first_parent == Some(pid));
        let is_shared = table.is_shared();
        let is_of_exec = |session: u32| {
            let leader = index.by_pid.get(&session);
            !is_shared && leader.is_some_and(|leader| table.is_of_exec(leader))
        };
        table
            .processes
            .iter()
            .filter(|process| {
                is_young(process)
                    && process.is_inside
                    && !process.has_ended
                    && matches!(process.sign, Sign::None | Sign::Unreadable)
                    && !self.members.contains(&process.id)
                    && !index.agents.contains(&process.session)
                    && (process.parent == INIT || is_engine_s(process.parent))
                    && !is_of_exec(process.session)
                    && index.in_session(process.session).all(is_young)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
