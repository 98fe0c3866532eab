#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::output::{Capture, Output as _, Stream};

const LISTING: &str = "total 32\ndrwxr-xr-x 1 root root 4096 Jan 15 10:00 .\ndrwxr-xr-x 1 root root 4096 Jan 15 09:00 \
                       ..\n-rw-r--r-- 1 root root  512 Jan 15 10:00 package.json\n-rw-r--r-- 1 root root 1024 Jan 15 \
                       10:00 server.js\ndrwxr-xr-x 1 root root 4096 Jan 15 10:00 node_modules\n";

fn exited(code: i64, stdout: &str, stderr: &str) -> Outcome {
    Outcome::new(
        End::Exited { code },
        stdout.as_bytes().to_vec().into(),
        stderr.as_bytes().to_vec().into(),
    )
}

fn ended(end: End, stdout: &str, stderr: &str) -> Outcome {
    Outcome {
        end,
        ..exited(0, stdout, stderr)
    }
}

fn json(outcome: Outcome, options: &ResponseOptions) -> String {
    serde_json::to_string(&Response::new(outcome, options)).unwrap()
}

fn plain(outcome: Outcome) -> String {
    json(outcome, &ResponseOptions::default())
}

fn compact() -> ResponseOptions {
    ResponseOptions {
        compact: true,
        ..ResponseOptions::default()
    }
}

fn parse_json() -> ResponseOptions {
    ResponseOptions {
        parse_json: true,
        ..ResponseOptions::default()
    }
}

#[test]
fn full_response_matches_the_documented_example() {
    assert_eq!(
        plain(exited(0, LISTING, "")),
        r#"{"exitCode":0,"stdout":"total 32\ndrwxr-xr-x 1 root root 4096 Jan 15 10:00 .\ndrwxr-xr-x 1 root root 4096 Jan 15 09:00 ..\n-rw-r--r-- 1 root root  512 Jan 15 10:00 package.json\n-rw-r--r-- 1 root root 1024 Jan 15 10:00 server.js\ndrwxr-xr-x 1 root root 4096 Jan 15 10:00 node_modules","stderr":"","success":true}"#
    );
}

#[test]
fn compact_response_matches_the_documented_example() {
    assert_eq!(
        json(exited(0, LISTING, ""), &compact()),
        r#"{"exitCode":0,"success":true}"#
    );
}

#[test]
fn error_response_matches_the_documented_example() {
    let text = "OCI runtime exec failed: exec failed: unable to start container process";
    assert_eq!(
        plain(exited(126, "", text)),
        r#"{"exitCode":126,"stdout":"","stderr":"OCI runtime exec failed: exec failed: unable to start container process","success":false}"#
    );
}

#[test]
fn one_final_newline_is_removed() {
    for (written, shown) in [
        ("", ""),
        ("\n", ""),
        ("\r\n", ""),
        ("a", "a"),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\n\n", "a\n"),
        ("a\r", "a\r"),
        ("a\n\r", "a\n\r"),
        ("a\n\x1b[0m", "a"),
    ] {
        let response = Response::new(exited(0, written, written), &ResponseOptions::default());
        assert_eq!(response.stdout.as_deref(), Some(shown), "{written:?}");
        assert_eq!(response.stderr.as_deref(), Some(shown), "{written:?}");
    }
}

#[test]
fn newlines_and_escapes_are_kept_on_request() {
    let options = ResponseOptions {
        keep_newline: true,
        keep_ansi: true,
        ..ResponseOptions::default()
    };
    let response = Response::new(exited(0, "\x1b[31mred\x1b[0m\n", ""), &options);
    assert_eq!(response.stdout.as_deref(), Some("\x1b[31mred\x1b[0m\n"));
}

