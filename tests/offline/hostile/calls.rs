//! Bad responses to each call of a command.

use super::*;

fn create(answer: Answer) -> Ran {
    let ran = run(Script {
        create: answer,
        ..Script::default()
    });
    assert_eq!(ran.requests.len(), 1, "{:?}", ran.requests);
    ran.assert_little_memory();
    ran
}

#[test]
fn create_response_that_is_not_http_is_refused() {
    test_each(bad_heads(), |answer| {
        let ran = create(answer);
        ran.assert_refused("notAnEngine", "create the command");
        ran
    });
}

#[test]
fn create_response_with_an_endless_body_is_refused() {
    test_each(endless_bodies(), |answer| {
        let ran = create(answer);
        ran.assert_refused("notAnEngine", "create the command");
        ran
    });
}

#[test]
fn create_response_with_endless_small_chunks_is_refused() {
    let head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let ran = create(Answer::Endless(head, b"1\r\nx\r\n".to_vec()));
    assert_eq!(ran.code(), 1);
    ran.assert_message("create the command");
}

#[test]
fn create_response_with_a_broken_body_is_refused() {
    test_each(broken_bodies(), |answer| {
        let ran = create(answer);
        // A connection that breaks may be the fault of the network or of the server, so either kind is correct.
        assert!(
            ["notAnEngine", "engineUnreachable"].contains(&ran.kind()),
            "{}",
            ran.response
        );
        ran.assert_refused(ran.kind(), "create the command");
        ran
    });
}

#[test]
fn create_response_with_wrong_json_is_refused() {
    test_each(wrong_json(), |answer| {
        let ran = create(answer);
        ran.assert_refused("notAnEngine", "create the command");
        ran
    });
}

#[test]
fn create_response_with_an_unexpected_status_is_refused() {
    let answer = |status: &str| Answer::Bytes(json(status, "{\"Id\":\"0123\"}"));
    let cases = vec![
        ("a redirection", answer("302 Found\r\nLocation: http://elsewhere/")),
        (
            "not modified",
            Answer::Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()),
        ),
        ("an upgrade", Answer::Bytes(stream(&[frame(1, b"x")]))),
        ("no content", Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())),
        ("a status of no class", answer("999 What")),
    ];
    test_each(cases, |answer| {
        let ran = create(answer);
        assert_eq!(ran.code(), 1, "{}", ran.response);
        assert!(["notAnEngine", "engineError"].contains(&ran.kind()), "{}", ran.response);
        ran.assert_message("create the command");
        ran
    });
}

