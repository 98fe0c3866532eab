//! Failing engines and networks: the answer states what is known, and nothing more.

use serde_json::{Value, json};

use crate::dexec;
use crate::fake::{Fake, Script, frame, json as answer, stream};
use test_support::assert_response;

fn run(script: Script) -> Value {
    let fake = Fake::start(script);
    dexec(["-H", &fake.host, "web", "true"]).response()
}

fn message(response: &Value) -> String {
    response["message"].as_str().expect("there is a message").to_owned()
}

#[test]
fn successful_command_has_the_plain_response() {
    assert_response(
        &run(Script::default()),
        json!({ "exitCode": 0, "stdout": "x", "stderr": "", "success": true }),
    );
}

#[test]
fn stream_that_ends_within_a_frame_is_a_lost_connection() {
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
fn frame_header_of_4_gigabytes_is_harmless() {
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
fn invalid_stream_is_reported() {
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
fn command_running_after_its_stream_is_a_lost_connection() {
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
fn missing_exit_code_is_not_guessed() {
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
fn failed_inspect_is_a_lost_connection() {
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
fn unknown_exec_in_an_ended_container_is_container_stopped() {
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
    // The container is running and its processes can't be listed, so the command may still be running.
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
fn unanswered_start_is_reported_as_orphaned() {
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
fn start_without_the_upgrade_is_reported() {
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
fn container_that_ended_before_the_start_is_reported() {
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
fn server_that_is_not_an_engine_is_reported() {
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
fn plain_text_error_of_the_engine_is_kept() {
    let create = b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nplain bad".to_vec();
    let response = run(Script {
        create: create.into(),
        ..Script::default()
    });
    assert_eq!(response["stderr"], "Error response from daemon: plain bad");
    assert_eq!(response["errorKind"], "engineError");
}

#[test]
fn raw_mode_reports_a_lost_connection() {
    let fake = Fake::start(Script {
        inspect: Vec::new().into(),
        ..Script::default()
    });
    let done = dexec(["--raw", "-H", &fake.host, "web", "true"]).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (255, "x"));
    assert!(done.stderr_text().starts_with("the connection was lost"), "{done:?}");
}

#[test]
fn successful_command_makes_three_requests() {
    let fake = Fake::start(Script::default());
    dexec(["-H", &fake.host, "web", "true"]).response();
    assert_eq!(fake.requests().len(), 3, "{:?}", fake.requests());
    assert!(fake.connections() <= 2);
}

/// An answer of an engine that names itself in the `Server` header.
fn from(server: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nServer: {server}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const EXITED: &str = "{\"State\":{\"Status\":\"exited\"}}";
const RUNNING: &str = "{\"State\":{\"Status\":\"running\"}}";

#[test]
fn start_error_of_an_ending_container_is_reported() {
    let oci = "OCI runtime exec failed: exec failed: ";
    let podman = "\nError: read unixpacket @->/proc/self/fd/14/attach: read: connection reset by peer\n";
    let docker = ("Docker/20.10.24 (linux)", 1, "126");
    let libpod = ("Libpod/4.3.1 (linux)", 2, "125");
    for ((server, stream_of_words, code), words, is_sure) in [
        (docker, "cannot exec in a stopped state: unknown\r\n".to_owned(), true),
        (docker, "cannot exec in a deleted state: unknown\r\n".to_owned(), true),
        (
            docker,
            format!("{oci}cannot exec in a stopped container: unknown\r\n"),
            true,
        ),
        (docker, "task 0123456789ab not found: not found\r\n".to_owned(), true),
        (
            docker,
            format!(
                "{oci}unable to start container process: error executing setns process: exit status 1: unknown\r\n"
            ),
            false,
        ),
        (
            docker,
            format!("{oci}unable to start container process: read init-p: connection reset by peer: unknown\r\n"),
            false,
        ),
        (
            docker,
            format!("{oci}unable to start container process: write init-p: broken pipe: unknown\r\n"),
            false,
        ),
        (
            libpod,
            format!("Error: runc: exec failed: cannot exec in a stopped container: OCI runtime error{podman}"),
            true,
        ),
        (
            libpod,
            format!(
                "Error: runc: exec failed: unable to start container process: error executing setns process: exit status 1: OCI runtime error{podman}"
            ),
            false,
        ),
    ] {
        for container in [EXITED, RUNNING] {
            let has_pid = if code == "126" { 0 } else { 7 };
            let inspect = format!("{{\"Running\":false,\"ExitCode\":{code},\"Pid\":{has_pid}}}");
            let response = run(Script {
                start: stream(&[frame(stream_of_words, words.as_bytes())]).into(),
                inspect: from(server, &inspect).into(),
                container: from(server, container).into(),
                top: from(server, "{\"Processes\":[[\"1\",\"S\"]],\"Titles\":[\"PID\",\"STATE\"]}").into(),
                ..Script::default()
            });
            let kind = if is_sure || container == EXITED {
                "containerNotRunning"
            } else {
                "engineError"
            };
            assert_eq!(response["errorKind"], kind, "{response}");
            assert_eq!(response["stderr"], words.trim_end(), "{response}");
        }
    }
}

#[test]
fn call_error_of_an_ending_container_is_reported() {
    for (words, is_sure) in [
        ("cannot exec in a stopped state: unknown", true),
        ("task 0123456789ab not found: not found", true),
        ("read init-p: connection reset by peer: unknown", false),
        ("words that nobody has seen yet", false),
    ] {
        for container in [EXITED, RUNNING] {
            let refusal = || answer("500 Oops", &format!("{{\"message\":\"{words}\"}}")).into();
            for script in [
                Script {
                    create: refusal(),
                    ..Script::default()
                },
                Script {
                    start: refusal(),
                    ..Script::default()
                },
            ] {
                let response = run(Script {
                    container: answer("200 OK", container).into(),
                    ..script
                });
                let kind = if is_sure || container == EXITED {
                    "containerNotRunning"
                } else {
                    "engineError"
                };
                assert_eq!(
                    (&response["exitCode"], &response["errorKind"]),
                    (&1.into(), &kind.into()),
                    "{response}"
                );
                assert_eq!(
                    response["stderr"],
                    format!("Error response from daemon: {words}"),
                    "{response}"
                );
            }
        }
    }
}

#[test]
fn podman_process_list_shows_that_the_container_runs() {
    let server = "Libpod/4.3.1 (linux)";
    for (processes, looks) in [("[[\"1\",\"S\"]]", 2), ("[]", 5), ("[[\"1\",\"Z\"]]", 5)] {
        let top = format!("{{\"Processes\":{processes},\"Titles\":[\"PID\",\"STATE\"]}}");
        let fake = Fake::start(Script {
            inspect: from(server, "{\"Running\":false,\"ExitCode\":137,\"Pid\":7}").into(),
            container: from(server, RUNNING).into(),
            top: from(server, &top).into(),
            ..Script::default()
        });
        let response = dexec(["-H", &fake.host, "web", "true"]).response();
        assert_eq!(
            (&response["exitCode"], response.get("errorKind")),
            (&137.into(), None),
            "{response}"
        );
        let requests = fake.requests();
        let is_look = |request: &&String| request.contains("/containers/web/json");
        assert_eq!(requests.iter().filter(is_look).count(), looks, "{requests:?}");
    }
}

#[test]
fn web_server_is_reported_as_not_an_engine() {
    for create in [
        answer("200 OK", "<!DOCTYPE html><html></html>"),
        answer("500 Oops", "\n <html><h1>it broke</h1></html>"),
        answer("405 Method Not Allowed", "{\"detail\":\"Method Not Allowed\"}"),
        answer("501 Unsupported method ('POST')", "<!DOCTYPE HTML>"),
        b"HTTP/1.1 301 Moved\r\nLocation: https://example.test/?token=secret\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 5\r\n\r\nFound".to_vec(),
    ] {
        let response = run(Script {
            create: create.into(),
            ..Script::default()
        });
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&1.into(), &"notAnEngine".into()),
            "{response}"
        );
        assert_eq!(response["stderr"], response["message"], "{response}");
        let shown = response.to_string();
        assert!(
            !shown.contains("daemon") && !shown.contains('<') && !shown.contains("secret"),
            "{shown}"
        );
    }
}

/// The proxy may have forwarded the start before it timed out.
#[test]
fn proxy_timeout_on_start_is_a_lost_connection() {
    for status in ["502 Bad Gateway", "504 Gateway Timeout"] {
        let engine = Fake::start(Script {
            start: answer(status, "<html><h1>no answer</h1></html>").into(),
            ..Script::default()
        });
        let response = dexec(["-H", &engine.host, "web", "true"]).response();
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&json!(255), &json!("connectionLost")),
            "{response}"
        );
        let asks = engine.requests().iter().any(|request| request.starts_with("PUT "));
        assert!(asks, "the command is not looked for: {:?}", engine.requests());
    }
}
