//! The framing with which an engine sends standard output and standard error over one connection.

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

use crate::output::Stream;
const HEADER: usize = 8;

/// How much of a message from the engine itself is kept.
const MAX_MESSAGE_LEN: usize = 4 * 1024;

/// Decodes the stream. The data of a frame is passed on as it arrives, never collected, so a large size in a header
/// needs no memory.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The target of the frame that is being read, and how many of its bytes are still missing.
    frame: Option<(Target, usize)>,
    /// The part of a message from the engine that has arrived.
    message: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Output(Stream),
    Message,
}

/// The stream is invalid, or contains an error message from the engine.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum FrameError {
    #[error("received a frame of unknown type {0}")]
    UnknownType(u8),
    #[error("the engine reported: {0}")]
    Message(String),
}

impl Frames {
    /// Removes the next piece of output from `bytes` and returns it; `None` if more bytes are needed.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<(Stream, Bytes)>, FrameError> {
        loop {
            let Some((target, left)) = self.frame else {
                if bytes.len() < HEADER {
                    return Ok(None);
                }
                let target = match bytes[0] {
                    // Docker's own client treats 0, standard input, as standard output.
                    0 | 1 => Target::Output(Stream::Stdout),
                    2 => Target::Output(Stream::Stderr),
                    3 => Target::Message,
                    unknown => return Err(FrameError::UnknownType(unknown)),
                };
                bytes.advance(4);
                self.frame = Some((target, bytes.get_u32() as usize));
                continue;
            };
            if left > 0 && bytes.is_empty() {
                return Ok(None);
            }
            let piece = bytes.split_to(left.min(bytes.len()));
            let left = left - piece.len();
            self.frame = (left > 0).then_some((target, left));
            match target {
                Target::Output(_) if piece.is_empty() => {}
                Target::Output(stream) => return Ok(Some((stream, piece.freeze()))),
                Target::Message => {
                    let room = MAX_MESSAGE_LEN - self.message.len();
                    self.message.extend_from_slice(&piece[..piece.len().min(room)]);
                    if left == 0 {
                        let message = String::from_utf8_lossy(&self.message).trim().to_owned();
                        return Err(FrameError::Message(message));
                    }
                }
            }
        }
    }

    /// Whether the stream may end here: after a whole frame, without any remaining bytes.
    pub(crate) fn is_whole(&self, rest: &BytesMut) -> bool {
        self.frame.is_none() && rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        [&[kind, 0, 0, 0][..], &length.to_be_bytes(), payload].concat()
    }

    /// Returns both streams, and whether the input ended after a whole frame.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), FrameError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut frames = Frames::default();
        let mut bytes = BytesMut::new();
        for piece in pieces {
            bytes.extend_from_slice(piece);
            while let Some((stream, piece)) = frames.next(&mut bytes)? {
                match stream {
                    Stream::Stdout => stdout.extend_from_slice(&piece),
                    Stream::Stderr => stderr.extend_from_slice(&piece),
                }
            }
        }
        Ok((stdout, stderr, frames.is_whole(&bytes)))
    }

    #[test]
    fn partial_frame_is_passed_on_immediately() {
        let mut frames = Frames::default();
        let mut bytes = BytesMut::from(&b"\x01\0\0\0\xff\xff\xff\xffab"[..]);
        assert_eq!(
            frames.next(&mut bytes),
            Ok(Some((Stream::Stdout, Bytes::from_static(b"ab"))))
        );
        assert_eq!(frames.next(&mut bytes), Ok(None));
        assert!(!frames.is_whole(&bytes));
    }

    #[test]
    fn end_within_a_frame_is_detected() {
        for (stream, is_whole) in [
            (&b""[..], true),
            (b"\x01\0\0", false),
            (b"\x01\0\0\0\0\0\0\x02a", false),
            (b"\x01\0\0\0\0\0\0\x02ab", true),
            (b"\x01\0\0\0\0\0\0\0", true),
        ] {
            assert_eq!(decode(&[stream]).map(|(_, _, whole)| whole), Ok(is_whole), "{stream:?}");
        }
    }

    #[test]
    fn invalid_frames_are_errors() {
        assert_eq!(decode(&[b"HTTP/1.1 "]), Err(FrameError::UnknownType(b'H')));
        assert_eq!(
            decode(&[&frame(1, b"a"), &frame(3, b"it broke\n")]),
            Err(FrameError::Message("it broke".to_owned()))
        );
        let long = "x".repeat(MAX_MESSAGE_LEN + 1);
        assert_eq!(
            decode(&[&frame(3, long.as_bytes())]),
            Err(FrameError::Message(long[1..].to_owned()))
        );
    }

    proptest! {
        #[test]
        fn any_split_decodes_to_the_same_bytes(
            frames in prop::collection::vec((0_u8..3, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            width in 1_usize..50,
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
            let of = |wanted: fn(u8) -> bool| -> Vec<u8> {
                frames.iter().filter(|(kind, _)| wanted(*kind)).flat_map(|(_, payload)| payload.clone()).collect()
            };
            let expected = (of(|kind| kind < 2), of(|kind| kind == 2), true);
            prop_assert_eq!(decode(&stream.chunks(width).collect::<Vec<_>>()), Ok(expected));
        }

        #[test]
        fn decoding_never_panics(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let _ = decode(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
