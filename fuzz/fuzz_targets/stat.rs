//! An agent's lines about processes, and which of these are taken for a command's own.
#![no_main]

use std::collections::HashSet;

use dexec_fuzz::{choices, position};
use libfuzzer_sys::fuzz_target;

// Private in the crate, so its file is compiled once more here.
#[allow(dead_code, reason = "the crate uses more of it")]
#[path = "../../src/exec/stop/processes.rs"]
mod processes;

use processes::{ProcessTree, INIT, Process, ProcessId, Table};

fn check_line(line: &str) -> Option<Process> {
    let process = Process::parse(line)?;
    let line = line.splitn(4, ' ').nth(3).expect("it has four parts");
    let (pid, rest) = line.split_once(" (").expect("a name begins");
    assert_eq!(pid.parse(), Ok(process.id.pid));
    let name = rest.get(..process.name.len()).expect("the name stands there");
    assert_eq!(name, process.name);
    let after = &line[position(line, name).end..];
    let mut fields = after
        .strip_prefix(") ")
        .expect("the name ends")
        .split_ascii_whitespace();
    assert_eq!(
        fields.nth(19).and_then(|start| start.parse().ok()),
        Some(process.id.start)
    );
    assert!(!after[1..].contains(") "), "the name ends later");
    Some(process)
}

/// A line as the kernel writes it is read whatever the name and the numbers are.
fn check_kernel_line(input: &[u8]) {
    let ([pid, parent, session, state, threads, start], name) = choices(input);
    // Small and large numbers of each kind.
    let wide = |byte: u8| u32::from(byte) * u32::from(byte) * 66_051;
    let (pid, parent, session) = (wide(pid), wide(parent), wide(session));
    let state = char::from(b"RSDZTtXxKWPI"[usize::from(state) % 12]);
    let start = u64::MAX >> (start % 64);
    let name = String::from_utf8_lossy(name);
    let line = format!(
        "none 0 in {pid} ({name}) {state} {parent} 7 {session} 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 {start} \
         18446744073709551615 1 -1"
    );
    let process = check_line(&line).expect("it is a line");
    assert_eq!(process.id, ProcessId { pid, start });
    assert_eq!(process.name, name);
    let has_ended = matches!(state, 'Z' | 'X' | 'x') && threads <= 1;
    assert_eq!(
        (process.parent, process.session, process.has_ended),
        (parent, session, has_ended)
    );
}

/// `rows` makes a table of processes, four bytes for each: pid, parent, session and start, which chooses its signs too.
fn check_family(begun: u8, agent: u8, rows: &[u8]) {
    let (begun, agent) = (u64::from(begun), u32::from(agent));
    let mut seen = HashSet::new();
    let mut processes = Vec::new();
    for row in rows.chunks_exact(4) {
        let [pid, parent, session, start] = [row[0], row[1], row[2], row[3]];
        if !seen.insert(pid) {
            continue;
        }
        let state = if start % 5 == 4 { 'Z' } else { 'S' };
        let sign = ["marked", "none", "none", "foreign", "unreadable", "-"][usize::from(start) % 6];
        let place = if start % 7 == 6 { "out" } else { "in" };
        let stat = format!("{pid} (p) {state} {parent} 0 {session} 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 {start}");
        processes.push(Process::parse(&format!("{sign} 0 {place} {stat}")).expect("it is a line"));
    }
    let table = Table::new(processes, [agent].into());
    let mut family = ProcessTree::new(begun);
    if let Some(first) = table.with_pid(begun as u32) {
        family.set_first(first);
    }
    let found = family.living(&table);
    for id in &found {
        assert!(table.find(*id).is_some());
        assert!(id.pid != INIT && id.pid != agent && id.start >= begun, "{id:?} is never the command's");
    }
    assert_eq!(family.living(&table), found);
    for suspect in family.suspects(&table, begun) {
        let id = suspect.id;
        assert!(!found.contains(&id) && id.pid != INIT && id.pid != agent && id.start >= begun);
    }
}

fuzz_target!(|input: &[u8]| {
    let ([kind, begun, agent], rest) = choices(input);
    match kind % 3 {
        0 => {
            for line in String::from_utf8_lossy(rest).lines() {
                let _ = check_line(line);
            }
        }
        1 => check_kernel_line(rest),
        _ => check_family(begun, agent, rest),
    }
});
