//! Finds the detach keys in what is typed on a terminal.

use std::collections::VecDeque;

/// Finds the detach keys in typed input, however the input is split.
#[derive(Debug)]
pub(crate) struct Matcher {
    keys: Vec<u8>,
    /// The last typed bytes, which may be the beginning of the keys. They are not passed on yet.
    held: VecDeque<u8>,
}

impl Matcher {
    /// `keys` must not be empty.
    pub(crate) fn new(keys: &[u8]) -> Self {
        Self {
            keys: keys.to_vec(),
            held: VecDeque::with_capacity(keys.len()),
        }
    }

    /// Adds to `passed` the bytes that are passed on to the command. Returns `true` if the keys are complete: what is
    /// typed after them is dropped, and this must not be called again.
    pub(crate) fn push(&mut self, typed: &[u8], passed: &mut Vec<u8>) -> bool {
        for &byte in typed {
            self.held.push_back(byte);
            while !self.keys.iter().zip(&self.held).all(|(key, held)| key == held) {
                passed.extend(self.held.pop_front());
            }
            if self.held.len() == self.keys.len() {
                return true;
            }
        }
        false
    }

    /// Returns the bytes that were held back, at the end of the input.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.held.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns what is passed on to the command, and whether the keys were complete.
    fn type_in(keys: &[u8], pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut matcher = Matcher::new(keys);
        let mut passed = Vec::new();
        for piece in pieces {
            if matcher.push(piece, &mut passed) {
                return (passed, true);
            }
        }
        passed.extend(matcher.finish());
        (passed, false)
    }

    #[test]
    fn detach_keys_are_found_and_other_input_is_passed_on() {
        for (pieces, passed, is_complete) in [
            (&[&b"\x10\x11"[..]][..], &b""[..], true),
            (&[b"\x10", b"\x11"], b"", true),
            (&[b"ls\n\x10\x11rest"], b"ls\n", true),
            (&[b"\x10", b"x"], b"\x10x", false),
            (&[b"\x10", b"\x10", b"\x11"], b"\x10", true),
            (&[b"\x10\x10\x10\x11"], b"\x10\x10", true),
            (&[b"\x11\x10"], b"\x11\x10", false),
        ] {
            let expected = (passed.to_vec(), is_complete);
            assert_eq!(type_in(b"\x10\x11", pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn held_back_input_is_shorter_than_the_keys() {
        let mut matcher = Matcher::new(b"aab");
        let mut passed = Vec::new();
        assert!(!matcher.push(b"aaa", &mut passed));
        assert_eq!(
            (passed.as_slice(), matcher.finish().as_slice()),
            (&b"a"[..], &b"aa"[..])
        );
    }

    proptest! {
        #[test]
        fn first_match_is_found_for_any_split_of_the_input(
            keys in prop::collection::vec(0_u8..3, 1..6),
            pieces in prop::collection::vec(prop::collection::vec(0_u8..3, 0..8), 0..8),
        ) {
            let typed = pieces.concat();
            let place = typed.windows(keys.len()).position(|window| window == keys);
            let expected = (typed[..place.unwrap_or(typed.len())].to_vec(), place.is_some());
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(type_in(&keys, &pieces), expected);
        }
    }
}
