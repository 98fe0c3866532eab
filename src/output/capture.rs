//! Keeps a command's output in memory, up to a limit.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use crate::text::Cleaner;

use super::sink::{Output, Stream};

/// The default limit of a [`Capture`] for each stream: 64 MiB.
pub const CAPTURE_LIMIT: usize = 64 * 1024 * 1024;

/// Output longer than this, 64 KiB, is expected to keep growing.
const LONG: usize = 64 * 1024;

/// Extra room for the line that a response inserts between head and tail, which is shorter than this.
const LINE: usize = 128;

/// Keeps the first and the last bytes of both streams, and counts the bytes in between that it drops.
#[derive(Debug)]
pub struct Capture {
    stdout: Stored,
    stderr: Stored,
}

impl Default for Capture {
    fn default() -> Self {
        Self::with_limit(CAPTURE_LIMIT)
    }
}

impl Capture {
    /// Creates a capture that keeps at most `limit` bytes of each stream: half from its beginning and half from its
    /// end.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self {
            stdout: Stored::new(limit),
            stderr: Stored::new(limit),
        }
    }

    /// Returns what was kept: standard output, then standard error.
    #[must_use]
    pub fn finish(self) -> (Captured, Captured) {
        (self.stdout.finish(), self.stderr.finish())
    }
}

impl Output for Capture {
    async fn write(&mut self, stream: Stream, bytes: Bytes) -> std::io::Result<()> {
        match stream {
            Stream::Stdout => self.stdout.push(&bytes),
            Stream::Stderr => self.stderr.push(&bytes),
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Stored {
    head_limit: usize,
    tail_limit: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    gap: Option<Gap>,
}

impl Stored {
    fn new(limit: usize) -> Self {
        Self {
            head_limit: limit.div_ceil(2),
            tail_limit: limit / 2,
            head: Vec::new(),
            tail: VecDeque::new(),
            gap: None,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let (to_head, rest) = bytes.split_at(bytes.len().min(self.head_limit - self.head.len()));
        self.extend_head(to_head);

        let excess = (self.tail.len() + rest.len()).saturating_sub(self.tail_limit);
        if excess > 0 {
            let gap = self.gap.get_or_insert_with(|| Gap::after(&self.head));
            let from_tail = excess.min(self.tail.len());
            let (first, second) = self.tail.as_slices();
            let in_first = from_tail.min(first.len());
            gap.push(&first[..in_first]);
            gap.push(&second[..from_tail - in_first]);
            self.tail.drain(..from_tail);
            let (passed_over, kept) = rest.split_at(excess - from_tail);
            gap.push(passed_over);
            self.extend_tail(kept);
        } else {
            self.extend_tail(rest);
        }
    }

    /// Long output reserves all its memory at once, including the tail and the line between them, so that it need not
    /// be moved as it grows. On most systems memory that is never written to takes up only address space.
    fn extend_head(&mut self, bytes: &[u8]) {
        let length = self.head.len();
        if length + bytes.len() > self.head.capacity().max(LONG) {
            // If this much can't be reserved, a smaller amount may still suffice.
            let whole = (self.head_limit + self.tail_limit).saturating_add(LINE);
            let _ = self.head.try_reserve_exact(whole - length);
        }
        self.head.extend_from_slice(bytes);
    }

    /// Never grows beyond the limit. The deque's own growth could allocate up to twice as much.
    fn extend_tail(&mut self, bytes: &[u8]) {
        let length = self.tail.len();
        let needed = length + bytes.len();
        if needed > self.tail.capacity() {
            let has_all = needed > LONG && self.tail.try_reserve_exact(self.tail_limit - length).is_ok();
            if !has_all {
                let capacity = needed.max(self.tail.capacity() * 2).min(self.tail_limit);
                self.tail.reserve_exact(capacity - length);
            }
        }
        self.tail.extend(bytes);
    }

    fn finish(mut self) -> Captured {
        if self.gap.is_none() {
            let (first, second) = self.tail.as_slices();
            self.head.extend_from_slice(first);
            self.head.extend_from_slice(second);
            self.tail = VecDeque::new();
            self.head.shrink_to_fit();
        }
        Captured {
            head: self.head,
            gap: self.gap,
            tail: self.tail.into(),
        }
    }
}

/// What a command wrote to one stream, unchanged.
///
/// If the capture's limit was exceeded, only the first and the last part are kept, and the middle is counted.
#[derive(Clone, Default)]
pub struct Captured {
    pub(crate) head: Vec<u8>,
    pub(crate) gap: Option<Gap>,
    pub(crate) tail: Vec<u8>,
}

impl Captured {
    /// Returns everything that was kept, which is all that the command wrote unless [`left_out`](Self::left_out) is
    /// above 0.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.head.append(&mut self.tail);
        self.head
    }

    /// The number of bytes in the middle that were not kept.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.gap.as_ref().map_or(0, |gap| gap.bytes)
    }
}

impl From<Vec<u8>> for Captured {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            head: bytes,
            ..Self::default()
        }
    }
}

