//! Which of a container's processes are a command's own.
//!
//! An engine tells neither. Three signs do: the command's marker in the environment, which children inherit; the
//! session, which every exec has its own of; and the parent. Together they find all but a process that cleared its
//! environment, made a session of its own and lost its parent. That one can't be told from a process which the
//! container itself has started since, so it is never touched, only reported.

use std::collections::{HashMap, HashSet};

/// `USER_HZ`, in which the kernel gives start times to programs on every architecture that engines run on.
const TICKS_PER_SECOND: u64 = 100;

/// The container's first process.
const FIRST: u32 = 1;

/// A process id is used anew one day; with the time of its start, in ticks since boot, it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    pub(super) start: u64,
}

/// One process, as its `/proc/PID/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) name: String,
    parent: u32,
    session: u32,
    has_ended: bool,
}

/// The processes of a container at one moment, as the agent sees them.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) processes: Vec<Process>,
    /// Those whose environment holds the marker.
    pub(super) marked: HashSet<u32>,
}

/// What is known of a command's processes, over all looks at the container.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: HashSet<ProcessId>,
    sessions: HashSet<u32>,
}

impl Process {
    /// Reads a line of `/proc/PID/stat`: `pid (name) state parent group session …`.
    ///
    /// The name is the program's own choice, with parentheses and spaces if it likes.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (pid, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The third field of the line is the first here.
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
            // A process whose first thread has ended shows as a zombie while its other threads run on.
            has_ended: matches!(field(3)?, "Z" | "X" | "x") && threads <= 1,
        })
    }
}

/// The processes of a table by what binds them.
struct Index<'a> {
    by_pid: HashMap<u32, &'a Process>,
    by_parent: HashMap<u32, Vec<&'a Process>>,
    by_session: HashMap<u32, Vec<&'a Process>>,
    /// The sessions that can't be the command's: the container's own, the agent's, and what lies outside the container.
    strange: HashSet<u32>,
}

impl<'a> Index<'a> {
    fn of(table: &'a Table, agent: u32) -> Self {
        let mut index = Self {
            by_pid: HashMap::new(),
            by_parent: HashMap::new(),
            by_session: HashMap::new(),
            strange: HashSet::from([0]),
        };
        for process in &table.processes {
            index.by_pid.insert(process.id.pid, process);
            index.by_parent.entry(process.parent).or_default().push(process);
            index.by_session.entry(process.session).or_default().push(process);
        }
        for pid in [FIRST, agent] {
            index
                .strange
                .extend(index.by_pid.get(&pid).map(|process| process.session));
        }
        index
    }

    fn is_strange(&self, process: &Process) -> bool {
        process.id.pid == FIRST || self.strange.contains(&process.session)
    }
}

impl Family {
    /// Takes what a look at the container shows, and gives the members that live. `agent` is the process that looked.
    pub(super) fn living(&mut self, table: &Table, agent: u32) -> Vec<ProcessId> {
        let index = Index::of(table, agent);
        // A session's number is not used anew while it exists: with another leader it is another session.
        self.sessions.retain(|session| {
            let leader = index.by_pid.get(session);
            leader.is_none_or(|leader| self.members.contains(&leader.id) || leader.session != *session)
        });
        let mut found: HashSet<u32> = HashSet::new();
        let mut work: Vec<&Process> = table
            .processes
            .iter()
            .filter(|process| {
                table.marked.contains(&process.id.pid)
                    || self.members.contains(&process.id)
                    || self.sessions.contains(&process.session)
            })
            .collect();
        while let Some(process) = work.pop() {
            if index.is_strange(process) || !found.insert(process.id.pid) {
                continue;
            }
            self.members.insert(process.id);
            work.extend(index.by_parent.get(&process.id.pid).into_iter().flatten());
            if self.sessions.insert(process.session) {
                work.extend(index.by_session.get(&process.session).into_iter().flatten());
            }
        }
        let members = table.processes.iter().filter(|process| found.contains(&process.id.pid));
        members
            .filter(|process| !process.has_ended)
            .map(|process| process.id)
            .collect()
    }

