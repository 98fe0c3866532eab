//! Lines of `/proc/PID/stat`, and which processes are taken for a command's own.
#![no_main]

use std::collections::HashSet;
use std::time::Duration;

use dexec_fuzz::{choices, position};
use libfuzzer_sys::fuzz_target;

// Private in the crate, so its file is compiled once more here.
#[allow(dead_code, reason = "the crate uses more of it")]
#[path = "../../src/exec/stop/processes.rs"]
mod processes;

use processes::{Family, Process, ProcessId, Table, milliseconds};

const FIRST: u32 = 1;

fn check_line(line: &str) -> Option<Process> {
    let process = Process::parse(line)?;
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
        "{pid} ({name}) {state} {parent} 7 {session} 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 {threads} 0 {start} \
         18446744073709551615 1 -1"
    );
    let process = check_line(&line).expect("it is a line");
    assert_eq!(process.id, ProcessId { pid, start });
    assert_eq!(process.name, name);
    let has_ended = matches!(state, 'Z' | 'X' | 'x') && threads <= 1;
    let shown = format!("{process:?}");
    let fields = format!("parent: {parent}, session: {session}, has_ended: {has_ended} }}");
    assert!(shown.ends_with(&fields), "{shown}");
}

/// `rows` makes a table of processes, four bytes for each: pid, parent, session and start, which chooses its signs too.
fn check_family(age: u8, agent: u8, rows: &[u8]) {
    let agent = u32::from(agent);
    let mut seen = HashSet::new();
    let mut table = Table::default();
    for row in rows.chunks_exact(4) {
        let [pid, parent, session, start] = [row[0], row[1], row[2], row[3]];
        if !seen.insert(pid) {
            continue;
        }
        let state = if start % 5 == 4 { 'Z' } else { 'S' };
        let line = format!("{pid} (p) {state} {parent} 0 {session} 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 {start}");
        table.processes.push(Process::parse(&line).expect("it is a line"));
        if start % 3 == 0 {
            table.marked.insert(u32::from(pid));
        }
    }
    let mut family = Family::default();
    let found = family.living(&table, agent);
    for id in &found {
        assert!(table.processes.iter().any(|process| process.id == *id));
        assert!(id.pid != FIRST && id.pid != agent, "{id:?} is never the command's");
    }
    assert_eq!(family.living(&table, agent), found);
    let age = milliseconds(Duration::MAX / 255 * u32::from(age));
    for suspect in family.suspects(&table, agent, age) {
        assert!(!found.contains(&suspect.id) && suspect.id.pid != FIRST && suspect.id.pid != agent);
    }
}

fuzz_target!(|input: &[u8]| {
    let ([kind, age, agent], rest) = choices(input);
    match kind % 3 {
        0 => {
            for line in String::from_utf8_lossy(rest).lines() {
                let _ = check_line(line);
            }
        }
        1 => check_kernel_line(rest),
        _ => check_family(age, agent, rest),
    }
});
