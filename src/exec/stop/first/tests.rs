#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use super::super::processes::Sign;
use super::*;

fn rows(rows: &[&str]) -> Vec<Vec<String>> {
    rows.iter()
        .map(|row| row.splitn(5, ' ').map(str::to_owned).collect())
        .collect()
}

fn table(processes: &[(u32, u32, u32, u64, &str)]) -> Table {
    let processes = processes.iter().map(|&(pid, parent, session, start, name)| Process {
        id: ProcessId { pid, start },
        name: name.to_owned(),
        parent,
        session,
        has_ended: false,
        sign: Sign::None,
        user: None,
        is_inside: true,
    });
    Table::new(processes.collect(), [].into())
}

const NOW: u64 = 10_000;

#[track_caller]
fn assert_found(first: &First, pid: u32, start: u64) {
    assert!(
        matches!(first, First::Found(first) if first.id == id(pid, start)),
        "{first:?}"
    );
}

#[test]
fn podman_list_has_host_and_container_pids() {
    let rows = rows(&["500 1", "700 12"]);
    let table = table(&[(1, 0, 1, 5, "sh"), (12, 0, 12, 9000, "sleep")]);
    assert_found(&by_both_numbers(&rows, 700, &table), 12, 9000);
    assert_eq!(by_both_numbers(&rows, 701, &table), First::Ended);
    assert_eq!(by_both_numbers(&[vec!["700".to_owned()]], 700, &table), First::Unclear);
}

fn id(pid: u32, start: u64) -> ProcessId {
    ProcessId { pid, start }
}

#[test]
fn docker_list_is_matched_by_order() {
    let rows = rows(&[
        "500 400 500 99 sleep",
        "710 400 710 10 sleep",
        "720 400 720 9 sleep",
        "730 400 730 8 sh",
        "740 730 740 8 sleep",
    ]);
    let inside = table(&[
        (1, 0, 1, 5, "sleep"),
        (7, 0, 7, 9000, "sleep"),
        (9, 0, 9, 9100, "sleep"),
        (12, 0, 12, 9200, "sh"),
        (13, 12, 13, 9200, "sleep"),
    ]);
    let found = by_order(&rows, (&inside, &inside), NOW).expect("it is a list");
    assert_eq!(found[&710], Some(id(7, 9000)));
    assert_eq!(found[&720], Some(id(9, 9100)));
    assert_eq!(found[&730], Some(id(12, 9200)));
    // It has a parent in the container, so it is not the first process of an exec.
    assert_eq!(found[&740], None);
    assert!(!found.contains_key(&750));
}

#[test]
fn slow_start_does_not_change_the_order() {
    let rows = rows(&["710 400 710 10 sleep", "720 400 720 10 sleep"]);
    let inside = table(&[(7, 0, 7, 9001, "sleep"), (9, 0, 9, 9000, "sleep")]);
    assert_eq!(
        by_order(&rows, (&inside, &inside), NOW).expect("it is a list")[&710],
        Some(id(7, 9001))
    );
}

#[test]
fn pid_wraparound_does_not_change_the_order() {
    // One started long ago and one recently. Then two started within a second: the host's ids wrap around at the
    // usual and at the greatest limit, exceed the usual limit, and the container's ids wrap around.
    for (rows, inside) in [
        (
            ["710 400 710 30 sleep", "720 400 720 10 sleep"],
            [(9000, 7000), (7, 9000)],
        ),
        (
            ["32700 400 32700 10 sleep", "310 400 310 10 sleep"],
            [(7, 9000), (9, 9001)],
        ),
        (
            ["4194200 400 4194200 10 sleep", "310 400 310 10 sleep"],
            [(7, 9000), (9, 9001)],
        ),
        (
            ["32600 400 32600 10 sleep", "41000 400 41000 9 sleep"],
            [(7, 9000), (9, 9001)],
        ),
        (
            ["710 400 710 10 sleep", "720 400 720 10 sleep"],
            [(32766, 9000), (303, 9001)],
        ),
    ] {
        let row = |index: usize| rows[index].split(' ').next().and_then(|pid| pid.parse().ok());
        let first: [u32; 2] = [row(0), row(1)].map(|pid| pid.expect("it is a number"));
        let inside = inside.map(|(pid, start)| (pid, 0, pid, start, "sleep"));
        let table = table(&inside);
        let found = by_order(&self::rows(&rows), (&table, &table), NOW).expect("it is a list");
        for index in [0, 1] {
            assert_eq!(
                found[&first[index]],
                Some(id(inside[index].0, inside[index].3)),
                "{rows:?}"
            );
        }
    }
}

#[test]
fn different_ages_prevent_a_match() {
    let rows = rows(&["710 400 710 30 sleep", "720 400 720 10 sleep"]);
    let inside = table(&[(7, 0, 7, 8500, "sleep"), (9, 0, 9, 9000, "sleep")]);
    assert_eq!(
        by_order(&rows, (&inside, &inside), NOW).expect("it is a list")[&710],
        None
    );
}

#[test]
fn different_lists_prevent_a_match() {
    let host = rows(&["710 400 710 10 sleep", "720 400 720 9 sleep"]);
    let both = table(&[(7, 0, 7, 9000, "sleep"), (9, 0, 9, 9100, "sleep")]);
    let one = table(&[(9, 0, 9, 9100, "sleep")]);
    // One process ended and another started between the listings: they would be mistaken for each other.
    let other = table(&[(9, 0, 9, 9100, "sleep"), (11, 0, 11, 9900, "sleep")]);
    for looks in [(&one, &one), (&both, &other), (&other, &both), (&other, &other)] {
        assert_eq!(
            by_order(&host, looks, NOW).expect("it is a list")[&710],
            None,
            "{looks:?}"
        );
    }
    for broken in [&["710 400 710 sleep"][..], &["710 400 710 x sleep"]] {
        assert_eq!(by_order(&rows(broken), (&both, &both), NOW), None);
    }
}
