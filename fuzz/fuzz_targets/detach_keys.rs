//! Detach keys in docker's notation, and the search for them in what is typed: however it is cut, the first place
//! counts, and every other byte goes on in its order.
#![no_main]

use dexec::DetachKeys;
use dexec_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

// Private in the crate, so its file is compiled once more here.
#[path = "../../src/exec/detach.rs"]
mod detach;

use detach::Matcher;

/// The first line is the keys, the rest is typed.
fn split(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}

fuzz_target!(|input: &[u8]| {
    let (notation, typed) = split(input);
    let notation = String::from_utf8_lossy(notation);
    let keys = match DetachKeys::parse(&notation) {
        Ok(keys) => keys,
        Err(error) => {
            assert!(!error.to_string().contains(|character: char| character.is_control()));
            return;
        }
    };
    let keys = keys.as_bytes();
    assert_eq!(keys.len(), notation.split(',').count());

    let (typed, pieces) = pieces(typed);
    let place = typed.windows(keys.len()).position(|window| window == keys);
    let mut matcher = Matcher::new(keys);
    let mut passed = Vec::new();
    let mut is_complete = false;
    let mut seen = 0;
    for piece in pieces {
        is_complete = matcher.push(piece, &mut passed);
        seen += piece.len();
        if is_complete {
            break;
        }
        assert!(passed.len() + keys.len() > seen, "more was held back than the keys");
    }
    assert_eq!(is_complete, place.is_some());
    if !is_complete {
        passed.extend(matcher.finish());
    }
    assert_eq!(passed, typed[..place.unwrap_or(typed.len())]);
});