#[test]
fn invalid_utf8_sets_is_lossy() {
    let outcome = Outcome::new(End::Exited { code: 0 }, b"a\xffb".to_vec().into(), Vec::new().into());
    assert_eq!(
        plain(outcome),
        "{\"exitCode\":0,\"stdout\":\"a\u{fffd}b\",\"stderr\":\"\",\"success\":true,\"isLossy\":true}"
    );
}

#[test]
fn compact_compares_character_counts_divided_by_four() {
    // {"exitCode":0,"stdout":"","stderr":"","success":true} has 53 characters, and each character of output adds one.
    let cost = |characters: usize| {
        let outcome = exited(0, &"x".repeat(characters), "");
        json(outcome, &compact()).contains("stdout")
    };
    assert!(
        !cost(1) && !cost(1000),
        "the response always has more characters than the bare output"
    );
    // Escapes count as raw output but are removed from the response.
    let coloured = exited(0, &"\x1b[31mx\x1b[0m".repeat(100), "");
    assert!(json(coloured, &compact()).contains("stdout"));
    // A limit makes the response small.
    let limited = ResponseOptions {
        limit: Some(10),
        ..compact()
    };
    assert!(json(exited(0, &"x".repeat(1000), ""), &limited).contains("stdout"));
    // 53 + 10 + `,"isTruncated":true` = 82 characters, which cost 21.
    assert!(!json(exited(0, &"x".repeat(80), ""), &limited).contains("stdout"));
    assert!(json(exited(0, &"x".repeat(81), ""), &limited).contains("stdout"));
}

#[test]
fn compact_keeps_every_other_field() {
    let outcome = exited(0, "{\"a\":1}", "");
    let options = ResponseOptions {
        limit: Some(3),
        compact: true,
        parse_json: true,
        ..ResponseOptions::default()
    };
    assert_eq!(
        json(outcome, &options),
        r#"{"exitCode":0,"success":true,"isTruncated":true}"#
    );
    let refused = ended(
        End::NotRun(Error::new(ErrorKind::ContainerPaused, "it is paused")),
        "",
        "",
    );
    assert_eq!(
        json(refused, &compact()),
        r#"{"exitCode":1,"success":false,"message":"it is paused","errorKind":"containerPaused"}"#
    );
}

#[test]
fn limit_applies_to_each_stream() {
    let options = ResponseOptions {
        limit: Some(2),
        ..ResponseOptions::default()
    };
    let response = Response::new(exited(0, "abc", "de"), &options);
    assert_eq!(response.stdout.as_deref(), Some("ab"));
    assert_eq!(response.stderr.as_deref(), Some("de"));
    assert!(response.is_truncated);
    // The newline that is removed does not count.
    assert!(!Response::new(exited(0, "ab\n", ""), &options).is_truncated);
    let none = ResponseOptions {
        limit: Some(0),
        ..ResponseOptions::default()
    };
    assert_eq!(Response::new(exited(0, "abc", ""), &none).stdout.as_deref(), Some(""));
}

#[tokio::test(flavor = "current_thread")]
async fn omitted_output_is_counted_without_escapes() {
    let mut capture = Capture::with_limit(8);
    for piece in ["ab\x1b[3", "1mcdéfghij", "kl\x1b[0mmn\n"] {
        capture.write(Stream::Stdout, piece.into()).await.unwrap();
    }
    let (stdout, stderr) = capture.finish();
    let outcome = Outcome::new(End::Exited { code: 0 }, stdout, stderr);
    let response = Response::new(outcome, &parse_json());
    // The head is "ab" and the start of an escape; the tail is the end of another escape and "mn".
    assert_eq!(response.stdout.as_deref(), Some("ab\n[… 10 characters left out …]\nmn"));
    assert!(response.is_truncated);
    assert!(response.parse_json_error.unwrap().contains("too large to parse"));
}

#[test]
fn parsed_json_is_added_to_the_text() {
    let outcome = exited(0, "{\n  \"b\": 1.0,\n  \"a\": []\n}\n", "");
    assert_eq!(
        json(outcome, &parse_json()),
        r#"{"exitCode":0,"stdout":"{\n  \"b\": 1.0,\n  \"a\": []\n}","stderr":"","success":true,"json":{"b":1.0,"a":[]}}"#
    );
}

