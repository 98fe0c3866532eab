//! Determines which of the processes that the agent sees is the one that the engine started.
//!
//! The engine reports the id that the process has on the engine's own machine, and lists the container's processes by
//! such ids. The agent sees the ids inside the container. Podman's list can contain both; Docker's can't, so for Docker
//! the two lists are compared.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::clock::age;
use super::processes::{Process, ProcessId, Table};

/// The columns that are requested from Podman.
pub(super) const PODMAN_COLUMNS: &str = "hpid,pid";

/// The options for `ps`, which Docker uses to create its list.
pub(super) const DOCKER_COLUMNS: &str = "-eo%20pid,ppid,sid,etimes,comm";

/// By how many seconds the age of a process may differ between two lists, including rounding.
const AGE_DIFFERENCE: u64 = 2;

/// Processes whose ages differ by fewer seconds are ordered by id: kernels don't assign half of all ids in less time.
const NUMBERS_TIMEOUT: u64 = 2;

/// The usual `pid_max`, at which a kernel's process ids wrap around, unless it was raised.
const USUAL_LAST_PID: u32 = 32_768;

/// The greatest `pid_max`, which systemd sets.
const GREATEST_LAST_PID: u32 = 4_194_304;

/// What is known about the process that the engine started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    Found(Process),
    /// The engine no longer lists it.
    Ended,
    /// It can't be determined at this time.
    Unclear,
}

/// Finds the process with the id `host_pid` on the engine's machine, in a list that contains both ids of each process.
pub(super) fn by_both_numbers(rows: &[Vec<String>], host_pid: u32, table: &Table) -> First {
    let host_pid = host_pid.to_string();
    let Some(row) = rows.iter().find(|row| row.first() == Some(&host_pid)) else {
        return First::Ended;
    };
    let pid = row.get(1).and_then(|pid| pid.parse().ok());
    pid.and_then(|pid| table.with_pid(pid))
        .map_or(First::Unclear, |process| First::Found(process.clone()))
}

/// One row of Docker's list.
#[derive(Debug)]
struct Row<'a> {
    pid: u32,
    parent: u32,
    session: u32,
    /// In seconds.
    age: u64,
    name: &'a str,
}

impl<'a> Row<'a> {
    fn parse(row: &'a [String]) -> Option<Self> {
        let [pid, parent, session, age, name] = row else {
            return None;
        };
        Some(Self {
            pid: pid.parse().ok()?,
            parent: parent.parse().ok()?,
            session: session.parse().ok()?,
            age: age.parse().ok()?,
            name: name.strip_suffix(" <defunct>").unwrap_or(name),
        })
    }
}

/// Maps the process ids of a list from the engine's machine to the processes in the container, or to `None` if a
/// process can't be identified. The list was made between two listings by the agent. Returns `None` if the list is not
/// in the requested format.
///
/// Both sides see the same execs and the container's first process, as session leaders without a parent in the
/// container. Those with the same name are in the same order on both sides: the kernel assigns all ids of a process at
/// once, in rising order. (The start time is set later, so under load its order may differ.) Ids wrap around after the
/// last one, on each side at a different time.
pub(super) fn by_order(
    rows: &[Vec<String>],
    looks: (&Table, &Table),
    now: u64,
) -> Option<HashMap<u32, Option<ProcessId>>> {
    let rows: Vec<Row<'_>> = rows.iter().map(|row| Row::parse(row)).collect::<Option<_>>()?;
    let pids: HashSet<u32> = rows.iter().map(|row| row.pid).collect();
    let mut outside: BTreeMap<&str, Vec<&Row<'_>>> = BTreeMap::new();
    for row in &rows {
        if row.session == row.pid && !pids.contains(&row.parent) {
            outside.entry(row.name).or_default().push(row);
        }
    }
    let (before, after) = (leaders(looks.0, now), leaders(looks.1, now));
    let mut found: HashMap<u32, Option<ProcessId>> = pids.into_iter().map(|pid| (pid, None)).collect();
    for (name, mut rows) in outside {
        sort(&mut rows, |row| (row.pid, row.age));
        let Some(inside) = after.get(name).filter(|inside| before.get(name) == Some(*inside)) else {
            continue;
        };
        let is_same_age = |(row, id): (&&Row<'_>, &ProcessId)| row.age.abs_diff(age(id.start, now)) <= AGE_DIFFERENCE;
        if inside.len() == rows.len() && rows.iter().zip(inside).all(is_same_age) {
            found.extend(rows.iter().zip(inside).map(|(row, id)| (row.pid, Some(*id))));
        }
    }
    Some(found)
}

/// Returns the session leaders in the container whose parent is outside, by name.
fn leaders(table: &Table, now: u64) -> HashMap<String, Vec<ProcessId>> {
    let mut leaders: HashMap<String, Vec<ProcessId>> = HashMap::new();
    for process in &table.processes {
        if process.is_leader() && process.parent == 0 && process.is_inside {
            leaders.entry(one_spaced(process)).or_default().push(process.id);
        }
    }
    for ids in leaders.values_mut() {
        sort(ids, |id| (id.pid, age(id.start, now)));
    }
    leaders
}

/// Sorts processes by when they got their ids. `number_and_age` returns the id and the age of a process.
fn sort<T: Copy>(processes: &mut [T], number_and_age: impl Fn(T) -> (u32, u64)) {
    processes.sort_by_key(|process| std::cmp::Reverse(number_and_age(*process).1));
    // This is an insertion sort because the comparison may be inconsistent if one side's list is wrong.
    for end in 1..processes.len() {
        let mut place = end;
        while place > 0 && is_before(number_and_age(processes[place]), number_and_age(processes[place - 1])) {
            processes.swap(place, place - 1);
            place -= 1;
        }
    }
}

/// Whether one process got its id before another.
fn is_before((pid, age): (u32, u64), (other_pid, other_age): (u32, u64)) -> bool {
    if age.abs_diff(other_age) >= NUMBERS_TIMEOUT {
        return age > other_age;
    }
    let last = if pid.max(other_pid) <= USUAL_LAST_PID {
        USUAL_LAST_PID
    } else {
        GREATEST_LAST_PID
    };
    let has_begun_anew = pid.abs_diff(other_pid) > last / 2;
    (pid < other_pid) != has_begun_anew
}

/// Returns a process's name as it is in a row, which was split at white space.
fn one_spaced(process: &Process) -> String {
    process.name.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
