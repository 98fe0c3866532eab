//! Tests of dexec with a rootless Podman.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dexec;
use crate::transports::every_case;
use test_support::api;
use test_support::{Run, assert_response};

/// The user's directory, which script/engines creates next to the socket.
fn own() -> PathBuf {
    Path::new(&api::socket()).with_file_name("own")
}

fn given(args: &[&str]) -> Run {
    let host = format!("unix://{}", api::socket());
    dexec(["-H", &host]).args(args).env("DOCKER_HOST", "")
}

/// `dexec` without any option or variable that names the engine.
fn found(args: &[&str]) -> Run {
    dexec(args)
        .env("DOCKER_HOST", "")
        .env("HOME", own())
        .env("XDG_RUNTIME_DIR", own())
        .without_engines()
}

#[track_caller]
fn assert_info(run: Run, endpoint: &str, origin: &str) {
    let done = run.run();
    assert_eq!((done.code, done.stderr_text().as_str()), (0, ""));
    let told: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
    let of_interest = ["reachable", "rootless", "engine", "endpoint", "origin"].map(|name| &told[name]);
    assert_eq!(
        json!(of_interest),
        json!([true, true, "Podman", endpoint, origin]),
        "{told}"
    );
}

#[test]
#[ignore = "has an engine of its own: script/test runs it there"]
fn rootless_engine_is_shown() {
    let info = ["--info", "--output", "json"];
    assert_info(given(&info), &format!("unix://{}", api::socket()), "as given");
    let socket = own().join("podman/podman.sock");
    let endpoint = format!("unix://{}", socket.display());
    let origin = "Podman's rootless socket, chosen because /var/run/docker.sock does not exist";
    assert_info(found(&info), &endpoint, origin);
}

#[test]
#[ignore = "has an engine of its own: script/test runs it there"]
fn common_cases_pass_with_a_given_socket() {
    every_case("given", given);
}

#[test]
#[ignore = "has an engine of its own: script/test runs it there"]
fn common_cases_pass_with_a_found_socket() {
    every_case("found", found);
}

#[test]
#[ignore = "has an engine of its own: script/test runs it there"]
fn stop_leaves_no_process() {
    let own = api::Container::start("rootless", &["sleep", "1000000"]);
    let script = "sleep 600 & setsid sleep 600 & echo started; sleep 600";
    let response = given(&["--timeout", "1", &own.name, "sh", "-c", script]).response();
    assert_response(
        &response,
        json!({
            "exitCode": 124, "stdout": "started", "stderr": "", "success": false, "timedOut": true, "signal": "SIGTERM",
        }),
    );
    assert_eq!(own.processes(), ["sleep 1000000"]);
}
