//! Decodes text from bytes that arrive in pieces. UTF-8 and terminal escapes are recognised wherever the pieces are
//! cut.

/// The longest escape that is recognised, in bytes. A longer sequence is treated as text.
const MAX_ESCAPE_LEN: usize = 64 * 1024;
const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

/// Decodes UTF-8; bytes that are not UTF-8 become U+FFFD.
#[derive(Clone, Debug, Default)]
pub(crate) struct Utf8 {
    /// The start of a character that is not complete yet.
    partial: Vec<u8>,
    is_lossy: bool,
}

impl Utf8 {
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut impl FnMut(&str)) {
        if self.partial.is_empty() {
            self.decode(bytes, text);
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            self.decode(&joined, text);
        }
    }

    fn decode(&mut self, mut bytes: &[u8], text: &mut impl FnMut(&str)) {
        while !bytes.is_empty() {
            let Err(error) = std::str::from_utf8(bytes).map(&mut *text) else {
                return;
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            if let Some(valid) = valid.utf8_chunks().next() {
                text(valid.valid());
            }
            let Some(invalid) = error.error_len() else {
                self.partial = rest.to_vec();
                return;
            };
            self.is_lossy = true;
            text("\u{fffd}");
            bytes = &rest[invalid..];
        }
    }

    /// Marks the end of the input: an incomplete character is not valid UTF-8.
    pub(crate) fn finish(&mut self, text: &mut impl FnMut(&str)) {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.is_lossy = true;
            text("\u{fffd}");
        }
    }

    pub(crate) fn is_lossy(&self) -> bool {
        self.is_lossy
    }
}

/// A piece of text, as [`Escapes`] splits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    /// One complete terminal escape, including its ESC.
    Escape(&'a str),
}

/// Separates terminal escapes (ECMA-48) from text.
///
/// Only a complete, well-formed escape is treated as one. Everything else is text, so that nothing is removed by
/// mistake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Escapes {
    /// The start of an escape that is not complete yet; begins with ESC.
    open: String,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte, as in `ESC ( B`.
    Intermediate,
    /// After `ESC [`: a control sequence, for example for colours.
    Control,
    /// In a string that is ended by ST, or also by BEL if it began with `ESC ]`.
    String { bel_ends: bool },
    /// After an ESC within a string: a backslash ends the string.
    StringEscape,
}

enum Step {
    Goes(State),
    Ends,
    IsText,
}

impl State {
    #[expect(clippy::match_same_arms, reason = "one state after the other is easier to follow")]
    fn step(self, byte: u8) -> Step {
        match (self, byte) {
            (Self::Escape, b'[') => Step::Goes(Self::Control),
            (Self::Escape, b']') => Step::Goes(Self::String { bel_ends: true }),
            (Self::Escape, b'P' | b'X' | b'^' | b'_') => Step::Goes(Self::String { bel_ends: false }),
            (Self::Escape | Self::Intermediate, 0x20..=0x2f) => Step::Goes(Self::Intermediate),
            (Self::Escape | Self::Intermediate, 0x30..=0x7e) | (Self::Control, 0x40..=0x7e) => Step::Ends,
            (Self::Control, 0x20..=0x3f) => Step::Goes(Self::Control),
            (Self::String { bel_ends: true }, BEL) | (Self::StringEscape, b'\\') => Step::Ends,
            (Self::String { .. }, ESC) => Step::Goes(Self::StringEscape),
            (Self::String { .. }, _) => Step::Goes(self),
            _ => Step::IsText,
        }
    }
}

