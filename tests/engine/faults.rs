//! Faults of containers, connections and dexec's own output while a command runs.

use std::io::Read as _;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::dexec;
use test_support::api::{self, Container};
use test_support::{Done, assert_response, code, program};

fn answer(child: Child) -> Value {
    let output = child.wait_with_output().expect("it ends");
    let done = Done {
        code: code(output.status),
        stdout: output.stdout,
        stderr: output.stderr,
    };
    done.response()
}

fn sleeper(purpose: &str) -> Container {
    Container::start(purpose, &["sleep", "1000000"])
}

#[test]
fn restarting_the_container_ends_the_command() {
    let container = sleeper("fault-restart");
    let child = dexec([&container.name, "sh", "-c", "echo before; sleep 50"]).spawn();
    api::wait_for_process(&container.name, "sleep 50");
    container.post("restart?t=0");
    let response = answer(child);
    assert_eq!(response["stdout"], "before", "{response}");
    assert_eq!(response.get("orphaned"), None, "{response}");
    // When the container stops, engines either forget the command or report that it was killed.
    let what = (response["exitCode"].as_i64(), response["errorKind"].as_str());
    assert!(
        matches!(
            what,
            (Some(137), None | Some("containerStopped")) | (Some(255), Some("containerStopped"))
        ),
        "{response}"
    );
}

#[test]
fn pausing_the_container_only_delays_the_command() {
    let container = sleeper("fault-pause");
    let child = dexec([&container.name, "sh", "-c", "echo before; sleep 2; echo after; exit 4"]).spawn();
    api::wait_for_process(&container.name, "sleep 2");
    container.post("pause");
    thread::sleep(Duration::from_millis(2500));
    container.post("unpause");
    assert_response(
        &answer(child),
        json!({ "exitCode": 4, "stdout": "before\nafter", "stderr": "", "success": false }),
    );
}

#[test]
fn command_in_a_paused_container_is_reported_as_orphaned() {
    let container = sleeper("fault-paused-stop");
    let child = dexec(["--timeout=10", &container.name, "sh", "-c", "echo before; sleep 50"]).spawn();
    api::wait_for_process(&container.name, "sleep 50");
    container.post("pause");
    let response = answer(child);
    container.post("unpause");
    assert_eq!(
        (
            &response["exitCode"],
            &response["timedOut"],
            &response["orphaned"],
            &response["stdout"]
        ),
        (&json!(124), &json!(true), &json!(true), &json!("before")),
        "{response}"
    );
    let message = response["message"].as_str().expect("there is a message");
    assert!(message.contains("paused"), "{message}");
}

/// A socket in front of the engine that closes every connection after the engine has sent this many bytes.
fn cutting_socket(bytes: u64) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("it can be listened to");
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("it can be accepted");
            let engine = UnixStream::connect(api::socket()).expect("the engine answers");
            let (mut from_client, mut to_engine) = (
                client.try_clone().expect("it can be shared"),
                engine.try_clone().expect("it can be shared"),
            );
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_engine);
                let _ = to_engine.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = std::io::copy(&mut (&engine).take(bytes), &mut &client);
                let _ = engine.shutdown(Shutdown::Both);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    let host = format!("unix://{}", path.display());
    (directory, host)
}

#[test]
fn connection_closed_within_a_frame_is_reported() {
    let container = sleeper("fault-cut");
    let (_directory, host) = cutting_socket(100_003);
    let run = dexec([
        "-H",
        &host,
        &container.name,
        "sh",
        "-c",
        "yes | head -c 200000; sleep 3",
    ]);
    let response = run.response();
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&json!(255), &json!("connectionLost")),
        "{response}"
    );
    let stdout = response["stdout"].as_str().expect("it is text");
    assert!((90_000..100_003).contains(&stdout.len()), "{}", stdout.len());
    assert!(stdout.starts_with("y\ny\n"));
    let message = response["message"].as_str().expect("there is a message");
    assert!(message.contains("output"), "{message}");
}

#[test]
fn full_disk_stops_the_command() {
    let container = sleeper("fault-full");
    for mode in ["raw", "events"] {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("it can be opened");
        let run = dexec(["--output", mode, &container.name, "sh", "-c", "echo x; sleep 50"]);
        let done = run.stdout(Stdio::from(full)).finish();
        assert_eq!(
            (done.code, done.stderr_text().as_str()),
            (1, "write /dev/stdout: no space left on device\n"),
            "{mode}"
        );
        assert_eq!(container.processes().len(), 1, "{mode}");
    }
}