    /// The first processes of execs that began since the command was started, `age_ms` before the agent, and carry no
    /// sign of it: one of them is the command's own where it has become another user, whom nobody else can look into.
    pub(super) fn leaders<'a>(&self, table: &'a Table, agent: u32, age_ms: u64) -> Vec<&'a Process> {
        let index = Index::of(table, agent);
        let Some(look) = index.by_pid.get(&agent) else {
            return Vec::new();
        };
        let since = begin(look, age_ms);
        let is_leader = |process: &Process| process.parent == look.parent && process.session == process.id.pid;
        table
            .processes
            .iter()
            .filter(|process| is_leader(process) && process.id.start >= since && !process.has_ended)
            .filter(|process| !index.is_strange(process) && !self.members.contains(&process.id))
            .collect()
    }

    /// The processes that may be the command's and carry no sign of it: begun since it was started, `age_ms` before
    /// the agent, in a session of their own, and without the parent that began them.
    pub(super) fn suspects<'a>(&self, table: &'a Table, agent: u32, age_ms: u64) -> Vec<&'a Process> {
        let index = Index::of(table, agent);
        let Some(look) = index.by_pid.get(&agent) else {
            return Vec::new();
        };
        let since = begin(look, age_ms);
        // An exec's first process has no parent in the container's own process namespace.
        let is_exec_leader = |pid: u32| {
            let leader = index.by_pid.get(&pid);
            leader.is_some_and(|leader| leader.parent == 0 && look.parent == 0)
        };
        table
            .processes
            .iter()
            .filter(|process| {
                process.id.start >= since
                    && !process.has_ended
                    && !self.members.contains(&process.id)
                    && [FIRST, look.parent].contains(&process.parent)
                    && !index.is_strange(process)
                    && !is_exec_leader(process.session)
            })
            .collect()
    }
}

/// The first moment at which a process of the command can have begun, with a second more: two clocks are compared.
fn begin(agent: &Process, age_ms: u64) -> u64 {
    let age = age_ms.saturating_mul(TICKS_PER_SECOND) / 1000 + TICKS_PER_SECOND;
    agent.id.start.saturating_sub(age)
}

