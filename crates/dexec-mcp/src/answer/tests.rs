#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use dexec::{End, Error, Signal, StopCause};
use serde_json::json;

fn shape() -> AnswerOptions {
    AnswerOptions {
        compact: true,
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
fn the_verdict_tells_all_that_is_not_usual() {
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
fn dexec_s_own_words_are_told_once() {
    let error = Error::new(ErrorKind::RefusedByPolicy, "no");
    assert_eq!(text_of(End::NotRun(error), "", ""), "[exit 1, refusedByPolicy: no]");
}

#[test]
fn no_answer_is_larger_than_a_message_may_be() {
    for byte in [b'a', 0, 0xff] {
        let output = vec![byte; 6_000_000];
        let end = End::Exited { code: 0 };
        let outcome = Outcome::new(end, output.clone().into(), output.into());
        let greedy = AnswerOptions {
            compact: false,
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
fn a_structured_part_is_whole_though_the_text_is_short() {
    let outcome = Outcome::new(End::Exited { code: 0 }, vec![b'x'; 4_000_000].into(), Vec::new().into());
    let full = AnswerOptions {
        compact: false,
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