#[test]
fn json_is_parsed_before_the_limit() {
    let options = ResponseOptions {
        limit: Some(1),
        ..parse_json()
    };
    let response = Response::new(exited(0, "[1,2]", ""), &options);
    assert_eq!(response.json.unwrap().get(), "[1,2]");
    assert_eq!(response.stdout.as_deref(), Some("["));
}

#[test]
fn invalid_json_is_reported() {
    let response = Response::new(exited(0, "hello", ""), &parse_json());
    assert!(response.json.is_none());
    assert_eq!(
        response.parse_json_error.as_deref(),
        Some("stdout is not JSON: expected value at line 1 column 1")
    );
    let large = format!("[{}0]", "0,".repeat(MAX_JSON_SIZE / 2));
    let response = Response::new(exited(0, &large, ""), &parse_json());
    assert!(response.parse_json_error.unwrap().contains("too large to parse"));
    // The text of a failure is not the command's output, so it is not parsed as JSON.
    let refused = ended(End::NotRun(Error::new(ErrorKind::EngineError, "no")), "", "");
    assert!(Response::new(refused, &parse_json()).parse_json_error.is_none());
}

#[test]
fn failed_start_message_is_in_stderr() {
    let error = || Error::new(ErrorKind::CommandNotFound, "it is not there");
    // Docker sends the message as standard output, Podman as standard error.
    for (stdout, stderr) in [("OCI runtime exec failed\r\n", ""), ("", "OCI runtime exec failed\n")] {
        let outcome = ended(
            End::StartFailed {
                code: 127,
                error: error(),
            },
            stdout,
            stderr,
        );
        assert_eq!(
            plain(outcome),
            r#"{"exitCode":127,"stdout":"","stderr":"OCI runtime exec failed","success":false,"message":"it is not there","errorKind":"commandNotFound"}"#
        );
    }
}

#[test]
fn refusal_has_the_docker_message_and_the_dexec_message() {
    let error = Error::new(ErrorKind::ContainerNotFound, "container `x` not found")
        .with_docker_text("Error response from daemon: No such container: x");
    assert_eq!(
        plain(ended(End::NotRun(error), "", "")),
        r#"{"exitCode":1,"stdout":"","stderr":"Error response from daemon: No such container: x","success":false,"message":"container `x` not found","errorKind":"containerNotFound"}"#
    );
}

#[test]
fn response_fits_in_the_maximum_size() {
    let within = |outcome: Outcome, parse_json: bool, largest: usize| {
        let options = ResponseOptions {
            parse_json,
            largest: Some(largest),
            ..ResponseOptions::default()
        };
        let response = Response::new(outcome, &options);
        let size = serde_json::to_string(&response).unwrap().len();
        assert!(size <= largest, "{size} > {largest}");
        response
    };
    let array = format!("[{}1]", "1,".repeat(1000));
    let response = within(exited(0, &array, ""), true, 5000);
    assert!(response.json.is_some() && response.stdout.as_deref() == Some(&array));
    let response = within(exited(0, &array, ""), true, 3000);
    assert!(response.json.is_none() && !response.is_truncated);
    assert!(
        response
            .parse_json_error
            .is_some_and(|reason| reason.contains("too large"))
    );
    assert_eq!(response.stdout.as_deref(), Some(array.as_str()));

    let response = within(exited(0, &"x\n".repeat(5000), "short"), false, 3000);
    assert!(response.is_truncated);
    assert_eq!(response.stderr.as_deref(), Some("short"));
    let stdout = response.stdout.unwrap();
    assert!(
        stdout.contains("characters left out") && stdout.len() > 1000,
        "{stdout}"
    );

    let response = within(exited(0, &"\0".repeat(5000), &"\u{1}".repeat(5000)), false, 3000);
    let lengths = [response.stdout, response.stderr].map(|text| text.unwrap().chars().count());
    assert!(lengths.iter().all(|length| (150..300).contains(length)), "{lengths:?}");
}

