#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

const AGENT: u32 = 900;

/// When the commands in these tests started.
const BEGUN: u64 = 8000;

fn process(pid: u32, parent: u32, session: u32, start: u64) -> Process {
    Process {
        id: ProcessId { pid, start },
        name: format!("p{pid}"),
        parent,
        session,
        has_ended: false,
        sign: Sign::None,
        user: Some(0),
        is_inside: true,
    }
}

fn marked(process: Process) -> Process {
    Process {
        sign: Sign::Marked,
        ..process
    }
}

/// Returns a container's table with its first process, the agent, and `more`.
fn table(more: &[Process]) -> Table {
    let mut processes = vec![process(1, 0, 1, 5), process(AGENT, 0, AGENT, 10_000)];
    processes.extend_from_slice(more);
    Table::new(processes, HashSet::from([AGENT]))
}

fn living(family: &mut ProcessTree, more: &[Process]) -> Vec<u32> {
    family.living(&table(more)).iter().map(|id| id.pid).collect()
}

fn found(more: &[Process]) -> Vec<u32> {
    living(&mut ProcessTree::new(BEGUN), more)
}

fn suspects(more: &[Process]) -> Vec<u32> {
    let table = table(more);
    let mut family = ProcessTree::new(BEGUN);
    family.living(&table);
    let found = family.suspects(&table, BEGUN);
    found.iter().map(|process| process.id.pid).collect()
}

#[test]
fn line_is_parsed_for_any_process_name() {
    let line = "marked 1000 in 42 (a) (b) S 7) R 1 40 40 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
    let read = Process::parse(line).expect("it is a line");
    assert_eq!(read.name, "a) (b) S 7");
    assert_eq!(
        (read.id.pid, read.id.start, read.parent, read.session),
        (42, 777, 1, 40)
    );
    assert_eq!((read.sign, read.user, read.is_inside), (Sign::Marked, Some(1000), true));
    assert!(!read.has_ended);
    let old = Process::parse(&line.replace("marked 1000 in", "- - -")).expect("it is a line");
    assert_eq!((old.sign, old.user, old.is_inside), (Sign::None, None, false));
    for broken in [
        "",
        "- - -",
        "- - - 42",
        "- - - 42 (a)",
        "- - - 42 (a) S 1",
        "- - - x (a) S 1 2 3",
        ")) ((",
    ] {
        assert_eq!(Process::parse(broken), None, "{broken}");
    }
}

#[test]
fn zombie_has_ended_unless_a_thread_still_runs() {
    let line = |threads: u32| format!("- - - 42 (a) Z 1 40 40 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 777 1 1");
    assert!(Process::parse(&line(1)).expect("it is a line").has_ended);
    assert!(!Process::parse(&line(2)).expect("it is a line").has_ended);
}

#[test]
fn process_tree_is_found_by_marker_session_and_parent() {
    let found = found(&[
        marked(process(10, 0, 10, 9000)),
        // No marker, in the command's session, adopted.
        process(11, 1, 10, 9001),
        // Marked, in a session of its own, adopted; then another member of that session.
        marked(process(12, 1, 12, 9002)),
        process(13, 1, 12, 9003),
        // No marker, in a session of its own, child of a member; then its child.
        process(14, 13, 14, 9004),
        process(15, 14, 15, 9005),
        // A marked process in a session whose leader has ended; then another member of that session.
        marked(process(17, 1, 16, 9006)),
        process(18, 1, 16, 9007),
    ]);
    assert_eq!(found, [10, 11, 12, 13, 14, 15, 17, 18]);
}

#[test]
fn first_process_needs_no_marker() {
    let mut family = ProcessTree::new(BEGUN);
    let rows = [
        process(10, 0, 10, 9000),
        process(11, 10, 11, 9001),
        process(12, 1, 10, 9002),
    ];
    assert!(living(&mut family, &rows).is_empty());
    family.set_first(&rows[0]);
    assert_eq!(living(&mut family, &rows), [10, 11, 12]);
}

