//! A terminal for a command: its size, and the keys that leave it.

use std::fmt;

use tokio::sync::watch;

use crate::error::{Error, shown};

/// No key's name is longer; more of a wrong one tells no more.
const LONGEST_KEY: usize = 40;

const DEL: u8 = 0x7f;

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TerminalSize {
    /// How many lines it has.
    pub rows: u16,
    /// How many characters a line has.
    pub columns: u16,
}

/// A terminal of the command's own in the container, as `docker exec -t` gives it.
///
/// What the command writes to either stream comes as standard output, each line ended by CR and LF. Standard input is what
/// is typed: control characters act as on any terminal, and its end is sent as Ctrl-D.
///
/// ```
/// use dexec::{DetachKeys, Request, Terminal, TerminalSize};
///
/// let size = TerminalSize { rows: 24, columns: 80 };
/// let terminal = Terminal::new(size).detach_keys(DetachKeys::default());
/// let request = Request::new("web", ["sh"]).terminal(terminal).build()?;
/// # Ok::<(), dexec::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Terminal {
    pub(crate) sizes: watch::Receiver<Option<TerminalSize>>,
    pub(crate) detach_keys: Option<DetachKeys>,
}

impl Terminal {
    /// A terminal that keeps its size; without one it has that of the engine, which is 0 by 0 on most.
    #[must_use]
    pub fn new(size: impl Into<Option<TerminalSize>>) -> Self {
        Self::following(watch::channel(size.into()).1)
    }

    /// A terminal whose size is the latest that is sent here.
    ///
    /// An engine with API version 1.42 or later gives the command the first size before it runs. On others, Podman among
    /// them, the size comes a moment later.
    #[must_use]
    pub fn following(sizes: watch::Receiver<Option<TerminalSize>>) -> Self {
        Self {
            sizes,
            detach_keys: None,
        }
    }

    /// Sets the keys that leave the command, which runs on: the end is [`End::Left`](crate::End::Left). Without this there
    /// are none.
    ///
    /// The keys are looked for in standard input and are not sent; what begins like them and goes on otherwise is.
    #[must_use]
    pub fn detach_keys(mut self, keys: DetachKeys) -> Self {
        self.detach_keys = Some(keys);
        self
    }
}

/// The keys with which a terminal is left while its command runs on.
#[derive(Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

impl DetachKeys {
    /// Reads docker's notation: keys separated by commas, each one ASCII character, `DEL`, or `ctrl-` with one of
    /// `@`, `a` to `z`, `[`, `\`, `]`, `^` and `_`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for anything else.
    pub fn parse(keys: &str) -> Result<Self, Error> {
        let parsed: Result<Vec<u8>, &str> = keys.split(',').map(|key| parse_key(key).ok_or(key)).collect();
        parsed.map(Self).map_err(|key| {
            let (keys, key) = (shown(keys, LONGEST_KEY), shown(key, LONGEST_KEY));
            Error::invalid(format!(
                "invalid detach keys ({keys}): `{key}` is no key. Give characters, `DEL` or `ctrl-` and a small letter or \
                 one of @ [ \\ ] ^ _, separated by commas, such as ctrl-p,ctrl-q"
            ))
            .with_docker_text(format!("invalid detach keys ({keys}): Unknown character: '{key}'"))
        })
    }
}

/// Ctrl-P and Ctrl-Q, as docker has it.
impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl fmt::Debug for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DetachKeys({:?})", self.0.escape_ascii().to_string())
    }
}

fn parse_key(key: &str) -> Option<u8> {
    match key.as_bytes() {
        [key] if key.is_ascii() => Some(*key),
        b"DEL" => Some(DEL),
        [b'c', b't', b'r', b'l', b'-', key] => match key {
            b'a'..=b'z' => Some(key - b'a' + 1),
            b'@' | b'['..=b'_' => Some(key - b'@'),
            _ => None,
        },
        _ => None,
    }
}

