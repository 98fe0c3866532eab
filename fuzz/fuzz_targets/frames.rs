//! The engine's framing: however it is cut, the same output and the same end.
#![no_main]

use bytes::{Buf as _, BytesMut};
use dexec_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

// Private in the crate, so its file is compiled once more here.
#[path = "../../src/exec/frames.rs"]
mod frames;

mod output {
    pub(crate) use dexec::Stream;
}

use frames::{FrameError, Frames};
use output::Stream;

#[derive(Debug, Default, PartialEq)]
struct Read {
    /// Every byte with its stream, in the order in which they came.
    output: Vec<(Stream, u8)>,
    /// Whether the stream may end here, or why it did before.
    end: Option<Result<bool, FrameError>>,
}

fn read(pieces: &[&[u8]]) -> Read {
    let mut frames = Frames::default();
    let mut bytes = BytesMut::new();
    let mut read = Read::default();
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            match frames.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some((stream, piece))) => {
                    assert!(!piece.is_empty(), "nothing was handed on");
                    read.output.extend(piece.iter().map(|byte| (stream, *byte)));
                }
                Err(error) => {
                    read.end = Some(Err(error));
                    return read;
                }
            }
        }
        assert!(bytes.len() < 8, "more than a header was held back");
    }
    read.end = Some(Ok(frames.is_whole(&bytes)));
    read
}

/// The same, read from the whole stream at once by the rules of the engine's documentation.
fn expected(mut stream: &[u8]) -> Read {
    let mut read = Read::default();
    let end = loop {
        if stream.len() < 8 {
            break Ok(stream.is_empty());
        }
        let kind = stream[0];
        stream.advance(4);
        let length = stream.get_u32() as usize;
        let (payload, rest) = stream.split_at(length.min(stream.len()));
        let of_the_output = |target| payload.iter().map(move |byte| (target, *byte));
        match kind {
            0 | 1 => read.output.extend(of_the_output(Stream::Stdout)),
            2 => read.output.extend(of_the_output(Stream::Stderr)),
            3 if payload.len() == length => {
                let kept = &payload[..payload.len().min(4096)];
                break Err(FrameError::Message(String::from_utf8_lossy(kept).trim().to_owned()));
            }
            3 => {}
            _ => break Err(FrameError::UnknownType(kind)),
        }
        if payload.len() < length {
            break Ok(false);
        }
        stream = rest;
    };
    read.end = Some(end);
    read
}

fuzz_target!(|input: &[u8]| {
    let (stream, pieces) = pieces(input);
    let read = read(&pieces);
    assert_eq!(read, expected(stream));
    assert!(read.output.len() <= stream.len());
});
