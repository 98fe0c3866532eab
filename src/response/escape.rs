//! Text within JSON, written eight bytes at a time: on long output the escaping is most of a response's work.

use std::io::{self, Write};

/// How much text is escaped before it is written.
const BLOCK: usize = 512;

/// The most bytes that a character has within a JSON string: a control character is written as `\u0000`.
pub(super) const LONGEST: usize = 6;

/// A one in each byte of a word: times a byte, that byte in each.
const ONES: u64 = u64::from_ne_bytes([1; WORD]);
const HIGH_BITS: u64 = ONES << 7;
const WORD: usize = size_of::<u64>();

/// The letter behind the backslash that stands for a byte; `u` for those that only have a number, 0 for those that stand
/// for themselves.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        escapes[control] = b'u';
        control += 1;
    }
    escapes[0x08] = b'b';
    escapes[b'\t' as usize] = b't';
    escapes[b'\n' as usize] = b'n';
    escapes[0x0c] = b'f';
    escapes[b'\r' as usize] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// How many bytes a character of ASCII has within a JSON string.
pub(super) fn width(character: u8) -> usize {
    match ESCAPES[usize::from(character)] {
        0 => 1,
        b'u' => LONGEST,
        _ => 2,
    }
}

/// Puts texts behind the first field of an object, a number, while it is written.
pub(super) struct Inserting<W> {
    writer: W,
    /// Each with its name; taken when they are written.
    texts: Option<[(&'static str, Option<String>); 2]>,
}

impl<W: Write> Inserting<W> {
    pub(super) fn new(writer: W, texts: [(&'static str, Option<String>); 2]) -> Self {
        let texts = Some(texts);
        Self { writer, texts }
    }
}

impl<W: Write> Write for Inserting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Behind them may stand megabytes, in which nothing is looked for.
        let first_end = self.texts.as_ref().and_then(|_| memchr::memchr(b',', bytes));
        let Some(end) = first_end else {
            return self.writer.write(bytes);
        };
        self.writer.write_all(&bytes[..end])?;
        for (name, text) in self.texts.take().into_iter().flatten() {
            if let Some(text) = text {
                write!(self.writer, ",\"{name}\":")?;
                write_string(&mut self.writer, &text)?;
            }
        }
        self.writer.write_all(&bytes[end..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Writes `text` as a JSON string, quotes included, as `serde_json` does.
fn write_string(writer: &mut impl Write, text: &str) -> io::Result<()> {
    // A whole word is copied before it is looked at.
    let mut escaped = [0; LONGEST * BLOCK + WORD];
    writer.write_all(b"\"")?;
    for block in text.as_bytes().chunks(BLOCK) {
        let length = escape(block, &mut escaped);
        writer.write_all(&escaped[..length])?;
    }
    writer.write_all(b"\"")
}

/// Escapes a block, and gives the length of what it became.
fn escape(mut bytes: &[u8], escaped: &mut [u8; LONGEST * BLOCK + WORD]) -> usize {
    let mut length = 0;
    while let Some((word, rest)) = bytes.split_first_chunk::<WORD>() {
        escaped[length..length + WORD].copy_from_slice(word);
        let plain = plain_bytes(*word);
        // Apart, so that where the next word begins does not hang on the count, which the processor would have to wait for.
        if plain == WORD {
            length += WORD;
            bytes = rest;
        } else {
            length += plain;
            length += escape_byte(word[plain], &mut escaped[length..]);
            bytes = &bytes[plain + 1..];
        }
    }
    for &byte in bytes {
        length += escape_byte(byte, &mut escaped[length..]);
    }
    length
}

/// How many bytes at the beginning of a word stand for themselves.
fn plain_bytes(word: [u8; WORD]) -> usize {
    let word = u64::from_le_bytes(word);
    // Of a byte that is lower than `limit` the high bit is set, and beyond the first such byte perhaps of others.
    let lower = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let same = |byte: u8| lower(word ^ (ONES * u64::from(byte)), 1);
    let special = (lower(word, 0x20) | same(b'"') | same(b'\\')) & HIGH_BITS;
    special.trailing_zeros() as usize / 8
}

fn escape_byte(byte: u8, escaped: &mut [u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match ESCAPES[usize::from(byte)] {
        0 => {
            escaped[0] = byte;
            1
        }
        b'u' => {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xf));
            escaped[..LONGEST].copy_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            LONGEST
        }
        letter => {
            escaped[..2].copy_from_slice(&[b'\\', letter]);
            2
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &str) -> String {
        let mut json = Vec::new();
        write_string(&mut json, text).unwrap();
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn each_character_at_each_place_of_a_word_is_written_as_by_serde_json() {
        for character in ('\0'..='\u{100}').chain(['\u{2028}', '\u{fffd}', '\u{10ffff}']) {
            for place in 0..2 * WORD {
                for (before, behind) in [('x', 'y'), ('\n', '"'), ('é', '\\'), ('\u{1f}', ' ')] {
                    let mut text = before.to_string().repeat(place);
                    text.push(character);
                    text.extend([behind; WORD]);
                    assert_eq!(string(&text), serde_json::to_string(&text).unwrap());
                }
            }
        }
    }

    #[test]
    fn blocks_that_are_all_escapes_have_room() {
        let text = "\u{1}".repeat(3 * BLOCK + 1);
        assert_eq!(string(&text), serde_json::to_string(&text).unwrap());
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_by_serde_json(text in any::<String>(), times in 1..200_usize) {
            let text = text.repeat(times);
            prop_assert_eq!(string(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
