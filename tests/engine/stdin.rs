//! Standard input: every byte, and its end.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::dexec;
use test_support::{assert_response, noise};

#[test]
fn end_of_input_reaches_the_command() {
    let response = dexec(["-i", "dexec-shell", "cat"]).stdin("one\ntwo\n").response();
    assert_response(
        &response,
        json!({ "exitCode": 0, "stdout": "one\ntwo", "stderr": "", "success": true }),
    );
    let response = dexec(["-i", "dexec-shell", "wc", "-c"]).stdin("").response();
    assert_eq!(response["stdout"], "0");
}

#[test]
fn output_after_the_end_of_input_arrives() {
    let script = "cat >/dev/null; sleep 1; echo after; exit 4";
    let response = dexec(["-i", "dexec-shell", "sh", "-c", script]).stdin("x").response();
    assert_response(
        &response,
        json!({ "exitCode": 4, "stdout": "after", "stderr": "", "success": false }),
    );
}

#[test]
fn command_without_interactive_reads_end_of_file() {
    let response = dexec(["dexec-shell", "cat"]).stdin("not read").response();
    assert_response(
        &response,
        json!({ "exitCode": 0, "stdout": "", "stderr": "", "success": true }),
    );
}

#[test]
fn fifty_megabytes_of_input_are_returned() {
    let bytes = noise(50_000_000);
    let done = dexec(["--raw", "-i", "dexec-shell", "cat"]).stdin(bytes.clone()).run();
    assert_eq!((done.code, done.stderr_text().as_str()), (0, ""));
    assert!(done.stdout == bytes, "{} bytes came back", done.stdout.len());
}

#[test]
fn command_that_stops_reading_does_not_block_dexec() {
    // If a command leaves input unread, Podman loses output that is still in transit, with any client; so the command
    // waits.
    let done = dexec(["--raw", "-i", "dexec-shell", "sh", "-c", "head -c 3; sleep 1; exit 6"])
        .stdin(noise(50_000_000))
        .run();
    assert_eq!((done.code, done.stdout), (6, noise(50_000_000)[..3].to_vec()));
    // A command that reads nothing does not wait either.
    assert_eq!(
        dexec(["-i", "dexec-shell", "sh", "-c", "exit 5"])
            .stdin(noise(1_000_000))
            .run()
            .code,
        5
    );
}

#[test]
fn open_stdin_does_not_delay_the_exit() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dexec"));
    command.args(["-i", "dexec-shell", "sh", "-c", "exit 5"]);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null());
    let mut child = command.spawn().expect("it can be started");
    let deadline = Instant::now() + Duration::from_secs(120);
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            break status;
        }
        assert!(
            Instant::now() < deadline,
            "dexec waits for input that the command does not read"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(5));
}

#[test]
fn unreadable_stdin_is_treated_as_empty() {
    let line = format!("exec '{}' -i dexec-shell wc -c </", env!("CARGO_BIN_EXE_dexec"));
    assert_eq!(
        test_support::program("sh").args(["-c", &line]).response()["stdout"],
        "0"
    );
}