/// Shows only the number of bytes: the command's output may be secret.
impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("kept", &(self.head.len() + self.tail.len()))
            .field("left_out", &self.left_out())
            .finish_non_exhaustive()
    }
}

/// The part in the middle that was not kept, measured as text.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    bytes: u64,
    /// Decodes the text as written, up to the end of the gap, and counts the characters in the gap.
    pub(crate) as_written: Counted,
    /// The same for the text without terminal escapes.
    pub(crate) clean: Counted,
}

#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) characters: u64,
    /// The state at the end of the gap: a character or an escape that is cut there continues in the tail.
    pub(crate) cleaner: Cleaner,
}

impl Counted {
    fn after(head: &[u8], keep_escapes: bool) -> Self {
        let mut cleaner = Cleaner::new(keep_escapes);
        cleaner.push(head, &mut |_| ());
        Self { characters: 0, cleaner }
    }

    fn push(&mut self, bytes: &[u8]) {
        let characters = &mut self.characters;
        self.cleaner
            .push(bytes, &mut |text| *characters += text.chars().count() as u64);
    }
}

impl Gap {
    fn after(head: &[u8]) -> Self {
        Self {
            bytes: 0,
            as_written: Counted::after(head, true),
            clean: Counted::after(head, false),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.as_written.push(bytes);
        self.clean.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store(limit: usize, pieces: &[&[u8]]) -> Captured {
        let mut stored = Stored::new(limit);
        for piece in pieces {
            stored.push(piece);
        }
        stored.finish()
    }

    #[test]
    fn output_within_the_limit_is_kept_completely() {
        let captured = store(8, &[b"abc", b"", b"defgh"]);
        assert_eq!(captured.left_out(), 0);
        assert_eq!(captured.into_bytes(), b"abcdefgh");
    }

    #[test]
    fn omitted_middle_is_counted_in_bytes_and_characters() {
        let captured = store(8, &["abcdé\x1b[1m€".as_bytes(), b"wxyz"]);
        assert_eq!(captured.head, b"abcd");
        assert_eq!(captured.tail, b"wxyz");
        assert_eq!(captured.left_out(), 9);
        let gap = captured.gap.as_ref();
        assert_eq!(gap.map(|gap| gap.as_written.characters), Some(6));
        assert_eq!(gap.map(|gap| gap.clean.characters), Some(2));
    }

    #[test]
    fn character_split_by_the_gap_is_counted_once() {
        // The euro sign is cut by the end of the head, the umlaut by the start of the tail.
        let captured = store(4, &["a€bü!".as_bytes()]);
        assert_eq!(captured.head, b"a\xe2");
        assert_eq!(captured.tail, b"\xbc!");
        assert_eq!(captured.gap.map(|gap| gap.as_written.characters), Some(2));
    }

    #[test]
    fn long_output_is_kept_up_to_the_limit() {
        let whole: Vec<u8> = (0..=250).cycle().take(5 * LONG).collect();
        let pieces: Vec<&[u8]> = whole.chunks(10_000).collect();
        for limit in [LONG, 3 * LONG, 4 * LONG + 1, 5 * LONG - 1, 5 * LONG, usize::MAX] {
            let captured = store(limit, &pieces);
            let left_out = whole.len().saturating_sub(limit);
            assert_eq!(captured.left_out(), left_out as u64, "{limit}");
            assert!(whole.starts_with(&captured.head), "{limit}");
            assert!(whole.ends_with(&captured.tail), "{limit}");
            assert_eq!(
                captured.head.len() + captured.tail.len() + left_out,
                whole.len(),
                "{limit}"
            );
        }
    }

    proptest! {
        #[test]
        fn head_gap_and_tail_add_up_to_the_output(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..12),
            limit in 0_usize..40,
        ) {
            let whole = pieces.concat();
            let captured = store(limit, &pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let left_out = usize::try_from(captured.left_out()).unwrap_or(usize::MAX);
            prop_assert_eq!(left_out, whole.len().saturating_sub(limit));
            prop_assert!(whole.starts_with(&captured.head));
            prop_assert!(whole.ends_with(&captured.tail));
            prop_assert_eq!(captured.head.len() + captured.tail.len() + left_out, whole.len());
        }
    }
}