#[test]
fn start_response_that_is_not_http_loses_the_connection() {
    test_each(bad_heads(), |answer| {
        let ran = run(Script {
            start: answer,
            ..Script::default()
        });
        ran.assert_lost("start the command");
        assert_eq!(ran.response["stdout"], "", "{}", ran.response);
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn start_response_without_an_upgrade_loses_the_connection() {
    let cases = [endless_bodies(), broken_bodies(), wrong_json()].concat();
    test_each(cases, |answer| {
        let ran = run(Script {
            start: answer,
            ..Script::default()
        });
        ran.assert_lost("the connection");
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn bad_inspect_response_loses_the_connection() {
    test_each(bad_responses(), |answer| {
        let ran = run(Script {
            inspect: answer,
            ..Script::default()
        });
        ran.assert_lost("inspect the command");
        assert_eq!(ran.response["stdout"], "x", "{}", ran.response);
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn negative_exit_code_is_not_accepted() {
    for code in ["-1", "-9223372036854775808"] {
        let inspect = format!("{{\"Running\":false,\"ExitCode\":{code},\"Pid\":0}}");
        let ran = run(Script {
            inspect: json("200 OK", &inspect).into(),
            ..Script::default()
        });
        assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{}", ran.response);
        ran.assert_message("does not report the exit code");
    }
}

/// The command line in the response is not needed, and is not kept.
#[test]
fn inspect_does_not_keep_a_long_command_line() {
    let arguments = "\"\",".repeat(14 * 1024 * 1024 / 3);
    let state = "{\"Running\":false,\"ExitCode\":3,\"Pid\":7";
    let ran = run(Script {
        inspect: json(
            "200 OK",
            &format!("{state},\"ProcessConfig\":{{\"arguments\":[{arguments}\"\"]}}}}"),
        )
        .into(),
        ..Script::default()
    });
    assert_eq!(ran.response["exitCode"], 3, "{}", ran.response);
    ran.assert_little_memory();
}

#[test]
fn bad_container_list_still_reports_the_missing_container() {
    let missing = || json("404 Not Found", "{\"message\":\"No such container: web\"}");
    test_each(bad_responses(), |answer| {
        let ran = run(Script {
            create: missing().into(),
            containers: answer,
            ..Script::default()
        });
        ran.assert_refused("containerNotFound", "container `web` not found");
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn large_container_list_uses_bounded_memory() {
    let missing = || json("404 Not Found", "{\"message\":\"No such container: web\"}");
    let list = |one: &str, times: usize| {
        let items = vec![one; times].join(",");
        Answer::Bytes(json("200 OK", &format!("[{items}]")))
    };
    let long = "n".repeat(10_000_000);
    let cases = vec![
        ("many containers", list("{\"Id\":\"\"}", 1_500_000)),
        (
            "many names",
            list(
                &format!("{{\"Id\":\"\",\"Names\":[{}\"\"]}}", "\"\",".repeat(5_000_000)),
                1,
            ),
        ),
        (
            "a long name",
            list(
                &format!("{{\"Id\":\"\",\"Names\":[\"/{long}\"],\"State\":\"running\"}}"),
                1,
            ),
        ),
        (
            "names of escapes",
            list(
                "{\"Id\":\"\",\"Names\":[\"/\\u001b[31m\\n\\u0000\"],\"State\":\"running\"}",
                3,
            ),
        ),
    ];
    test_each(cases, |answer| {
        let ran = run(Script {
            create: missing().into(),
            containers: answer,
            ..Script::default()
        });
        ran.assert_refused("containerNotFound", "container `web` not found");
        assert!(!ran.message().contains(['\x1b', '\0']), "{}", ran.response);
        assert!(ran.message().len() < 4096, "{} bytes", ran.message().len());
        // Five million names in 15 MB become five million strings.
        assert!(ran.peak < 192 * 1024, "{} KiB", ran.peak);
        ran
    });
}

#[test]
fn bad_container_response_does_not_change_the_exit_code() {
    test_each(bad_responses(), |answer| {
        let ran = run(Script {
            inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":137,\"Pid\":7}").into(),
            container: answer,
            ..Script::default()
        });
        ran.assert_exited(137);
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn unknown_exec_with_a_bad_container_response_may_still_run() {
    test_each(bad_responses(), |answer| {
        let ran = run(Script {
            inspect: json("404 Not Found", "{\"message\":\"No such exec instance: 01\"}").into(),
            container: answer,
            ..Script::default()
        });
        ran.assert_lost("the engine no longer knows the command");
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn endless_informational_responses_time_out() {
    let again = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    let script = Script {
        create: Answer::Endless(Vec::new(), again),
        ..Script::default()
    };
    // hyper skips such responses, so only the timeout of the final one ends the call.
    let ran = run_with(script, &[]);
    assert_eq!(ran.code(), 1);
    ran.assert_message("create the command");
    ran.assert_little_memory();
}

#[test]
fn unrequested_response_is_ignored() {
    let ended = json("200 OK", "{\"Running\":false,\"ExitCode\":0,\"Pid\":7}");
    let early = [json("201 Created", &format!("{{\"Id\":\"{EXEC_ID}\"}}")), ended].concat();
    let ran = run(Script {
        create: early.into(),
        start: stream(&[frame(1, b"y")]).into(),
        inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":9,\"Pid\":7}").into(),
        ..Script::default()
    });
    let stdout = &ran.response["stdout"];
    assert_eq!((ran.code(), stdout), (9, &"y".into()), "{}", ran.response);
}

#[test]
fn responses_can_arrive_byte_by_byte() {
    let byte_by_byte = |answer: Answer| match answer {
        Answer::Bytes(bytes) => Answer::ByteByByte(bytes),
        other => other,
    };
    let good = Script::default();
    let ran = run(Script {
        create: byte_by_byte(good.create),
        start: Answer::ByteByByte(stream(&[frame(1, "é€x".as_bytes()), frame(2, b"e"), frame(1, b"")])),
        inspect: byte_by_byte(good.inspect),
        ..Script::default()
    });
    assert_eq!((ran.code(), ran.kind()), (0, ""), "{}", ran.response);
    assert_eq!(
        (&ran.response["stdout"], &ran.response["stderr"]),
        (&"é€x".into(), &"e".into())
    );
}

#[test]
fn unusual_exit_codes_are_not_success() {
    for code in ["256", "4294967296", "9223372036854775807"] {
        let fake = Fake::start(Script {
            inspect: json(
                "200 OK",
                &format!("{{\"Running\":false,\"ExitCode\":{code},\"Pid\":7}}"),
            )
            .into(),
            ..Script::default()
        });
        let done = dexec(["-H", &fake.host, "web", "true"]).run();
        let response: Value = serde_json::from_slice(&done.stdout).expect("a response is JSON");
        assert_ne!(done.code, 0, "{code}");
        assert_eq!(response["exitCode"].to_string(), code);
        assert_eq!(response["success"], false, "{code}");
    }
    for code in ["9223372036854775808", "1e3", "0.0", "\"0\"", "[]", "false"] {
        let ran = run(Script {
            inspect: json(
                "200 OK",
                &format!("{{\"Running\":false,\"ExitCode\":{code},\"Pid\":7}}"),
            )
            .into(),
            ..Script::default()
        });
        assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{code}");
    }
}
