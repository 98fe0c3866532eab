//! The three output modes.

use serde_json::{Value, json};

use crate::dexec;
use test_support::api;
use test_support::{Done, program, signal};

fn lines(done: &Done) -> Vec<Value> {
    done.stdout_text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

/// The text of one stream, from all events.
fn text(events: &[Value], stream: &str) -> String {
    events.iter().filter_map(|event| event[stream].as_str()).collect()
}

#[test]
fn raw_mode_keeps_every_byte_on_its_stream() {
    let script = "printf 'a\\r\\n\\033[1mb\\n'; printf 'c\\n' >&2; exit 3";
    let done = dexec(["--raw", "dexec-shell", "sh", "-c", script]).run();
    assert_eq!(
        (done.code, &done.stdout[..], &done.stderr[..]),
        (3, &b"a\r\n\x1b[1mb\n"[..], &b"c\n"[..])
    );
}

#[test]
fn each_event_is_a_line_and_the_result_is_the_last() {
    let script = "printf 'a\\033[1mb\\n'; sleep 0.3; echo c >&2; sleep 0.3; printf 'd'; exit 3";
    let done = dexec(["--output", "events", "dexec-shell", "sh", "-c", script]).run();
    assert_eq!((done.code, done.stderr_text().as_str()), (3, ""));
    let events = lines(&done);
    assert_eq!(
        events,
        [
            json!({ "stdout": "a\u{1b}[1mb\n" }),
            json!({ "stderr": "c\n" }),
            json!({ "stdout": "d" }),
            json!({ "exitCode": 3, "success": false }),
        ]
    );
}

#[test]
fn events_never_split_a_character_or_an_escape() {
    let script =
        "for piece in '\\342\\202' '\\254\\n' '\\033[3' '1mred\\n' 'x\\377\\n'; do printf \"$piece\"; sleep 0.2; done";
    let events = lines(&dexec(["--output", "events", "dexec-shell", "sh", "-c", script]).run());
    assert_eq!(text(&events, "stdout"), "€\n\u{1b}[31mred\nx\u{fffd}\n");
    assert!(events.iter().all(|event| event["stdout"] != "\u{1b}[3"), "{events:?}");
    assert_eq!(
        events.last(),
        Some(&json!({ "exitCode": 0, "success": true, "isLossy": true }))
    );
}

#[test]
fn events_report_a_failed_start_and_a_refusal() {
    let done = dexec(["--output", "events", "dexec-shell", "nosuch"]).run();
    let events = lines(&done);
    let last = events.last().expect("there is a last one");
    assert_eq!(
        (&last["exitCode"], &last["errorKind"]),
        (&done.code.into(), &"commandNotFound".into())
    );
    let stream = if api::is_podman() { "stderr" } else { "stdout" };
    assert!(text(&events, stream).contains("nosuch"), "{events:?}");

    let events = lines(&dexec(["--output", "events", "dexec-nosuch", "true"]).run());
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(
        events[0]["stderr"]
            .as_str()
            .expect("it is an error")
            .starts_with("Error response from daemon: ")
    );
    assert_eq!(
        (&events[1]["exitCode"], &events[1]["errorKind"]),
        (&1.into(), &"containerNotFound".into())
    );
    assert!(events[1].get("stderr").is_none());
}

#[test]
fn environment_variable_sets_the_default_mode() {
    let run = |mode| dexec(["dexec-shell", "echo", "x"]).env("DEXEC_OUTPUT", mode).run();
    assert_eq!(run("raw").stdout_text(), "x\n");
    assert_eq!(
        run("events").stdout_text(),
        "{\"stdout\":\"x\\n\"}\n{\"exitCode\":0,\"success\":true}\n"
    );
    assert_eq!(run("json"), run(""));
    assert_eq!(run("xml").code, 125);
    let done = dexec(["--output=json", "dexec-shell", "echo", "x"])
        .env("DEXEC_OUTPUT", "raw")
        .run();
    assert_eq!(done.response()["stdout"], "x");
}

#[test]
fn json_is_indented_on_a_terminal() {
    let line = format!("{} dexec-shell echo x", env!("CARGO_BIN_EXE_dexec"));
    let done = program("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .run();
    let expected =
        "{\r\n  \"exitCode\": 0,\r\n  \"stdout\": \"x\",\r\n  \"stderr\": \"\",\r\n  \"success\": true\r\n}\r\n";
    assert_eq!(done.stdout_text(), expected);
}

#[test]
fn response_options_are_applied() {
    let shell = |options: &[&str], script: &str| dexec(options).args(["dexec-shell", "sh", "-c", script]).response();
    let response = shell(&["--compact"], "echo some output");
    assert_eq!(response, json!({ "exitCode": 0, "success": true }));
    let response = shell(&["--limit", "5"], "echo 1234567; echo 12 >&2");
    assert_eq!(
        (&response["stdout"], &response["stderr"]),
        (&"12345".into(), &"12".into())
    );
    assert_eq!(response["isTruncated"], true);
    let response = shell(&["--parse-json"], "echo '{ \"b\": 1.0,'; echo '\"a\": null }'");
    assert_eq!(response["json"].to_string(), "{\"b\":1.0,\"a\":null}");
    let response = shell(&["--parse-json"], "echo no");
    assert!(
        response["parseJsonError"]
            .as_str()
            .expect("it is reported")
            .starts_with("stdout is not JSON"),
        "{response}"
    );
    let coloured = "printf '\\033[1mx\\033[0m\\n'";
    assert_eq!(shell(&[], coloured)["stdout"], "x");
    assert_eq!(
        shell(&["--keep-ansi", "--keep-newline"], coloured)["stdout"],
        "\u{1b}[1mx\u{1b}[0m\n"
    );
}

#[test]
fn signal_sets_the_exit_code() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        for mode in ["json", "raw", "events"] {
            let sleep = format!("sleep 50{number}");
            let script = format!("echo before; exec {sleep}");
            let child = dexec(["--output", mode, "dexec-shell", "sh", "-c", &script]).spawn();
            api::wait_for_process("dexec-shell", &sleep);
            signal(&child, name);
            let output = child.wait_with_output().expect("it ends");
            let done = Done {
                code: test_support::code(output.status),
                stdout: output.stdout,
                stderr: output.stderr,
            };
            assert_eq!(
                (done.code, done.stderr_text().as_str()),
                (128 + number, ""),
                "{name} {mode}"
            );
            if mode == "raw" {
                assert_eq!(done.stdout_text(), "before\n", "{name}");
                continue;
            }
            let last: Value = lines(&done).pop().expect("there is an answer");
            assert_eq!(
                (&last["exitCode"], &last["errorKind"]),
                (&done.code.into(), &"interrupted".into()),
                "{last}"
            );
            assert_eq!(last["signal"], "SIGTERM", "{last}");
            if mode == "json" {
                assert_eq!(last["stdout"], "before", "{name}");
            }
        }
    }
}
