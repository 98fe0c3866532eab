//! Responses that never arrive.

use super::*;

struct Case {
    script: Script,
    options: &'static [&'static str],
    check: fn(&Ran),
}

fn case(script: Script, check: fn(&Ran)) -> Case {
    Case {
        script,
        options: &[],
        check,
    }
}

/// A command that is stopped at its timeout.
fn stopped(script: Script, check: fn(&Ran)) -> Case {
    let script = Script {
        start: Answer::Silent(stream(&[])),
        inspect: json("200 OK", RUNNING).into(),
        ..script
    };
    Case {
        script,
        options: &["--timeout=0.1", "--kill-after=0.3"],
        check,
    }
}

fn never() -> Answer {
    Answer::Silent(Vec::new())
}

fn good() -> Script {
    Script::default()
}

/// The calls of a command with no other fault.
fn calls() -> Vec<(&'static str, Case)> {
    let no_body = || Answer::Silent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec());
    let half_a_head = || Answer::Silent(b"HTTP/1.1 200 OK\r\nContent-".to_vec());
    let unanswered = |ran: &Ran| ran.assert_refused("engineUnreachable", "create the command");
    let uninspected = |ran: &Ran| ran.assert_lost("inspect the command");
    let unstarted = |ran: &Ran| ran.assert_lost("start the command");
    vec![
        (
            "create",
            case(
                Script {
                    create: never(),
                    ..good()
                },
                unanswered,
            ),
        ),
        (
            "create, half a head",
            case(
                Script {
                    create: half_a_head(),
                    ..good()
                },
                unanswered,
            ),
        ),
        (
            "create, no body",
            case(
                Script {
                    create: no_body(),
                    ..good()
                },
                unanswered,
            ),
        ),
        (
            "inspect",
            case(
                Script {
                    inspect: never(),
                    ..good()
                },
                uninspected,
            ),
        ),
        (
            "inspect, no body",
            case(
                Script {
                    inspect: no_body(),
                    ..good()
                },
                uninspected,
            ),
        ),
        (
            "start",
            case(
                Script {
                    start: never(),
                    ..good()
                },
                unstarted,
            ),
        ),
        (
            "start, and the agent's create",
            case(
                Script {
                    start: never(),
                    own_create: never(),
                    ..good()
                },
                unstarted,
            ),
        ),
    ]
}

/// Calls that are made later, or because something else went wrong.
fn later() -> Vec<(&'static str, Case)> {
    vec![
        (
            "the end of the stream",
            case(
                Script {
                    start: Answer::Silent(stream(&[frame(1, b"x")])),
                    ..good()
                },
                |ran| ran.assert_exited(0),
            ),
        ),
        (
            "the rest of a frame",
            case(
                Script {
                    start: Answer::Silent(stream(&[b"\x01\0\0\0\xff\xff\xff\xffx".to_vec()])),
                    ..good()
                },
                |ran| assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{}", ran.response),
            ),
        ),
        (
            "the list of containers",
            case(
                Script {
                    create: json("404 Not Found", "{\"message\":\"No such container: web\"}").into(),
                    containers: never(),
                    ..good()
                },
                |ran| ran.assert_refused("containerNotFound", "container `web` not found"),
            ),
        ),
        (
            "the container",
            case(
                Script {
                    inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":137,\"Pid\":7}").into(),
                    container: never(),
                    ..good()
                },
                |ran| ran.assert_exited(137),
            ),
        ),
    ]
}

/// The calls that are needed to stop a command.
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn stops() -> Vec<(&'static str, Case)> {
    let ready = |reply: Answer| {
        let reply = Arc::new(move |_: &str| reply.clone());
        Answer::Talk(stream(&[frame(1, b"ready 900 0 any unlinked\n")]), reply)
    };
    let unstarted = |ran: &Ran| ran.assert_orphaned("it took too long to start dexec's helper in the container");
    let no_reply = |ran: &Ran| ran.assert_orphaned("it took too long to inspect the container's processes");
    let unput = |ran: &Ran| ran.assert_orphaned("it took too long to copy dexec's helper into the container");
    vec![
        (
            "an agent's create",
            stopped(
                Script {
                    own_create: never(),
                    ..good()
                },
                unstarted,
            ),
        ),
        (
            "an agent's start",
            stopped(
                Script {
                    own_start: never(),
                    ..good()
                },
                unstarted,
            ),
        ),
        (
            "ready",
            stopped(
                Script {
                    own_start: Answer::Silent(stream(&[])),
                    ..good()
                },
                unstarted,
            ),
        ),
        (
            "a table",
            stopped(
                Script {
                    own_start: ready(Answer::Silent(Vec::new())),
                    ..good()
                },
                no_reply,
            ),
        ),
        (
            "a table's end",
            stopped(
                Script {
                    own_start: ready(Answer::Silent(frame(1, b"12 (a) S 1"))),
                    ..good()
                },
                no_reply,
            ),
        ),
        (
            "a table after endless error output",
            stopped(
                Script {
                    own_start: ready(Answer::Endless(Vec::new(), frame(2, b"oh"))),
                    ..good()
                },
                no_reply,
            ),
        ),
        (
            "a table after endless empty frames",
            stopped(
                Script {
                    own_start: ready(Answer::Endless(Vec::new(), frame(1, b""))),
                    ..good()
                },
                no_reply,
            ),
        ),
        (
            "the image",
            stopped(
                Script {
                    image: never(),
                    ..good()
                },
                unput,
            ),
        ),
        (
            "the stat of a directory",
            stopped(
                Script {
                    stat: never(),
                    ..good()
                },
                unput,
            ),
        ),
        (
            "the version",
            stopped(
                Script {
                    image: json("200 OK", "{}").into(),
                    version: never(),
                    ..good()
                },
                unput,
            ),
        ),
        (
            "the archive",
            stopped(
                Script {
                    archive: never(),
                    ..good()
                },
                unput,
            ),
        ),
    ]
}

/// Runs all cases at once, because each mostly waits.
#[test]
fn missing_responses_time_out() {
    let cases: Vec<_> = calls().into_iter().chain(later()).chain(stops()).collect();
    test_each_of(cases.len(), cases, |Case { script, options, check }| {
        let ran = run_with(script, options);
        check(&ran);
        ran.assert_little_memory();
        ran
    });
}
