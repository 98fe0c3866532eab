//! The response to a command's output: the same for any cut, within its limits, and with nothing uncounted.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dexec::{Capture, Captured, End, Outcome, Output as _, Response, ResponseOptions, Stream};
use dexec_fuzz::{choices, pieces};
use libfuzzer_sys::fuzz_target;

fn captured(pieces: &[&[u8]], limit: usize) -> Captured {
    let mut capture = Capture::with_limit(limit);
    for piece in pieces {
        let piece = bytes::Bytes::copy_from_slice(piece);
        let written = pin!(capture.write(Stream::Stdout, piece)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(written, Poll::Ready(Ok(()))), "memory always takes it");
    }
    capture.finish().0
}

fn response(stdout: Captured, options: &ResponseOptions) -> Response {
    let outcome = Outcome::new(End::Exited { code: 0 }, stdout, Captured::default());
    Response::new(outcome, options)
}

fn characters(text: &str) -> u64 {
    text.chars().count() as u64
}

/// The number in the line that stands for what was left out, and how many characters that line itself has.
fn left_out(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.split_once("\n[… ")?;
    let (number, _) = rest.split_once(" characters left out …]\n")?;
    let marker = format!("\n[… {number} characters left out …]\n");
    Some((number.parse().ok()?, characters(&marker)))
}

fuzz_target!(|input: &[u8]| {
    let ([switches, limit, room], rest) = choices(input);
    let (stream, pieces) = pieces(rest);
    let switch = |number: u8| switches >> number & 1 == 1;
    let mut options = ResponseOptions::default();
    options.compact = switch(0);
    options.limit = switch(1).then_some(usize::from(limit) * 2);
    options.parse_json = switch(2);
    options.keep_newline = switch(3);
    options.keep_ansi = switch(4);
    let room = usize::from(room);

    let stdout = captured(&pieces, room);
    let kept = stream.len().min(room);
    assert_eq!(stdout.left_out(), (stream.len() - kept) as u64);
    assert_eq!(stdout.clone().into_bytes().len(), kept);
    let given = response(stdout, &options);
    let json = serde_json::to_string(&given).expect("a response is JSON");
    let in_one_piece = response(captured(&[stream], room), &options);
    assert_eq!(json, serde_json::to_string(&in_one_piece).expect("a response is JSON"));
    assert!(!json.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    // A command's own JSON may be too deep for this parser, and is taken all the same.
    assert!(value.is_object() || given.json.is_some());

    if let (Some(limit), Some(text)) = (options.limit, &given.stdout) {
        assert!(characters(text) <= limit as u64);
    }
    if given.json.is_some() || given.parse_json_error.is_some() {
        assert!(options.parse_json && given.json.is_some() != given.parse_json_error.is_some());
    }

    // Without a limit every character is there, or counted.
    options.compact = false;
    options.limit = None;
    options.keep_newline = true;
    let whole = response(Captured::from(stream.to_vec()), &options);
    let part = response(captured(&pieces, room), &options);
    let (whole, part) = (whole.stdout.unwrap_or_default(), part.stdout.unwrap_or_default());
    if stream.len() <= room {
        assert_eq!(part, whole);
    } else if !whole.contains("[…") {
        let (number, marker) = left_out(&part).expect("it says what is missing");
        assert_eq!(
            characters(&part) - marker + number,
            characters(&whole),
            "{part:?} of {whole:?}"
        );
    }
});
