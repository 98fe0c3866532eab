#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use dexec::{End, Error, Signal, StopCause};
use serde_json::json;

fn shape() -> AnswerOptions {
    AnswerOptions {
        answers: Answers::Both,
        structured: Structured::Compact,
        limit: None,
        default_limit: 1000,
        parse_json: false,
        keep_newline: false,
        keep_ansi: false,
        id_size: 0,
    }
}

fn text_of(end: End, stdout: &str, stderr: &str) -> String {
    let outcome = Outcome::new(
        end,
        stdout.as_bytes().to_vec().into(),
        stderr.as_bytes().to_vec().into(),
    );
    let result = shape().answer(outcome);
    result.content[0].as_text().unwrap().text.clone()
}

#[test]
fn text_ends_with_a_status_line() {
    let stopped = End::Stopped {
        cause: StopCause::Timeout,
        signal: Some(Signal::Kill),
        orphaned: Some("the container is paused".to_owned()),
        error: None,
    };
    assert_eq!(
        text_of(stopped, "so far\n", ""),
        "so far\n[exit 124, timed out, may still be running, ended by SIGKILL, The command may still be running in the \
         container: the container is paused]"
    );
    let lost = End::ConnectionLost {
        error: Error::new(ErrorKind::ConnectionLost, "the engine\nhas gone"),
        may_run: true,
    };
    assert_eq!(
        text_of(lost, "", "e"),
        "[stderr]\ne\n[exit 255, may still be running, connectionLost: the engine has gone]"
    );
}

#[test]
fn error_message_appears_once() {
    let error = Error::new(ErrorKind::RefusedByPolicy, "no");
    assert_eq!(text_of(End::NotRun(error), "", ""), "[exit 1, refusedByPolicy: no]");
}

#[test]
fn result_fits_in_one_message() {
    for byte in [b'a', 0, 0xff] {
        let output = vec![byte; 6_000_000];
        let end = End::Exited { code: 0 };
        let outcome = Outcome::new(end, output.clone().into(), output.into());
        let greedy = AnswerOptions {
            structured: Structured::Whole,
            limit: Some(usize::MAX),
            keep_ansi: true,
            parse_json: true,
            ..shape()
        };
        let result = greedy.answer(outcome);
        let size = serde_json::to_vec(&result).unwrap().len();
        assert!(
            size < MAX_MESSAGE_SIZE && size > MAX_MESSAGE_SIZE * 8 / 10,
            "{byte}: {size}"
        );
        let structure = result.structured_content.unwrap();
        assert_eq!(structure["isTruncated"], true);
    }
}

#[test]
fn structured_content_is_complete_when_the_text_is_truncated() {
    let outcome = Outcome::new(End::Exited { code: 0 }, vec![b'x'; 4_000_000].into(), Vec::new().into());
    let full = AnswerOptions {
        structured: Structured::Whole,
        ..shape()
    };
    let result = full.answer(outcome);
    let structure = result.structured_content.unwrap();
    assert_eq!(structure["stdout"].as_str().map(str::len), Some(4_000_000));
    assert_eq!(structure.get("isTruncated"), None);
    assert!(
        result.content[0]
            .as_text()
            .unwrap()
            .text
            .ends_with("\n[exit 0, truncated]")
    );
    assert_eq!(json!(result.is_error), json!(false));
}
