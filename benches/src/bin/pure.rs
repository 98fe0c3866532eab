//! The parts that only compute, done a number of times: `pure PART TIMES`. Run under callgrind, which counts.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use dexec::{Capture, End, Outcome, Output as _, Response, ResponseOptions};
use frames::Frames;
use output::Stream;

// Private in the crate, so its file is compiled once more here.
#[path = "../../../src/exec/frames.rs"]
mod frames;

mod output {
    pub(crate) use dexec::Stream;
}

const MIB: usize = 1024 * 1024;

/// As many bytes as are read at once.
const PIECE: usize = 128 * 1024;

fn main() {
    let mut words = std::env::args().skip(1);
    let part = words.next().expect("usage: pure PART TIMES");
    let times = words.next().and_then(|times| times.parse().ok());
    let times: usize = times.expect("usage: pure PART TIMES");
    let plain = || lines("a line of output, as many commands write it\n");
    let escapes = || lines("\x1b[1;32mok\x1b[0m a line with an é, in colours\n");
    let mut options = ResponseOptions::default();
    match part.as_str() {
        "frames-large" => repeat(times, &framed(32 * 1024), take_apart),
        "frames-small" => repeat(times, &framed(64), take_apart),
        "response-plain" => repeat(times, &plain(), |text| respond(text, &options)),
        "response-escapes" => repeat(times, &escapes(), |text| respond(text, &options)),
        "response-limit" => {
            options.limit = Some(20_000);
            options.compact = true;
            repeat(times, &plain(), |text| respond(text, &options));
        }
        "response-json" => {
            options.parse_json = true;
            repeat(times, &numbers(), |text| respond(text, &options));
        }
        _ => panic!("no part is called {part}"),
    }
}

fn repeat(times: usize, input: &Bytes, work: impl Fn(&Bytes)) {
    for _ in 0..times {
        work(black_box(input));
    }
}

/// A mebibyte of output in frames of this size.
fn framed(size: usize) -> Bytes {
    let length = u32::try_from(size).expect("a frame is not as large").to_be_bytes();
    let frame = [&[1, 0, 0, 0][..], &length, &vec![b'x'; size]].concat();
    frame.repeat(MIB / size).into()
}

fn lines(line: &str) -> Bytes {
    line.repeat(MIB / line.len()).into()
}

fn numbers() -> Bytes {
    let numbers: Vec<usize> = (0..MIB / 8).map(|number| number + 1_000_000).collect();
    serde_json::to_vec(&numbers).expect("numbers are JSON").into()
}

fn take_apart(stream: &Bytes) {
    let mut frames = Frames::default();
    let mut bytes = BytesMut::with_capacity(PIECE);
    for piece in stream.chunks(PIECE) {
        bytes.extend_from_slice(piece);
        while let Some(taken) = frames.next(&mut bytes).expect("the stream is an engine's") {
            black_box(taken);
        }
    }
    assert!(frames.is_whole(&bytes));
}

/// From the pieces in which output comes to the line that is printed.
fn respond(text: &Bytes, options: &ResponseOptions) {
    let mut capture = Capture::default();
    for start in (0..text.len()).step_by(PIECE) {
        let piece = text.slice(start..text.len().min(start + PIECE));
        let written = pin!(capture.write(Stream::Stdout, piece)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(written, Poll::Ready(Ok(()))), "memory always takes it");
    }
    let (stdout, stderr) = capture.finish();
    let response = Response::new(Outcome::new(End::Exited { code: 0 }, stdout, stderr), options);
    let mut line = Vec::new();
    serde_json::to_writer(&mut line, &response).expect("memory takes it");
    black_box(line);
}
