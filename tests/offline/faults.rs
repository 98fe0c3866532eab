//! Engines and networks that fail: the answer says what is known, and never more.

use serde_json::{Value, json};

use crate::fake::{Fake, Script, frame, json as answer, stream};
use crate::support::{assert_response, dexec};

fn run(script: Script) -> Value {
    let fake = Fake::start(script);
    dexec(["-H", &fake.host, "web", "true"]).response()
}

fn message(response: &Value) -> String {
    response["message"].as_str().expect("there is a message").to_owned()
}

#[test]
fn a_good_engine_is_believed() {
    assert_response(
        &run(Script::default()),
        json!({ "exitCode": 0, "stdout": "x", "stderr": "", "success": true }),
    );
}

#[test]
fn a_stream_that_is_cut_in_a_frame_is_no_success() {
    let mut cut = frame(1, b"whole");
    cut.truncate(10);
    let response = run(Script {
        start: stream(&[frame(1, b"x"), cut]).into(),
        ..Script::default()
    });
    assert_response(
        &response,
        json!({ "exitCode": 255, "stdout": "xwh", "stderr": "", "success": false, "errorKind": "connectionLost" }),
    );
    assert!(
        message(&response).contains("part of the output may be missing"),
        "{response}"
    );
}

#[test]
fn a_claim_of_4_gigabytes_costs_nothing() {
    let claim = b"\x01\0\0\0\xff\xff\xff\xffsome".to_vec();
    let response = run(Script {
        start: stream(&[claim]).into(),
        ..Script::default()
    });
    assert_eq!(
        (&response["exitCode"], &response["stdout"]),
        (&255.into(), &"some".into()),
        "{response}"
    );
}

#[test]
fn a_stream_that_is_none_is_told() {
    let response = run(Script {
        start: stream(&[frame(1, b"x"), b"\x09garbage!".to_vec()]).into(),
        ..Script::default()
    });
    assert_eq!(
        (&response["exitCode"], &response["stdout"]),
        (&255.into(), &"x".into()),
        "{response}"
    );
    assert!(message(&response).contains("unknown type 9"), "{response}");

    let response = run(Script {
        start: stream(&[frame(3, b"the daemon broke\n")]).into(),
        ..Script::default()
    });
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&255.into(), &"connectionLost".into())
    );
    assert!(message(&response).contains("the daemon broke"), "{response}");
}

#[test]
fn a_command_that_still_runs_after_its_stream_is_no_success() {
    let running = answer("200 OK", "{\"Running\":true,\"ExitCode\":0,\"Pid\":7}");
    let response = run(Script {
        inspect: running.into(),
        ..Script::default()
    });
    assert_response(
        &response,
        json!({
            "exitCode": 255, "stdout": "x", "stderr": "", "success": false, "orphaned": true,
            "errorKind": "connectionLost",
        }),
    );
}

#[test]
fn an_exit_code_that_is_not_told_is_not_guessed() {
    for body in ["{\"Running\":false,\"ExitCode\":null,\"Pid\":7}", "{\"Running\":false}"] {
        let response = run(Script {
            inspect: answer("200 OK", body).into(),
            ..Script::default()
        });
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&255.into(), &"connectionLost".into()),
            "{body}"
        );
    }
}

#[test]
fn an_inspect_without_an_answer_is_a_lost_connection() {
    for inspect in [
        Vec::new(),
        answer("500 Oops", "{\"message\":\"broken\"}"),
        answer("200 OK", "[1,2]"),
    ] {
        let response = run(Script {
            inspect: inspect.into(),
            ..Script::default()
        });
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&255.into(), &"connectionLost".into())
        );
        assert_eq!(
            (&response["stdout"], &response["orphaned"]),
            (&"x".into(), &true.into()),
            "{response}"
        );
    }
}

#[test]
fn a_command_that_the_engine_forgot_went_with_its_container() {
    let forgot = || answer("404 Not Found", "{\"message\":\"No such exec instance: 01\"}");
    for (container, event) in [
        (
            answer("404 Not Found", "{\"message\":\"No such container: web\"}"),
            "was removed",
        ),
        (answer("200 OK", "{\"State\":{\"Status\":\"exited\"}}"), "stopped"),
    ] {
        let response = run(Script {
            inspect: forgot().into(),
            container: container.into(),
            ..Script::default()
        });
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&255.into(), &"containerStopped".into())
        );
        assert!(message(&response).contains(event), "{response}");
    }
    // In a container that runs, and into which nobody can look, it may run on.
    let response = run(Script {
        inspect: forgot().into(),
        ..Script::default()
    });
    assert_response(
        &response,
        json!({
            "exitCode": 255, "stdout": "x", "stderr": "", "success": false, "orphaned": true,
            "errorKind": "connectionLost",
        }),
    );
}

#[test]
fn a_start_without_an_answer_may_have_started() {
    let response = run(Script {
        start: Vec::new().into(),
        ..Script::default()
    });
    assert_response(
        &response,
        json!({
            "exitCode": 255, "stdout": "", "stderr": "", "success": false, "orphaned": true,
            "errorKind": "connectionLost",
        }),
    );
}

#[test]
fn a_start_without_the_upgrade_is_told() {
    let response = run(Script {
        start: answer("200 OK", "").into(),
        ..Script::default()
    });
    assert_eq!(
        (&response["exitCode"], &response["errorKind"], &response["orphaned"]),
        (&255.into(), &"connectionLost".into(), &true.into()),
        "{response}"
    );
    assert!(
        message(&response).contains("a proxy between dexec and the engine"),
        "{response}"
    );
}

#[test]
fn a_container_that_ended_before_the_start_is_told() {
    let start = answer("404 Not Found", "{\"message\":\"No such exec instance: 01\"}");
    let response = run(Script {
        start: start.into(),
        ..Script::default()
    });
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&1.into(), &"containerNotRunning".into())
    );
}

#[test]
fn what_is_no_engine_is_told() {
    for create in [
        answer("404 Not Found", "<html><h1>404</h1></html>"),
        answer("404 Not Found", "404 page not found"),
        answer("201 Created", "[]"),
        answer("201 Created", "{\"Id\":\"../../images/prune\"}"),
        answer("201 Created", "{\"Id\":\"\"}"),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&create).into_owned();
        let fake = Fake::start(Script {
            create: create.into(),
            ..Script::default()
        });
        let response = dexec(["-H", &fake.host, "web", "true"]).response();
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&1.into(), &"notAnEngine".into()),
            "{shown}"
        );
        assert!(
            fake.requests().iter().all(|request| !request.contains("prune")),
            "{:?}",
            fake.requests()
        );
    }
}

#[test]
fn an_engine_s_plain_text_is_kept() {
    let create = b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nplain bad".to_vec();
    let response = run(Script {
        create: create.into(),
        ..Script::default()
    });
    assert_eq!(response["stderr"], "Error response from daemon: plain bad");
    assert_eq!(response["errorKind"], "engineError");
}

#[test]
fn raw_says_that_the_connection_was_lost() {
    let fake = Fake::start(Script {
        inspect: Vec::new().into(),
        ..Script::default()
    });
    let done = dexec(["--raw", "-H", &fake.host, "web", "true"]).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (255, "x"));
    assert!(done.stderr_text().starts_with("the connection was lost"), "{done:?}");
}

#[test]
fn the_good_path_makes_three_requests() {
    let fake = Fake::start(Script::default());
    dexec(["-H", &fake.host, "web", "true"]).response();
    assert_eq!(fake.requests().len(), 3, "{:?}", fake.requests());
    assert!(fake.connections() <= 2);
}