#[test]
fn too_few_descriptors_are_reported() {
    let container = sleeper("fault-descriptors");
    let mut codes = Vec::new();
    for descriptors in 3..=16 {
        let line = format!(
            "ulimit -n {descriptors}; exec '{}' --timeout=0.5 {} sleep 600",
            env!("CARGO_BIN_EXE_dexec"),
            container.name
        );
        let done = program("bash").args(["-c", &line]).run();
        let shown = done.stdout_text() + &done.stderr_text();
        assert!(
            !shown.contains("panicked") && !shown.is_empty(),
            "{descriptors}: {shown}"
        );
        match done.code {
            // Either the runtime can't be created, or the engine can't be reached.
            1 | 127 => {}
            124 => {
                let response = done.response();
                assert!(
                    response["orphaned"] == true || response["signal"] == "SIGTERM",
                    "{descriptors}: {response}"
                );
            }
            other => panic!("{descriptors}: {other}: {shown}"),
        }
        codes.push(done.code);
    }
    assert!(codes.contains(&1) && codes.last() == Some(&124), "{codes:?}");
}

/// Output that was written before the reader paused is not lost when the command is stopped.
#[test]
fn slow_reader_gets_the_output_written_before_the_stop() {
    let container = sleeper("fault-slow");
    let script = "seq 1 2000; exec sleep 600";
    let mut child = dexec(["--raw", "--timeout=10", &container.name, "sh", "-c", script]).spawn();
    let mut stdout = child.stdout.take().expect("it is a pipe");
    api::wait_for_process(&container.name, "sleep 600");
    thread::sleep(Duration::from_millis(500));
    let mut text = String::new();
    stdout.read_to_string(&mut text).expect("it can be read");
    let expected: Vec<String> = (1..=2000).map(|number| number.to_string()).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(code(child.wait().expect("it ends")), 124);
}

/// A reader that stops reading does not prevent dexec from ending or from stopping the command.
#[test]
fn stuck_reader_does_not_block_a_signal() {
    let container = sleeper("fault-stuck");
    for mode in ["raw", "events"] {
        let mut child = dexec(["--output", mode, &container.name, "yes"]).spawn();
        api::wait_for_process(&container.name, "yes");
        thread::sleep(Duration::from_secs(1));
        test_support::signal(&child, "TERM");
        let status = child.wait().expect("it ends");
        assert_eq!(code(status), 143, "{mode}");
        assert_eq!(container.processes().len(), 1, "{mode}");
    }
    // The same applies when the command has ended and the response is being written.
    let mut child = dexec([&container.name, "seq", "1", "100000"]).spawn();
    thread::sleep(Duration::from_millis(2500));
    test_support::signal(&child, "TERM");
    assert_eq!(code(child.wait().expect("it ends")), 143);
}

#[test]
fn nonblocking_stdout_gets_the_complete_output() {
    // Node and many other programs set O_NONBLOCK on a pipe that they share with dexec.
    let script = format!(
        "import os, subprocess, time\n\
         r, w = os.pipe()\n\
         os.set_blocking(w, False)\n\
         child = subprocess.Popen(['{}', '--raw', 'dexec-shell', 'sh', '-c', 'seq 1 100000'], stdout=w)\n\
         os.close(w)\n\
         time.sleep(1)\n\
         read = 0\n\
         while chunk := os.read(r, 65536): read += len(chunk)\n\
         print(read, child.wait())",
        env!("CARGO_BIN_EXE_dexec")
    );
    let done = program("python3").args(["-c", &script]).run();
    assert_eq!(done.stdout_text(), "588895 0\n", "{}", done.stderr_text());
}

#[test]
fn ignored_sighup_stays_ignored() {
    let line = format!(
        "trap '' HUP; '{}' --raw dexec-shell sh -c 'sleep 2; echo done' & sleep 1; kill -HUP $!; wait $!",
        env!("CARGO_BIN_EXE_dexec")
    );
    let done = program("sh").args(["-c", &line]).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (0, "done\n"));
}
