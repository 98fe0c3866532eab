//! Stops of commands in a container whose processes can't be listed correctly.

mod tables;

use super::*;

/// The rows of the container's first process and of the agent.
const BASE: &str = "- - - 1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 1 1\n\
                    none 0 in 900 (dexec) S 0 900 900 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 10000 1 1\n";

fn row(pid: u64, name: &str, parent: u64, session: u64, start: u64) -> String {
    let fields = format!("{pid} ({name}) S {parent} {session} {session} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 1 1");
    format!("none 0 in {fields}\n")
}

/// The same row, with the command's marker.
fn marked(pid: u64, name: &str, parent: u64, session: u64, start: u64) -> String {
    row(pid, name, parent, session, start).replacen("none", "marked", 1)
}

fn stdout_frame(text: &str) -> Vec<u8> {
    frame(1, text.as_bytes())
}

/// An agent whose clock shows 50 s since boot, and that answers other lines with the result of `reply`.
fn agent(reply: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Answer {
    agent_with_access("any", reply)
}

fn agent_with_access(able: &str, reply: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Answer {
    let reply = move |line: &str| match line {
        "clock" => Answer::Bytes(stdout_frame("50000000\n.\n")),
        _ => reply(line),
    };
    let hello = format!("ready 900 0 {able} unlinked\n");
    Answer::Talk(stream(&[stdout_frame(&hello)]), Arc::new(reply))
}

/// An agent that always returns this table, whatever it was asked to kill.
fn agent_with_table(rows: &str) -> Answer {
    let table = stdout_frame(&format!("{BASE}{rows}.\n"));
    agent(move |line| {
        let is_list = line.starts_with("list");
        Answer::Bytes(if is_list { table.clone() } else { stdout_frame(".\n") })
    })
}

fn with_agent(own_start: Answer) -> Ran {
    run_stopped(Script {
        own_start,
        ..Script::default()
    })
}

/// If the machine is too busy to stop the command in time, the message gives that reason instead of `why`.
fn assert_orphaned_soon(ran: &Ran, why: &str) {
    let is_late = ran.message().contains("it took too long to ");
    ran.assert_orphaned(if is_late { "it took too long to " } else { why });
    ran.assert_little_memory();
}

/// Asserts that names chosen in the container can't insert terminal escapes or line breaks.
fn assert_plain(ran: &Ran) {
    let message = ran.message();
    assert!(!message.contains(char::is_control), "{}", ran.response);
    assert!(message.len() < 4096, "{} bytes", message.len());
}

/// An agent whose table shows a process until that process gets SIGTERM.
fn obedient_agent() -> Answer {
    let is_asked = AtomicUsize::new(0);
    agent(move |line| {
        if line.starts_with("kill 15 10 9000") {
            is_asked.store(1, Ordering::SeqCst);
        }
        let rows = match (line.starts_with("list"), is_asked.load(Ordering::SeqCst)) {
            (true, 0) => format!("{BASE}{}", marked(10, "sleep", 0, 10, 9000)),
            (true, _) => BASE.to_owned(),
            _ => String::new(),
        };
        Answer::ByteByByte(stdout_frame(&format!("{rows}.\n")))
    })
}

fn run_ended(own_start: Answer) -> Ran {
    let script = Script {
        start: Answer::Silent(stream(&[])),
        own_start,
        ..Script::default()
    };
    run_with(script, &["--timeout=0.1"])
}

#[test]
fn obedient_agent_stops_the_command() {
    let ran = run_ended(obedient_agent());
    let Ran { response, .. } = &ran;
    assert_eq!((ran.code(), &response["timedOut"]), (124, &true.into()), "{response}");
    assert_eq!(
        (&response["signal"], &response["orphaned"]),
        (&"SIGTERM".into(), &Value::Null)
    );
}

#[test]
fn stream_held_open_does_not_report_failed_output() {
    let ran = run_ended(obedient_agent());
    assert_ne!(ran.kind(), "outputFailed", "{}", ran.response);
}

#[test]
fn bad_create_response_is_reported() {
    test_each(bad_responses(), |answer| {
        let ran = run_stopped(Script {
            own_create: answer,
            ..Script::default()
        });
        assert_orphaned_soon(&ran, "create the command");
        ran
    });
}

#[test]
fn bad_start_response_is_reported() {
    test_each(bad_responses(), |answer| {
        let ran = with_agent(answer);
        assert_orphaned_soon(&ran, "");
        let words = ["failed to start the command", "was not upgraded to a stream"];
        assert!(
            words.iter().any(|words| ran.message().contains(words)),
            "{}",
            ran.message()
        );
        ran
    });
}

/// An answer about the image that does not give its architecture.
fn image_without_architecture() -> Answer {
    json("200 OK", "{}").into()
}

#[test]
fn bad_version_response_is_reported() {
    test_each(bad_responses(), |answer| {
        let ran = run_stopped(Script {
            own_start: stream(&[]).into(),
            image: image_without_architecture(),
            version: answer,
            ..Script::default()
        });
        assert_orphaned_soon(&ran, "report its version");
        ran
    });
    let long = format!("{{\"Arch\":\"{}\"}}", "a".repeat(1_000_000));
    let cases = vec![
        ("none", "{}"),
        ("a long one", long.as_str()),
        ("escapes", "{\"Arch\":\"\\u001b[31m\\n\\u0000\"}"),
    ];
    let cases = cases
        .into_iter()
        .map(|(name, body)| (name, json("200 OK", body).into()));
    test_each(cases.collect(), |answer| {
        let ran = run_stopped(Script {
            own_start: stream(&[]).into(),
            image: image_without_architecture(),
            version: answer,
            ..Script::default()
        });
        assert_orphaned_soon(&ran, "has no helper for");
        assert_plain(&ran);
        ran
    });
}

#[test]
fn bad_stat_response_is_reported() {
    let cases = [
        ("no header", json("200 OK", "").into()),
        (
            "no base64",
            b"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: ?\r\n\r\n"
                .to_vec()
                .into(),
        ),
        (
            "no JSON",
            b"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: eHh4\r\n\r\n"
                .to_vec()
                .into(),
        ),
    ];
    test_each([&cases[..], &bad_heads()].concat(), |answer| {
        let ran = run_stopped(Script {
            own_start: stream(&[]).into(),
            stat: answer,
            ..Script::default()
        });
        assert_orphaned_soon(&ran, "describe a file in the container");
        ran
    });
}

/// The helper runs as root, so no other user may be able to replace its file.
#[test]
fn helper_is_not_put_into_a_directory_that_others_can_change() {
    for (mode, is_open) in [(0o777, true), (0o775, true), (0o755, false), (0o777 | 1 << 20, false)] {
        let ran = run_stopped(Script {
            stat: crate::fake::stat(mode).into(),
            ..Script::default()
        });
        let puts = ran
            .requests
            .iter()
            .filter(|request| request.starts_with("PUT "))
            .count();
        assert_eq!(puts == 0, is_open, "{mode:o}: {:?}", ran.requests);
    }
}

#[test]
fn bad_archive_response_is_reported() {
    let cases = [bad_heads(), endless_bodies(), broken_bodies()].concat();
    test_each(cases, |answer| {
        let ran = run_stopped(Script {
            own_start: stream(&[]).into(),
            archive: answer,
            ..Script::default()
        });
        assert_orphaned_soon(&ran, "copy a file into the container");
        ran
    });
}

#[test]
fn invalid_first_line_of_the_agent_orphans_the_command() {
    let hello = |bytes: &[u8]| Answer::Bytes(stream(&[bytes.to_vec()]));
    let long = format!("{}\n", "x".repeat(20_000_000));
    let cases = vec![
        ("an unknown type", hello(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("a message", hello(&frame(3, b"it broke"))),
        ("a cut frame", hello(b"\x01\0\0\0\xff\xff\xff\xffready 9")),
        ("a word", hello(&stdout_frame("hello\n"))),
        ("no number", hello(&stdout_frame("ready\n"))),
        ("a negative pid", hello(&stdout_frame("ready -1\n"))),
        (
            "a pid beyond all numbers",
            hello(&stdout_frame("ready 99999999999999999999999\n")),
        ),
        ("bytes that are not UTF-8", hello(&frame(1, b"\xff\xfe\n"))),
        ("ready and gone", hello(&stdout_frame("ready 900 0 any unlinked\n"))),
        ("nothing", hello(b"")),
        ("a complaint", hello(&frame(2, b"sh: I can't"))),
        (
            "a line without end",
            Answer::Endless(stream(&[]), stdout_frame(&"x".repeat(4096))),
        ),
        ("a long line", hello(&stdout_frame(&long))),
    ];
    test_each(cases, |answer| {
        let ran = with_agent(answer);
        assert_orphaned_soon(&ran, "");
        ran
    });
}
