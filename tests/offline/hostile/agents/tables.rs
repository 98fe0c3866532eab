//! Agents whose replies about processes are invalid, very long, or never complete.

use super::*;

#[test]
fn invalid_process_table_is_reported() {
    let cases = vec![
        (
            "gone",
            agent(|_| Answer::Bytes(Vec::new())),
            "the response is incomplete",
        ),
        (
            "an unknown type",
            agent(|_| Answer::Bytes(b"\x07\0\0\0\0\0\0\0".to_vec())),
            "unknown type 7",
        ),
        (
            "without end",
            agent(|_| Answer::Endless(Vec::new(), stdout_frame(&BASE.repeat(100)))),
            "the response exceeds 32 MiB",
        ),
        (
            "a line without end",
            agent(|_| Answer::Endless(stdout_frame("1 ("), stdout_frame(&"(".repeat(4096)))),
            "the response exceeds 32 MiB",
        ),
        // The engine reports that the command is running.
        (
            "no processes",
            agent_with_table(
                "marked 0 in 10 (a\nb) S 0 10 10 0 0 0\n\nmarked\nmarked 0 in 1\n((((\n)) ((\n- - - 12 (\n- - - 12 (a) S\n\
                 - - - 99999999999 (a) S 1 1 1\n\u{fffd}\nmarked x in\n",
            ),
            "none of its processes can be found",
        ),
        (
            "empty lines",
            agent(|_| Answer::Bytes(stdout_frame(&format!("{}.\n", "\n".repeat(3_000_000))))),
            "none of its processes can be found",
        ),
    ];
    let cases = cases.into_iter().map(|(name, answer, why)| (name, (answer, why)));
    test_each_of(CONCURRENT_CASES, cases.collect(), |(answer, why)| {
        let ran = with_agent(answer);
        assert_orphaned_soon(&ran, why);
        ran
    });
}

#[test]
fn process_names_and_ids_can_have_any_value() {
    let named = |name: &str| agent_with_table(&marked(10, name, 0, 10, 9000));
    let (most, largest) = (u64::from(u32::MAX), u64::MAX);
    let cases = vec![
        ("parentheses", named(") S 1 1 1 (")),
        ("escapes", named("\x1b[31m\x07\x08\u{202e}")),
        ("quotes", named("`\"'{}%s\\")),
        ("a long name", named(&"\x01".repeat(1_000_000))),
        (
            "large numbers",
            agent_with_table(&marked(most, "a", most, most, largest)),
        ),
        ("a new one each time", agent_with_new_processes()),
        (
            "its own parent",
            agent_with_table(&format!(
                "{}{}",
                marked(10, "a", 11, 10, 9000),
                row(11, "b", 10, 10, 9000)
            )),
        ),
    ];
    test_each_of(cases.len(), cases, |answer| {
        let ran = with_agent(answer);
        assert_orphaned_soon(&ran, "could not be ended");
        assert_plain(&ran);
        ran
    });
}

/// An agent that shows a new process each time it is asked.
fn agent_with_new_processes() -> Answer {
    let next = AtomicUsize::new(1000);
    agent(move |line| {
        if !line.starts_with("list") {
            return Answer::Bytes(stdout_frame(".\n"));
        }
        let pid = u64::try_from(next.fetch_add(1, Ordering::SeqCst)).expect("it is a number");
        let row = marked(pid, "fork", 0, 10, 9000 + pid);
        Answer::Bytes(stdout_frame(&format!("{BASE}{row}.\n")))
    })
}

#[test]
fn agents_for_other_users_are_limited() {
    let next = AtomicUsize::new(1000);
    let own_start = agent_with_access("own", move |line| {
        let uid = next.fetch_add(1, Ordering::SeqCst);
        let suspect = row(70, "daemon", 1, 70, 10_001).replacen("none 0", &format!("unreadable {uid}"), 1);
        Answer::Bytes(match line.split(' ').next() {
            Some("list") => stdout_frame(&format!("{BASE}{suspect}.\n")),
            Some("look") => stdout_frame("70 unreadable\n.\n"),
            _ => stdout_frame(".\n"),
        })
    });
    let ran = run_ended(own_start);
    assert_orphaned_soon(&ran, "process 70 (daemon)");
    let starts = ran
        .requests
        .iter()
        .filter(|request| request.contains("/start "))
        .count();
    assert!(starts < 20, "{starts} starts");
}

#[test]
fn long_chain_of_child_processes_is_stopped() {
    // Each process is the child of the one in the next row.
    let rows: String = (1..30_000)
        .rev()
        .map(|number| row(1000 + number, "a", 999 + number, 1000 + number, 9000))
        .collect();
    let table = stdout_frame(&format!("{BASE}{rows}{}.\n", marked(1000, "a", 0, 1000, 9000)));
    let is_asked = AtomicUsize::new(0);
    let own_start = agent(move |line| {
        if line.starts_with("kill 18") {
            is_asked.store(1, Ordering::SeqCst);
        }
        Answer::Bytes(match (line.starts_with("list"), is_asked.load(Ordering::SeqCst)) {
            (true, 0) => table.clone(),
            (true, _) => stdout_frame(&format!("{BASE}.\n")),
            _ => stdout_frame(".\n"),
        })
    });
    let ran = run_ended(own_start);
    assert_eq!(
        (ran.code(), &ran.response["signal"]),
        (124, &"SIGTERM".into()),
        "{}",
        ran.response
    );
    ran.assert_little_memory();
}

#[test]
fn many_suspects_are_checked() {
    let rows: String = (1000..21_000).map(|pid| row(pid, "a", 1, pid, 10_001)).collect();
    let table = stdout_frame(&format!("{BASE}{rows}.\n"));
    let own_start = agent(move |line| {
        Answer::Bytes(match line.strip_prefix("look ") {
            Some(pids) => stdout_frame(&format!("{} none\n.\n", pids.replace(' ', " none\n"))),
            None => table.clone(),
        })
    });
    let ran = run_ended(own_start);
    assert_orphaned_soon(&ran, "19995 more");
}

#[test]
fn agent_that_reads_nothing_does_not_block_the_stop() {
    let rows: String = (1000..31_000).map(|pid| row(pid, "a", 0, 1000, 9000)).collect();
    let table = stdout_frame(&format!("{BASE}{rows}.\n").replacen("none 0 in 1000", "marked 0 in 1000", 1));
    // It sends its replies before it is asked, and never stops.
    let own_start = agent(move |_| Answer::Endless(table.clone(), stdout_frame(".\n")));
    let ran = with_agent(own_start);
    ran.assert_orphaned("");
    ran.assert_little_memory();
}
