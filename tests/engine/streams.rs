//! Output: every byte, on its own stream, and the command's exit code.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::dexec;
use test_support::{Done, assert_response, code, rest_of, watch_memory};

#[test]
fn stdout_stderr_and_exit_code_are_separate() {
    let response = dexec(["dexec-shell", "sh", "-c", "echo out; echo err >&2; exit 3"]).response();
    assert_response(
        &response,
        json!({ "exitCode": 3, "stdout": "out", "stderr": "err", "success": false }),
    );
}

#[test]
fn listing_has_the_documented_response() {
    let response = dexec(["dexec-shell", "ls", "-la", "/"]).response();
    let stdout = response["stdout"].as_str().expect("stdout is there").to_owned();
    assert!(
        stdout.starts_with("total ") && stdout.contains(" data\n") && !stdout.ends_with('\n'),
        "{stdout}"
    );
    assert_response(
        &response,
        json!({ "exitCode": 0, "stdout": stdout, "stderr": "", "success": true }),
    );
}

#[test]
fn exit_code_is_the_exit_code_of_the_command() {
    for exit in [0, 1, 2, 124, 125, 126, 127, 128, 130, 141, 255] {
        let script = format!("exit {exit}");
        let response = dexec(["dexec-shell", "sh", "-c", &script]).response();
        assert_response(
            &response,
            json!({ "exitCode": exit, "stdout": "", "stderr": "", "success": exit == 0 }),
        );
    }
    for (signal, exit) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("INT", 130), ("PIPE", 141)] {
        let script = format!("kill -{signal} $$");
        let response = dexec(["dexec-shell", "sh", "-c", &script]).response();
        assert_response(
            &response,
            json!({ "exitCode": exit, "stdout": "", "stderr": "", "success": false }),
        );
    }
}

#[test]
fn output_that_looks_like_a_start_error_is_kept() {
    // Messages of a failed start on Docker and on Podman, printed by a command that did run.
    let docker = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"x\": executable file \
                  not found in $PATH: unknown";
    let script = format!("echo '{docker}'; exit 126");
    let response = dexec(["dexec-shell", "sh", "-c", &script]).response();
    assert_response(
        &response,
        json!({ "exitCode": 126, "stdout": docker, "stderr": "", "success": false }),
    );

    let response = dexec(["dexec-shell", "sh", "-c", "echo 'Error: it is mine' >&2; exit 127"]).response();
    let expected = json!({ "exitCode": 127, "stdout": "", "stderr": "Error: it is mine", "success": false });
    assert_response(&response, expected);
}

#[test]
fn every_byte_is_passed_on() {
    let script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %o $i)\"; i=$((i+1)); done";
    let done = dexec(["--raw", "dexec-shell", "sh", "-c", script]).run();
    assert_eq!(done.stdout, (0..=255).collect::<Vec<u8>>());
    let response = dexec(["dexec-shell", "printf", "a\\377b\\000c"]).response();
    assert_eq!(response["stdout"], "a\u{fffd}b\0c");
    assert_eq!(response["isLossy"], true);
}

