//! The engine itself stops or hangs while a command runs. Each test stops and restarts the engine, so these tests run
//! one at a time, after all other tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dexec;
use crate::pty::OnTerminal as _;
use test_support::api;
use test_support::{Done, code};

fn state() -> PathBuf {
    let socket = api::socket();
    Path::new(&socket)
        .parent()
        .expect("it is in the engine's directory")
        .to_owned()
}

fn signal_engine(name: &str) {
    let pid = std::fs::read_to_string(state().join("pid")).expect("script/engines wrote it");
    let done = Command::new("kill").args(["-s", name, pid.trim()]).status();
    assert!(done.expect("kill can be run").success());
}

/// Starts the engine again, and its test container.
fn start_engine() {
    let (_, engine) = (state(), api::engine());
    let directory = state().parent().expect("it has one").to_owned();
    let root = env!("CARGO_MANIFEST_DIR");
    let done = Command::new(format!("{root}/script/engines"))
        .arg("up")
        .arg(directory)
        .arg(engine)
        .output();
    let done = done.expect("it can be run");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // It may still be running: Podman's containers survive the engine.
    let (status, body) = api::call("POST", "/containers/dexec-shell/start", &Value::Null);
    assert!(matches!(status, 204 | 304), "{status} {body}");
    let response = dexec(["dexec-shell", "echo", "well"]).response();
    assert_eq!(response["stdout"], "well", "{response}");
}

fn wait_for_end() {
    let deadline = Instant::now() + Duration::from_secs(120);
    let pid = std::fs::read_to_string(state().join("pid")).unwrap_or_default();
    while Path::new(&format!("/proc/{}", pid.trim())).exists() && !pid.is_empty() {
        assert!(Instant::now() < deadline, "the engine does not end");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The response to a command during which the engine receives a signal.
fn answer_when_engine_gets(signal: &str) -> Value {
    // Podman's commands survive the engine, so each test uses a different command.
    let sleep = if signal == "KILL" { "sleep 31" } else { "sleep 32" };
    let script = format!("echo before; exec {sleep}");
    let child = dexec(["dexec-shell", "sh", "-c", &script]).spawn();
    api::wait_for_process("dexec-shell", sleep);
    signal_engine(signal);
    let output = child.wait_with_output().expect("it ends");
    let done = Done {
        code: code(output.status),
        stdout: output.stdout,
        stderr: output.stderr,
    };
    wait_for_end();
    start_engine();
    done.response()
}

#[test]
#[ignore = "ends the engine: script/test runs it last"]
fn terminal_is_restored_when_the_engine_is_killed() {
    let mut session = dexec(["-it", "dexec-shell", "sh", "-c", "echo before; exec sleep 3"]).on_terminal();
    session.wait_for("before");
    session.wait_until_raw();
    signal_engine("KILL");
    let (code, shown) = session.end();
    wait_for_end();
    start_engine();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert_eq!(code, 255, "{shown}");
    assert!(shown.contains("connection was lost"), "{shown}");
}

#[test]
#[ignore = "ends the engine: script/test runs it last"]
fn killed_engine_is_reported() {
    let response = answer_when_engine_gets("KILL");
    assert_eq!(
        (
            &response["exitCode"],
            &response["errorKind"],
            &response["orphaned"],
            &response["stdout"]
        ),
        (&json!(255), &json!("connectionLost"), &json!(true), &json!("before")),
        "{response}"
    );
}

#[test]
#[ignore = "ends the engine: script/test runs it last"]
fn stopped_engine_is_reported() {
    let response = answer_when_engine_gets("TERM");
    assert_eq!(response["stdout"], "before", "{response}");
    // Docker stops its containers first, and may still report it.
    let what = (response["exitCode"].as_i64(), response["errorKind"].as_str());
    assert!(
        matches!(
            what,
            (Some(255), Some("connectionLost")) | (Some(137 | 255), Some("containerStopped"))
        ),
        "{response}"
    );
}

#[test]
#[ignore = "ends the engine: script/test runs it last"]
fn engine_killed_during_a_stop_is_reported() {
    let child = dexec(["--output=events", "dexec-shell", "sh", "-c", "echo before; sleep 30"]).spawn();
    api::wait_for_process("dexec-shell", "sleep 30");
    // The engine hangs first, so that the connection stays open.
    signal_engine("STOP");
    test_support::signal(&child, "TERM");
    thread::sleep(Duration::from_millis(500));
    signal_engine("KILL");
    let output = child.wait_with_output().expect("it ends");
    wait_for_end();
    start_engine();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let response: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("it is a response");
    assert_eq!(
        (&response["exitCode"], &response["errorKind"], &response["orphaned"]),
        (&json!(143), &json!("interrupted"), &json!(true)),
        "{response}"
    );
}

#[test]
#[ignore = "ends the engine: script/test runs it last"]
fn paused_engine_only_delays_the_response() {
    let child = dexec(["dexec-shell", "sh", "-c", "echo before; sleep 1; exit 6"]).spawn();
    thread::sleep(Duration::from_millis(500));
    signal_engine("STOP");
    thread::sleep(Duration::from_secs(3));
    signal_engine("CONT");
    let output = child.wait_with_output().expect("it ends");
    let response: Value = serde_json::from_slice(&output.stdout).expect("it is a response");
    assert_eq!(
        (&response["exitCode"], &response["stdout"]),
        (&json!(6), &json!("before")),
        "{response}"
    );
}