/// The age of a command in the unit of [`Family::suspects`].
pub(super) fn milliseconds(age: std::time::Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX / TICKS_PER_SECOND)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AGENT: u32 = 900;

    fn process(pid: u32, parent: u32, session: u32, start: u64) -> Process {
        Process {
            id: ProcessId { pid, start },
            name: format!("p{pid}"),
            parent,
            session,
            has_ended: false,
        }
    }

    /// A container with its first process and the agent, which was begun at 10,000 ticks.
    fn table(marked: &[u32], more: &[Process]) -> Table {
        let mut processes = vec![process(1, 0, 1, 5), process(AGENT, 0, AGENT, 10_000)];
        processes.extend_from_slice(more);
        Table {
            processes,
            marked: marked.iter().copied().collect(),
        }
    }

    fn pids(found: &[ProcessId]) -> Vec<u32> {
        found.iter().map(|id| id.pid).collect()
    }

    #[test]
    fn a_stat_line_is_read_whatever_the_name_is() {
        let line = "42 (a) (b) S 7) R 1 40 40 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        let read = Process::parse(line).expect("it is a line");
        assert_eq!(read.name, "a) (b) S 7");
        assert_eq!(
            (read.id.pid, read.id.start, read.parent, read.session),
            (42, 777, 1, 40)
        );
        assert!(!read.has_ended);
        for broken in ["", "42", "42 (a)", "42 (a) S 1", "x (a) S 1 2 3", ")) (("] {
            assert_eq!(Process::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_zombie_has_ended_unless_a_thread_runs_on() {
        let line = |threads: u32| format!("42 (a) Z 1 40 40 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 777 1 1");
        assert!(Process::parse(&line(1)).expect("it is a line").has_ended);
        assert!(!Process::parse(&line(2)).expect("it is a line").has_ended);
    }

    #[test]
    fn mark_session_and_parent_find_the_whole_family() {
        let table = table(
            &[10, 12],
            &[
                process(10, 0, 10, 9000),
                // Cleared its environment, in the command's session, reparented.
                process(11, 1, 10, 9001),
                // Marked, in a session of its own, reparented; and that session's other member.
                process(12, 1, 12, 9002),
                process(13, 1, 12, 9003),
                // Cleared its environment in a session of its own, below a member; and its own child.
                process(14, 13, 14, 9004),
                process(15, 14, 15, 9005),
            ],
        );
        let found = Family::default().living(&table, AGENT);
        assert_eq!(pids(&found), [10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn the_container_s_own_and_others_commands_are_left_alone() {
        let table = table(
            &[10],
            &[
                process(10, 0, 10, 9000),
                process(20, 1, 1, 9001),
                process(30, 0, 30, 9002),
                process(31, 30, 31, 9003),
                process(AGENT + 1, AGENT, AGENT, 10_001),
            ],
        );
        let found = Family::default().living(&table, AGENT);
        assert_eq!(pids(&found), [10]);
    }

    #[test]
    fn even_a_marked_first_process_is_left_alone() {
        let found = Family::default().living(&table(&[1], &[process(2, 1, 1, 9000)]), AGENT);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn what_was_found_once_stays_found_when_its_parent_has_gone() {
        let mut family = Family::default();
        let orphan = process(14, 10, 14, 9004);
        family.living(&table(&[10], &[process(10, 0, 10, 9000), orphan]), AGENT);
        let table = table(&[], &[process(14, 1, 14, 9004), process(16, 1, 14, 9010)]);
        assert_eq!(pids(&family.living(&table, AGENT)), [14, 16]);
        assert!(family.suspects(&table, AGENT, 60_000).is_empty());
    }

    #[test]
    fn a_process_id_that_is_used_anew_is_not_the_same_process() {
        let mut family = Family::default();
        family.living(&table(&[10], &[process(10, 0, 10, 9000)]), AGENT);
        let found = family.living(&table(&[], &[process(10, 30, 30, 9999)]), AGENT);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_session_that_is_used_anew_is_another_session() {
        let mut family = Family::default();
        family.living(&table(&[10], &[process(10, 0, 10, 9000)]), AGENT);
        let found = family.living(
            &table(&[], &[process(10, 0, 10, 9999), process(11, 10, 10, 9999)]),
            AGENT,
        );
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn only_a_young_reparented_process_without_a_sign_is_suspect() {
        let old = process(20, 1, 20, 5000);
        let young = process(21, 1, 21, 9000);
        let of_an_exec = [process(30, 0, 30, 9000), process(31, 1, 30, 9001)];
        let of_the_container = process(40, 1, 1, 9000);
        let with_a_parent = process(22, 21, 22, 9000);
        let table = table(
            &[],
            &[&[old, young, of_the_container, with_a_parent][..], &of_an_exec].concat(),
        );
        let family = Family::default();
        let found: Vec<u32> = family
            .suspects(&table, AGENT, 20_000)
            .iter()
            .map(|process| process.id.pid)
            .collect();
        assert_eq!(found, [21]);
        // Of a command that was started two seconds ago, it can't be.
        assert!(family.suspects(&table, AGENT, 2000).is_empty());
    }

    proptest! {
        #[test]
        fn whatever_the_table_holds_strangers_are_never_found(
            rows in prop::collection::hash_map(2_u32..60, (0_u32..60, 0_u32..60, 0_u64..20_000), 0..50),
            marked in prop::collection::hash_set(0_u32..60, 0..20),
        ) {
            let rows: Vec<Process> = rows
                .into_iter()
                .map(|(pid, (parent, session, start))| process(pid, parent, session, start))
                .collect();
            let mut table = table(&[], &rows);
            table.marked = marked;
            let mut family = Family::default();
            let found = family.living(&table, AGENT);
            for id in &found {
                let process = table.processes.iter().find(|process| process.id == *id).expect("it is in the table");
                prop_assert!(id.pid != 1 && id.pid != AGENT && process.session > 1);
            }
            let again = family.living(&table, AGENT);
            prop_assert_eq!(found, again);
        }

        #[test]
        fn no_line_makes_it_panic(line in ".*") {
            let _ = Process::parse(&line);
        }
    }
}