#[test]
fn output_is_delivered_while_the_command_runs() {
    // The time limit of `read` makes this test fail, not hang, if the output is held back until the command ends.
    let script = "printf half; read -t 60 line; echo $line";
    let mut child = dexec(["--raw", "-i", "dexec-shell", "sh", "-c", script])
        .into_command()
        .stdin(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut half = [0; 4];
    child
        .stdout
        .as_mut()
        .expect("it is a pipe")
        .read_exact(&mut half)
        .expect("it can be read");
    assert_eq!(&half, b"half");
    // The command waits for this line, so it was running when its first output arrived.
    child
        .stdin
        .take()
        .expect("it is a pipe")
        .write_all(b"rest\n")
        .expect("it can be written");
    assert_eq!(rest_of(&mut child), b"rest\n");
    assert_eq!(code(child.wait().expect("it ends")), 0);
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// 100 MB of a counter's output, which is compared by its checksum.
const COUNTER: &str = "seq 1 12777777 | head -c 100000000";

#[test]
fn hundred_megabytes_arrive_unchanged_in_little_memory() {
    let script = format!("{COUNTER} | sha256sum");
    let response = dexec(["dexec-shell", "sh", "-c", &script]).response();
    let expected = response["stdout"].as_str().expect("stdout is there").to_owned();

    let mut child = dexec(["--raw", "dexec-shell", "sh", "-c", COUNTER]).spawn();
    let memory = watch_memory(child.id());
    let bytes = rest_of(&mut child);
    assert_eq!(code(child.wait().expect("it ends")), 0);
    assert_eq!(bytes.len(), 100_000_000);
    assert!(expected.starts_with(&sha256(&bytes)), "{expected}");
    let peak = memory.join().expect("the watcher does not panic");
    // The peak of a release build was 4.5 MiB; a debug build uses about 3 MiB more.
    assert!(peak > 0 && peak < 16 * 1024, "{peak} KiB");
}

#[test]
fn captured_output_is_bounded_and_counts_what_is_omitted() {
    let mut child = dexec(["dexec-shell", "sh", "-c", COUNTER]).spawn();
    let memory = watch_memory(child.id());
    let text = rest_of(&mut child);
    let done = Done {
        code: code(child.wait().expect("it ends")),
        stdout: text,
        stderr: Vec::new(),
    };
    let response = done.response();
    let stdout = response["stdout"].as_str().expect("stdout is there");
    assert_eq!(response["isTruncated"], true);
    let (head, rest) = stdout.split_once("\n[… ").expect("there is a marker");
    let (number, tail) = rest
        .split_once(" characters left out …]\n")
        .expect("the marker has an end");
    assert_eq!(head.len(), 32 * 1024 * 1024);
    // No final newline was stripped, because the last line is cut.
    assert_eq!(tail.len(), 32 * 1024 * 1024);
    assert_eq!(number, (100_000_000 - 64 * 1024 * 1024).to_string());
    let peak = memory.join().expect("the watcher does not panic");
    assert!(peak > 0 && peak < 160 * 1024, "{peak} KiB");
}

/// Reads 20 MB, with a pause of 10 s after `first` bytes.
fn read_with_a_pause(first: usize) {
    let length = 20_000_000;
    let script = format!("seq 1 12777777 | head -c {length}");
    let expected = dexec(["dexec-shell", "sh", "-c", &format!("{script} | sha256sum")]).response();
    let mut child = dexec(["--raw", "dexec-shell", "sh", "-c", &script]).spawn();
    let mut bytes = vec![0; first];
    child
        .stdout
        .as_mut()
        .expect("it is a pipe")
        .read_exact(&mut bytes)
        .expect("it can be read");
    thread::sleep(Duration::from_secs(10));
    bytes.extend(rest_of(&mut child));
    assert_eq!(code(child.wait().expect("it ends")), 0);
    assert_eq!(bytes.len(), length, "after a pause at {first}");
    assert!(
        expected["stdout"]
            .as_str()
            .expect("stdout is there")
            .starts_with(&sha256(&bytes))
    );
}

#[test]
fn reader_that_pauses_loses_no_output() {
    read_with_a_pause(10_000_000);
}

#[test]
#[ignore = "takes two minutes; script/test --pauses runs it"]
fn reader_that_pauses_at_any_point_loses_no_output() {
    for first in [1, 1_000_000, 10_000_000, 18_900_000, 19_500_000, 19_990_000] {
        read_with_a_pause(first);
    }
}

#[test]
fn closed_stdout_ends_dexec_without_a_message() {
    for mode in ["--output=raw", "--output=events"] {
        let mut child = dexec([mode, "dexec-shell", "sh", "-c", "timeout 5 yes"]).spawn();
        let mut first = [0; 2];
        child
            .stdout
            .as_mut()
            .expect("it is a pipe")
            .read_exact(&mut first)
            .expect("it can be read");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(code(output.status), 141, "{mode}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{mode}");
    }
    let mut child = dexec(["dexec-shell", "sh", "-c", "sleep 1; echo late"]).spawn();
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(code(output.status), 141);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn write_error_on_stdout_is_reported() {
    for args in [&["--raw"][..], &[], &["--output=events"]] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("it can be opened");
        let run = dexec(args).args(["dexec-shell", "echo", "x"]).stdout(Stdio::from(full));
        let done = run.finish();
        assert_eq!(done.code, 1, "{args:?}");
        assert_eq!(
            done.stderr_text(),
            "write /dev/stdout: no space left on device\n",
            "{args:?}"
        );
    }
}

#[test]
fn stdout_closed_at_startup_is_not_an_error() {
    let line = format!("exec '{}' --raw dexec-shell echo x >&-", env!("CARGO_BIN_EXE_dexec"));
    let done = test_support::program("sh").args(["-c", &line]).run();
    assert_eq!((done.code, done.stderr_text().as_str()), (0, ""));
}

#[test]
fn background_child_does_not_delay_the_response() {
    let script = "(sleep 8; echo late) & echo now; exit 3";
    let response = dexec(["dexec-shell", "sh", "-c", script]).response();
    assert_response(
        &response,
        json!({ "exitCode": 3, "stdout": "now", "stderr": "", "success": false }),
    );
    // Removes the child that holds the output open before the next test checks the processes.
    let _ = dexec(["dexec-shell", "pkill", "-f", "sleep 8"]).run();
}

#[test]
fn stdin_is_not_read_without_interactive() {
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "\"$0\" dexec-shell true >/dev/null; cat"])
        .arg(env!("CARGO_BIN_EXE_dexec"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    child
        .stdin
        .take()
        .expect("it is a pipe")
        .write_all(b"untouched")
        .expect("it can be written");
    assert_eq!(rest_of(&mut child), b"untouched");
    assert_eq!(code(child.wait().expect("it ends")), 0);
}
