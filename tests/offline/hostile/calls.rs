//! Each call of a command, with bad answers.

use super::*;

fn create(answer: Answer) -> Ran {
    let ran = run(Script {
        create: answer,
        ..Script::default()
    });
    assert_eq!(ran.requests.len(), 1, "{:?}", ran.requests);
    ran.is_small();
    ran
}

#[test]
fn create_without_http() {
    each(heads(), |answer| {
        let ran = create(answer);
        ran.is_refused("notAnEngine", "create the command");
        ran
    });
}

#[test]
fn create_with_an_endless_body() {
    each(endless_bodies(), |answer| {
        let ran = create(answer);
        ran.is_refused("notAnEngine", "create the command");
        ran
    });
}

#[test]
fn create_with_endless_chunks_of_one_byte() {
    let head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let ran = create(Answer::Endless(head, b"1\r\nx\r\n".to_vec()));
    assert_eq!(ran.code(), 1);
    ran.says("create the command");
}

#[test]
fn create_with_a_broken_body() {
    each(broken_bodies(), |answer| {
        let ran = create(answer);
        // A connection that breaks may be the fault of the network or of the server, so either kind is correct.
        assert!(
            ["notAnEngine", "engineUnreachable"].contains(&ran.kind()),
            "{}",
            ran.response
        );
        ran.is_refused(ran.kind(), "create the command");
        ran
    });
}

#[test]
fn create_with_wrong_json() {
    each(wrong_json(), |answer| {
        let ran = create(answer);
        ran.is_refused("notAnEngine", "create the command");
        ran
    });
}

#[test]
fn create_with_a_status_that_nobody_asked_for() {
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
    each(cases, |answer| {
        let ran = create(answer);
        assert_eq!(ran.code(), 1, "{}", ran.response);
        assert!(["notAnEngine", "engineError"].contains(&ran.kind()), "{}", ran.response);
        ran.says("create the command");
        ran
    });
}

#[test]
fn start_without_http() {
    each(heads(), |answer| {
        let ran = run(Script {
            start: answer,
            ..Script::default()
        });
        ran.is_lost("start the command");
        assert_eq!(ran.response["stdout"], "", "{}", ran.response);
        ran.is_small();
        ran
    });
}

#[test]
fn start_with_a_body_instead_of_a_stream() {
    let cases = [endless_bodies(), broken_bodies(), wrong_json()].concat();
    each(cases, |answer| {
        let ran = run(Script {
            start: answer,
            ..Script::default()
        });
        ran.is_lost("the connection");
        ran.is_small();
        ran
    });
}

#[test]
fn inspect_with_anything() {
    each(all(), |answer| {
        let ran = run(Script {
            inspect: answer,
            ..Script::default()
        });
        ran.is_lost("inspect the command");
        assert_eq!(ran.response["stdout"], "x", "{}", ran.response);
        ran.is_small();
        ran
    });
}

#[test]
fn a_negative_exit_code_is_none() {
    for told in ["-1", "-9223372036854775808"] {
        let inspect = format!("{{\"Running\":false,\"ExitCode\":{told},\"Pid\":0}}");
        let ran = run(Script {
            inspect: json("200 OK", &inspect).into(),
            ..Script::default()
        });
        assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{}", ran.response);
        ran.says("does not tell the exit code");
    }
}

/// The command line in the answer is not needed, and is not kept.
#[test]
fn inspect_with_a_command_line_of_many_arguments() {
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
    ran.is_small();
}

#[test]
fn a_list_of_anything_hides_no_missing_container() {
    let missing = || json("404 Not Found", "{\"message\":\"No such container: web\"}");
    each(all(), |answer| {
        let ran = run(Script {
            create: missing().into(),
            containers: answer,
            ..Script::default()
        });
        ran.is_refused("containerNotFound", "no container is called `web`");
        ran.is_small();
        ran
    });
}

#[test]
fn a_list_of_many_or_long_names_costs_little() {
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
    each(cases, |answer| {
        let ran = run(Script {
            create: missing().into(),
            containers: answer,
            ..Script::default()
        });
        ran.is_refused("containerNotFound", "no container is called `web`");
        assert!(!ran.message().contains(['\x1b', '\0']), "{}", ran.response);
        assert!(ran.message().len() < 4096, "{} bytes", ran.message().len());
        // Five million names in 15 MB become five million strings.
        assert!(ran.peak < 192 * 1024, "{} KiB", ran.peak);
        ran
    });
}

#[test]
fn a_container_of_which_nothing_is_told_alters_no_exit_code() {
    each(all(), |answer| {
        let ran = run(Script {
            inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":137,\"Pid\":7}").into(),
            container: answer,
            ..Script::default()
        });
        ran.is_ended(137);
        ran.is_small();
        ran
    });
}

#[test]
fn a_container_of_which_nothing_is_told_may_hold_a_forgotten_command() {
    each(all(), |answer| {
        let ran = run(Script {
            inspect: json("404 Not Found", "{\"message\":\"No such exec instance: 01\"}").into(),
            container: answer,
            ..Script::default()
        });
        ran.is_lost("the engine does not know the command any more");
        ran.is_small();
        ran
    });
}

#[test]
fn informational_answers_without_end() {
    let again = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    let script = Script {
        create: Answer::Endless(Vec::new(), again),
        ..Script::default()
    };
    // hyper skips such responses, so only the timeout of the final one ends the call.
    let ran = run_with(script, &[]);
    assert_eq!(ran.code(), 1);
    ran.says("create the command");
    ran.is_small();
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_believed() {
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
fn answers_byte_by_byte_are_as_good() {
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
fn strange_exit_codes_are_no_success() {
    for told in ["256", "4294967296", "9223372036854775807"] {
        let fake = Fake::start(Script {
            inspect: json(
                "200 OK",
                &format!("{{\"Running\":false,\"ExitCode\":{told},\"Pid\":7}}"),
            )
            .into(),
            ..Script::default()
        });
        let done = dexec(["-H", &fake.host, "web", "true"]).run();
        let response: Value = serde_json::from_slice(&done.stdout).expect("a response is JSON");
        assert_ne!(done.code, 0, "{told}");
        assert_eq!(response["exitCode"].to_string(), told);
        assert_eq!(response["success"], false, "{told}");
    }
    for told in ["9223372036854775808", "1e3", "0.0", "\"0\"", "[]", "false"] {
        let ran = run(Script {
            inspect: json(
                "200 OK",
                &format!("{{\"Running\":false,\"ExitCode\":{told},\"Pid\":7}}"),
            )
            .into(),
            ..Script::default()
        });
        assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{told}");
    }
}
