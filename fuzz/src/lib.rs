//! What the targets share.

use std::ops::Range;

/// Splits an input into a stream of bytes and the pieces in which it is to come.
///
/// The first byte says how many lengths follow, at most 15; they are gone through again and again until the stream is
/// cut. With none the stream comes in one piece. A length of 0 makes an empty piece.
pub fn pieces(input: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (lengths, stream) = match input.split_first() {
        Some((count, rest)) => rest.split_at(usize::from(count % 16).min(rest.len())),
        None => (input, input),
    };
    if lengths.iter().all(|length| *length == 0) {
        return (stream, vec![stream]);
    }
    let mut pieces = Vec::new();
    let mut rest = stream;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let piece;
        (piece, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        pieces.push(piece);
    }
    (stream, pieces)
}

/// The first `N` bytes of an input, which choose what is done with the rest; zeros where there are too few.
pub fn choices<const N: usize>(input: &[u8]) -> ([u8; N], &[u8]) {
    match input.split_first_chunk() {
        Some((choices, rest)) => (*choices, rest),
        None => ([0; N], &input[input.len()..]),
    }
}

/// Where `part`, a piece of `text` itself, stands in it.
pub fn position(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}