impl Escapes {
    pub(crate) fn push(&mut self, mut text: &str, piece: &mut impl FnMut(Piece<'_>)) {
        while !text.is_empty() {
            if self.state == State::Text {
                let start = memchr::memchr(ESC, text.as_bytes()).unwrap_or(text.len());
                let (before, rest) = text.split_at(start);
                if !before.is_empty() {
                    piece(Piece::Text(before));
                }
                if rest.is_empty() {
                    return;
                }
                self.state = State::Escape;
                self.open.push('\x1b');
                text = &rest[1..];
            } else {
                text = self.go_on(text, piece);
            }
        }
    }

    /// Consumes the part of `text` that belongs to the open escape, and returns the rest.
    fn go_on<'a>(&mut self, text: &'a str, piece: &mut impl FnMut(Piece<'_>)) -> &'a str {
        for (at, character) in text.char_indices() {
            let next = at + character.len_utf8();
            // A non-ASCII character is valid only within a string, where every byte is.
            let byte = u8::try_from(character).unwrap_or(u8::MAX);
            match self.state.step(byte) {
                Step::Ends => {
                    self.open.push_str(&text[..next]);
                    piece(Piece::Escape(&self.open));
                    self.close();
                    return &text[next..];
                }
                Step::Goes(state) if self.open.len() + next <= MAX_ESCAPE_LEN => self.state = state,
                Step::Goes(_) | Step::IsText => {
                    self.open.push_str(&text[..at]);
                    // An ESC within a string that does not end it may start a new escape.
                    let begins_anew = self.state == State::StringEscape;
                    if begins_anew {
                        self.open.pop();
                    }
                    piece(Piece::Text(&self.open));
                    self.close();
                    if begins_anew {
                        self.open.push('\x1b');
                        self.state = State::Escape;
                    }
                    return &text[at..];
                }
            }
        }
        self.open.push_str(text);
        ""
    }

    fn close(&mut self) {
        self.open.clear();
        self.state = State::Text;
    }

    /// Marks the end of the input: an incomplete escape is text.
    pub(crate) fn finish(&mut self, piece: &mut impl FnMut(Piece<'_>)) {
        if !self.open.is_empty() {
            piece(Piece::Text(&self.open));
            self.close();
        }
    }
}

/// Decodes text and removes its terminal escapes, or keeps them.
#[derive(Clone, Debug)]
pub(crate) struct Cleaner {
    utf8: Utf8,
    /// `None` keeps the escapes.
    escapes: Option<Escapes>,
}

impl Cleaner {
    pub(crate) fn new(keep_escapes: bool) -> Self {
        Self {
            utf8: Utf8::default(),
            escapes: (!keep_escapes).then(Escapes::default),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut impl FnMut(&str)) {
        let Self { utf8, escapes } = self;
        utf8.push(bytes, &mut |decoded| match escapes {
            None => text(decoded),
            Some(escapes) => escapes.push(decoded, &mut only_text(text)),
        });
    }

    pub(crate) fn finish(&mut self, text: &mut impl FnMut(&str)) {
        let Self { utf8, escapes } = self;
        utf8.finish(&mut |decoded| match escapes {
            None => text(decoded),
            Some(escapes) => escapes.push(decoded, &mut only_text(text)),
        });
        if let Some(escapes) = escapes {
            escapes.finish(&mut only_text(text));
        }
    }

    /// Whether this text, if pushed next, would be returned unchanged and leave nothing open.
    pub(crate) fn leaves(&self, text: &str) -> bool {
        let takes_escapes = self
            .escapes
            .as_ref()
            .is_some_and(|escapes| escapes.state != State::Text || memchr::memchr(ESC, text.as_bytes()).is_some());
        self.utf8.partial.is_empty() && !takes_escapes
    }

    pub(crate) fn is_lossy(&self) -> bool {
        self.utf8.is_lossy()
    }
}

fn only_text(text: &mut impl FnMut(&str)) -> impl FnMut(Piece<'_>) {
    |piece| {
        if let Piece::Text(piece) = piece {
            text(piece);
        }
    }
}

/// Decodes a stream for display while it arrives: characters and terminal escapes are never split.
///
/// ```
/// let mut stream = dexec::TextStream::default();
/// assert_eq!(stream.push(b"gr\xc3"), "gr");
/// assert_eq!(stream.push(b"\xbcn \x1b[3"), "ün ");
/// assert_eq!(stream.push(b"1mred"), "\x1b[31mred");
/// ```
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    utf8: Utf8,
    escapes: Escapes,
}

impl TextStream {
    /// Adds the next bytes, and returns the text that is complete so far.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let Self { utf8, escapes } = self;
        let mut text = String::with_capacity(bytes.len());
        utf8.push(bytes, &mut |decoded| escapes.push(decoded, &mut whole(&mut text)));
        text
    }

    /// Returns the text that was held back. Call this after the last bytes.
    pub fn finish(&mut self) -> String {
        let Self { utf8, escapes } = self;
        let mut text = String::new();
        utf8.finish(&mut |decoded| escapes.push(decoded, &mut whole(&mut text)));
        escapes.finish(&mut whole(&mut text));
        text
    }

    /// Whether bytes that are not UTF-8 were replaced by U+FFFD.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.utf8.is_lossy()
    }
}

fn whole(text: &mut String) -> impl FnMut(Piece<'_>) {
    |(Piece::Text(piece) | Piece::Escape(piece))| text.push_str(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(pieces: &[&[u8]]) -> (String, bool) {
        let mut cleaner = Cleaner::new(false);
        let mut text = String::new();
        for piece in pieces {
            cleaner.push(piece, &mut |more| text.push_str(more));
        }
        cleaner.finish(&mut |more| text.push_str(more));
        (text, cleaner.is_lossy())
    }

    #[test]
    fn escapes_are_removed_and_text_is_kept() {
        for (input, text) in [
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b[38;5;196;1mx\x1b[m", "x"),
            ("\x1b]0;title\x07x", "x"),
            ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1bP1$r0m\x1b\\x", "x"),
            ("\x1b(Bx\x1b7\x1b8\x1bc", "x"),
            ("a\x1b[2Kb\x1b[?25l", "ab"),
            ("\x1b]0;tïtle\x07x", "x"),
            // Not escapes, or incomplete ones.
            ("plain\ttext\r\n\x07\x08\0", "plain\ttext\r\n\x07\x08\0"),
            ("a\x1b", "a\x1b"),
            ("a\x1b[31", "a\x1b[31"),
            ("a\x1b\nb", "a\x1b\nb"),
            ("a\x1b[3\nb", "a\x1b[3\nb"),
            ("a\x1b[3é", "a\x1b[3é"),
            ("\x1b]never ended", "\x1b]never ended"),
            ("\x1b\x1b[31mx", "\x1bx"),
            ("\x1b]open\x1b[31mx", "\x1b]openx"),
            ("\u{9b}31m", "\u{9b}31m"),
        ] {
            assert_eq!(clean(&[input.as_bytes()]), (text.to_owned(), false), "{input:?}");
        }
    }

    #[test]
    fn unterminated_escape_does_not_remove_the_text() {
        let input = format!("\x1b]{}\x07 end", "x".repeat(MAX_ESCAPE_LEN));
        assert_eq!(clean(&[input.as_bytes()]).0, input);
        let input = format!("\x1b]{}\x07 end", "x".repeat(MAX_ESCAPE_LEN - 3));
        assert_eq!(clean(&[input.as_bytes()]).0, " end");
    }

    #[test]
    fn invalid_utf8_is_replaced_and_reported() {
        assert_eq!(clean(&[b"a\xffb"]), ("a\u{fffd}b".to_owned(), true));
        assert_eq!(clean(&[b"a\xe2\x82"]), ("a\u{fffd}".to_owned(), true));
        assert_eq!(clean(&[b"\xe2\x82", b"\xac"]), ("€".to_owned(), false));
        assert_eq!(clean(&[b"\xe2", b"\x82x"]), ("\u{fffd}x".to_owned(), true));
    }

    /// Bytes with many characters, escapes and broken escapes, cut at arbitrary places.
    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let atom = prop_oneof![
            any::<Vec<u8>>(),
            "\\PC{0,4}".prop_map(String::into_bytes),
            prop::sample::select(vec![
                "\x1b[1m", "\x1b", "[", "]", "\x07", "\x1b\\", "\x1b]0;", "€", "\n"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(atom, 0..24)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_text(pieces in pieces(), width in 1_usize..5) {
            let whole = pieces.concat();
            let (text, is_lossy) = clean(&[&whole]);
            let cut: Vec<&[u8]> = whole.chunks(width).collect();
            prop_assert_eq!(clean(&cut), (text, is_lossy));

            let mut stream = TextStream::default();
            let mut shown = String::new();
            for piece in whole.chunks(width) {
                shown.push_str(&stream.push(piece));
            }
            shown.push_str(&stream.finish());
            prop_assert_eq!(shown, String::from_utf8_lossy(&whole));
            prop_assert_eq!(stream.is_lossy(), std::str::from_utf8(&whole).is_err());
        }
    }
}