/// Looks for the detach keys in what is typed, however it is cut.
#[derive(Debug)]
pub(crate) struct Matcher {
    keys: Vec<u8>,
    /// For each number of keys that match: how many still do when the next one doesn't (the failure function of Knuth,
    /// Morris and Pratt).
    shorter: Vec<usize>,
    /// How many of the keys were typed last. They are held back.
    held: usize,
}

impl Matcher {
    pub(crate) fn new(keys: &DetachKeys) -> Self {
        let keys = keys.0.clone();
        let mut shorter = vec![0; keys.len() + 1];
        let mut matching = 0;
        for index in 1..keys.len() {
            while matching > 0 && keys[index] != keys[matching] {
                matching = shorter[matching];
            }
            matching += usize::from(keys[index] == keys[matching]);
            shorter[index + 1] = matching;
        }
        Self { keys, shorter, held: 0 }
    }

    /// Adds to `passed` what goes on to the command. True when the keys are complete: what is typed behind them is
    /// dropped, and this is not called again.
    pub(crate) fn push(&mut self, typed: &[u8], passed: &mut Vec<u8>) -> bool {
        for &byte in typed {
            while self.held > 0 && self.keys[self.held] != byte {
                let held = self.shorter[self.held];
                passed.extend_from_slice(&self.keys[..self.held - held]);
                self.held = held;
            }
            if self.keys[self.held] == byte {
                self.held += 1;
                if self.held == self.keys.len() {
                    return true;
                }
            } else {
                passed.push(byte);
            }
        }
        false
    }

    /// What is held back, when nothing more is typed.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut held = self.keys;
        held.truncate(self.held);
        held
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn docker_s_notation_is_read() {
        for (keys, bytes) in [
            ("ctrl-p,ctrl-q", &b"\x10\x11"[..]),
            (
                "ctrl-@,ctrl-a,ctrl-z,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_",
                b"\x00\x01\x1a\x1b\x1c\x1d\x1e\x1f",
            ),
            ("a,B,~, ,DEL", b"aB~ \x7f"),
            ("x", b"x"),
        ] {
            assert_eq!(DetachKeys::parse(keys).unwrap().0, bytes, "{keys}");
        }
        for (keys, wrong) in [
            ("", ""),
            ("Ctrl-a", "Ctrl-a"),
            ("ctrl-A", "ctrl-A"),
            ("ctrl-1", "ctrl-1"),
            ("ctrl-`", "ctrl-`"),
            ("ctrl-", "ctrl-"),
            ("del", "del"),
            ("ab", "ab"),
            ("a,", ""),
            (",", ""),
            ("a,,b", ""),
            ("é", "é"),
            ("foo", "foo"),
        ] {
            let error = DetachKeys::parse(keys).unwrap_err();
            let text = format!("invalid detach keys ({keys}): Unknown character: '{wrong}'");
            assert_eq!(error.docker_text(), text);
        }
        let error = DetachKeys::parse(&"\x1b[2J".repeat(1000)).unwrap_err();
        assert!(!error.to_string().contains('\x1b') && error.to_string().len() < 400);
    }

    /// What goes on to the command, and whether the keys were complete.
    fn type_in(keys: &[u8], pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut matcher = Matcher::new(&DetachKeys(keys.to_vec()));
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
    fn the_keys_are_found_and_all_else_goes_on() {
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
    fn what_is_held_back_is_no_more_than_the_keys() {
        let mut matcher = Matcher::new(&DetachKeys(b"aab".to_vec()));
        let mut passed = Vec::new();
        assert!(!matcher.push(b"aaa", &mut passed));
        assert_eq!(
            (passed.as_slice(), matcher.finish().as_slice()),
            (&b"a"[..], &b"aa"[..])
        );
    }

    proptest! {
        #[test]
        fn the_first_place_counts_however_it_is_cut(
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