/// A daemon that is older than the command runs a job with the command's environment.
#[test]
fn process_older_than_the_command_is_not_found() {
    let rows = [
        marked(process(10, 0, 10, 9000)),
        process(20, 1, 20, 500),
        marked(process(21, 20, 20, 9001)),
        // The daemon's other child; then an older process that got the command's environment by an execve, and its
        // child.
        process(22, 20, 20, 9002),
        marked(process(23, 1, 23, 600)),
        process(24, 23, 23, 9003),
    ];
    assert_eq!(found(&rows), [10, 21]);
}

#[test]
fn members_of_an_older_session_are_not_found() {
    // The session's leader has ended, and one of its members is as old as the session.
    let rows = [
        marked(process(10, 0, 10, 9000)),
        process(21, 1, 20, 500),
        marked(process(22, 21, 20, 9001)),
        process(23, 21, 20, 9002),
    ];
    assert_eq!(found(&rows), [10, 22]);
    // Only the session's id is left from that time. It is lower than the id of the command's first process.
    let rows = [
        marked(process(10, 0, 10, 9000)),
        marked(process(22, 1, 5, 9001)),
        process(23, 1, 5, 9002),
    ];
    assert_eq!(found(&rows), [10, 22]);
}

#[test]
fn container_processes_and_other_execs_are_not_found() {
    let found = found(&[
        marked(process(10, 0, 10, 9000)),
        process(20, 1, 1, 9001),
        process(30, 0, 30, 9002),
        process(31, 30, 31, 9003),
        process(AGENT + 1, AGENT, AGENT, 10_001),
    ]);
    assert_eq!(found, [10]);
}

#[test]
fn init_process_is_not_found_even_if_marked() {
    let mut rows = table(&[process(2, 1, 1, 9000)]);
    rows.processes[0] = marked(process(1, 0, 1, 9000));
    assert!(ProcessTree::new(BEGUN).living(&rows).is_empty());
}

#[test]
fn found_process_stays_found_after_its_parent_ends() {
    let mut family = ProcessTree::new(BEGUN);
    let first = marked(process(10, 0, 10, 9000));
    living(&mut family, &[first, process(14, 10, 14, 9004)]);
    let rows = [process(14, 1, 14, 9004), process(16, 1, 14, 9010)];
    assert_eq!(living(&mut family, &rows), [14, 16]);
    assert!(family.suspects(&table(&rows), BEGUN).is_empty());
}

#[test]
fn reused_pid_is_a_different_process() {
    let mut family = ProcessTree::new(BEGUN);
    living(&mut family, &[marked(process(10, 0, 10, 9000))]);
    assert!(living(&mut family, &[process(10, 30, 30, 9999)]).is_empty());
    // As a session id, it identifies another session.
    let rows = [process(10, 0, 10, 9999), process(11, 10, 10, 9999)];
    assert!(living(&mut family, &rows).is_empty());
}

#[test]
fn process_older_than_its_parent_is_not_found() {
    let rows = [marked(process(10, 0, 10, 9000)), process(11, 10, 40, 8500)];
    assert_eq!(found(&rows), [10]);
}

#[test]
fn only_a_recent_adopted_unmarked_process_is_suspect() {
    let foreign = Process {
        sign: Sign::Foreign,
        ..process(25, 1, 25, 9000)
    };
    let outside = Process {
        is_inside: false,
        ..process(26, 1, 26, 9000)
    };
    let unreadable = Process {
        sign: Sign::Unreadable,
        ..process(27, 1, 27, 9000)
    };
    let rows = [
        process(20, 1, 20, 5000),
        process(21, 1, 21, 9000),
        // It was not adopted, so its parent shows where it belongs.
        process(22, 21, 22, 9000),
        // The first process of another exec; then an adopted process in its session.
        process(30, 0, 30, 9000),
        process(31, 1, 30, 9001),
        // In the container's own session; then in another session that is older.
        process(40, 1, 1, 9000),
        process(41, 1, 20, 9000),
        foreign,
        outside,
        unreadable,
    ];
    assert_eq!(suspects(&rows), [21, 27]);
    // They can't belong to a command that started later.
    let table = table(&rows);
    let mut family = ProcessTree::new(BEGUN);
    family.set_first(&marked(process(50, 0, 50, 9500)));
    assert!(family.suspects(&table, BEGUN).is_empty());
}