#[test]
fn lost_connection_keeps_the_output() {
    let error = Error::new(ErrorKind::ConnectionLost, "lost");
    let outcome = ended(End::ConnectionLost { error, may_run: true }, "so far", "");
    assert_eq!(
        plain(outcome),
        r#"{"exitCode":255,"stdout":"so far","stderr":"","success":false,"orphaned":true,"message":"lost","errorKind":"connectionLost"}"#
    );
}

#[test]
fn a_detached_command_has_an_id() {
    assert_eq!(
        plain(ended(
            End::Detached {
                exec_id: "12ab".to_owned()
            },
            "",
            ""
        )),
        r#"{"exitCode":0,"stdout":"","stderr":"","success":true,"execId":"12ab"}"#
    );
}

#[test]
fn response_without_output_has_only_the_result() {
    let response = Response::without_output(&End::Exited { code: 3 });
    assert_eq!(
        serde_json::to_string(&response).unwrap(),
        r#"{"exitCode":3,"success":false}"#
    );
}

#[test]
fn fields_are_serialized_in_order() {
    let response = Response {
        exit_code: 124,
        stdout: Some("o".to_owned()),
        stderr: Some("e".to_owned()),
        success: false,
        is_truncated: true,
        timed_out: true,
        signal: Some("SIGKILL".to_owned()),
        json: Some(RawValue::from_string("1".to_owned()).unwrap()),
        parse_json_error: Some("p".to_owned()),
        exec_id: Some("i".to_owned()),
        orphaned: true,
        is_lossy: true,
        message: Some("m".to_owned()),
        error_kind: Some(ErrorKind::EngineError),
    };
    assert_eq!(
        serde_json::to_string(&response).unwrap(),
        r#"{"exitCode":124,"stdout":"o","stderr":"e","success":false,"isTruncated":true,"timedOut":true,"signal":"SIGKILL","json":1,"parseJsonError":"p","execId":"i","orphaned":true,"isLossy":true,"message":"m","errorKind":"engineError"}"#
    );
}

/// Lists the error kinds with their names. The `match` does not compile if one is missing.
macro_rules! error_kinds {
    ($($kind:ident: $name:literal,)*) => {{
        let _is_complete = |kind| match kind {
            $(ErrorKind::$kind => (),)*
        };
        [$((ErrorKind::$kind, $name)),*]
    }};
}

#[test]
fn every_error_kind_has_its_name_and_is_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/output.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (kind, name) in error_kinds! {
        ContainerNotFound: "containerNotFound",
        AmbiguousContainer: "ambiguousContainer",
        ContainerNotRunning: "containerNotRunning",
        ContainerPaused: "containerPaused",
        ContainerRestarting: "containerRestarting",
        ContainerStopped: "containerStopped",
        CommandNotFound: "commandNotFound",
        CommandNotExecutable: "commandNotExecutable",
        WorkdirNotFound: "workdirNotFound",
        UserNotFound: "userNotFound",
        UnsupportedInContainer: "unsupportedInContainer",
        InvalidRequest: "invalidRequest",
        RefusedByPolicy: "refusedByPolicy",
        EngineUnreachable: "engineUnreachable",
        PermissionDenied: "permissionDenied",
        Tls: "tls",
        Ssh: "ssh",
        NotAnEngine: "notAnEngine",
        EngineTooOld: "engineTooOld",
        ConnectionLost: "connectionLost",
        Interrupted: "interrupted",
        OutputFailed: "outputFailed",
        EngineError: "engineError",
    } {
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{name}\""));
        assert!(page.contains(&format!("\n| `{name}` | ")), "{name}");
    }
}
