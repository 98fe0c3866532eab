//! A command's terminal: its size, and its detach keys.

use std::fmt;

use tokio::sync::watch;

use crate::error::{Error, sanitize_line};

/// Longer than the name of any key; showing more of an invalid one does not help.
const MAX_KEY_LEN: usize = 40;

const DEL: u8 = 0x7f;

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TerminalSize {
    /// The number of lines.
    pub rows: u16,
    /// The number of characters in a line.
    pub columns: u16,
}

/// A terminal for the command in the container, as with `docker exec -t`.
///
/// Both output streams of the command arrive as standard output, with lines ended by CR and LF. Standard input is
/// treated as typed input: control characters act as on any terminal, and end of file is sent as Ctrl-D.
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
    /// Creates a terminal with a fixed size. Without a size, the terminal has the engine's default, which is 0 by 0 on
    /// most engines.
    #[must_use]
    pub fn new(size: impl Into<Option<TerminalSize>>) -> Self {
        Self::following(watch::channel(size.into()).1)
    }

    /// Creates a terminal whose size is the latest value of `sizes`.
    ///
    /// Engines with API version 1.42 or later set the first size before the command runs. On others, including Podman,
    /// the size is set a moment later.
    #[must_use]
    pub fn following(sizes: watch::Receiver<Option<TerminalSize>>) -> Self {
        Self {
            sizes,
            detach_keys: None,
        }
    }

    /// Sets the keys that detach from the command, which keeps running: the end is
    /// [`End::LeftRunning`](crate::End::LeftRunning). By default there are none.
    ///
    /// The keys are recognised in standard input and not sent to the command. A partial match that continues
    /// differently is sent.
    #[must_use]
    pub fn detach_keys(mut self, keys: DetachKeys) -> Self {
        self.detach_keys = Some(keys);
        self
    }
}

/// The keys that detach from a terminal and leave its command running.
#[derive(Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

impl DetachKeys {
    /// Parses docker's notation: keys separated by commas, each of which is one ASCII character, `DEL`, or `ctrl-`
    /// with one of `@`, `a` to `z`, `[`, `\`, `]`, `^` and `_`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) for anything else.
    pub fn parse(keys: &str) -> Result<Self, Error> {
        let parsed: Result<Vec<u8>, &str> = keys.split(',').map(|key| parse_key(key).ok_or(key)).collect();
        parsed.map(Self).map_err(|key| {
            let (keys, key) = (sanitize_line(keys, MAX_KEY_LEN), sanitize_line(key, MAX_KEY_LEN));
            Error::invalid(format!(
                "invalid detach keys ({keys}): Unknown character: '{key}'. Give characters, `DEL`, or `ctrl-` with a \
                 lowercase letter or one of @ [ \\ ] ^ _, separated by commas, such as ctrl-p,ctrl-q"
            ))
        })
    }

    /// The keys as bytes of input; there is at least one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Ctrl-P and Ctrl-Q, as in docker.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_parsed_as_docker_parses_them() {
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
            let text = format!("invalid detach keys ({keys}): Unknown character: '{wrong}'. ");
            assert!(error.to_string().starts_with(&text), "{error}");
        }
        let error = DetachKeys::parse(&"\x1b[2J".repeat(1000)).unwrap_err();
        assert!(!error.to_string().contains('\x1b') && error.to_string().len() < 400);
    }
}