/// With `--pid=host`, a process of the engine starts execs, and adopts processes that have lost their parent.
#[test]
fn process_adopted_by_the_engine_is_suspect() {
    let shared = |more: &[Process]| {
        let mut processes = table(more).processes;
        processes[1] = process(AGENT, 700, AGENT, 10_000);
        processes.push(process(700, 1, 700, 100));
        Table::new(processes, HashSet::from([AGENT]))
    };
    let table = shared(&[
        marked(process(10, 700, 10, 9000)),
        process(11, 700, 11, 9001),
        process(12, 700, 13, 9001),
        process(14, 11, 14, 9001),
    ]);
    let mut family = ProcessTree::new(BEGUN);
    let found: Vec<u32> = family.living(&table).iter().map(|id| id.pid).collect();
    assert_eq!(found, [10]);
    assert_eq!(family.first().map(|first| first.pid), Some(10));
    let suspects: Vec<u32> = family
        .suspects(&table, BEGUN)
        .iter()
        .map(|process| process.id.pid)
        .collect();
    assert_eq!(suspects, [11, 12]);
}

fn row() -> impl Strategy<Value = (u32, u32, u64, u8, bool)> {
    (0_u32..60, 0_u32..60, 0_u64..12_000, 0_u8..4, any::<bool>())
}

proptest! {
    /// For any table: no process is found that is older than the command, that is an agent, or that has no connection
    /// to the command by marker, parent or session.
    #[test]
    fn unrelated_processes_are_never_found(
        rows in prop::collection::hash_map(2_u32..60, row(), 0..50),
        later in prop::collection::hash_map(2_u32..60, row(), 0..50),
        first in prop::option::of(2_u32..60),
    ) {
        let made = |rows: std::collections::HashMap<u32, (u32, u32, u64, u8, bool)>| {
            let rows: Vec<Process> = rows
                .into_iter()
                .map(|(pid, (parent, session, start, sign, has_ended))| Process {
                    has_ended,
                    sign: [Sign::Marked, Sign::Foreign, Sign::None, Sign::Unreadable][usize::from(sign)],
                    ..process(pid, parent, session, start)
                })
                .collect();
            table(&rows)
        };
        let tables = [made(rows), made(later)];
        let mut family = ProcessTree::new(BEGUN);
        let started = first.and_then(|pid| tables[0].with_pid(pid)).filter(|first| first.id.start >= BEGUN);
        if let Some(first) = started {
            family.set_first(first);
        }
        let mut before: HashSet<ProcessId> = started.map(|first| first.id).into_iter().collect();
        for table in &tables {
            let found = family.living(table);
            let members = family.members.clone();
            for id in &found {
                let process = table.find(*id).expect("it is in the table");
                prop_assert!(id.start >= BEGUN && id.start >= family.begun());
                prop_assert!(id.pid != INIT && !table.agents.contains(&id.pid));
                let parent = table.with_pid(process.parent);
                let mates: Vec<&Process> =
                    table.processes.iter().filter(|mate| mate.session == process.session).collect();
                let is_bound_by_session = mates.iter().any(|mate| mate.id != *id && members.contains(&mate.id))
                    && (mates.iter().all(|mate| mate.id.start >= BEGUN) || family.sessions.contains(&process.session));
                prop_assert!(
                    process.sign == Sign::Marked
                        || before.contains(id)
                        || parent.is_some_and(|parent| members.contains(&parent.id))
                        || is_bound_by_session
                        || family.sessions.contains(&process.session)
                );
                // A session belongs to the command only if its leader does, or if its leader has ended.
                if family.sessions.contains(&process.session)
                    && let Some(leader) = table.with_pid(process.session)
                    && leader.is_leader()
                {
                    prop_assert!(members.contains(&leader.id) && leader.id.start >= BEGUN);
                }
            }
            let again = family.living(table);
            prop_assert_eq!(&found, &again);
            for suspect in family.suspects(table, BEGUN) {
                prop_assert!(suspect.id.start >= BEGUN && !found.contains(&suspect.id));
            }
            before.extend(members);
        }
    }

    #[test]
    fn parsing_a_line_never_panics(line in ".*") {
        let _ = Process::parse(&line);
    }
}
