//! Handles JSON from a command's output, and measures the response's own JSON.

use std::io;

use serde_json::value::RawValue;

/// Returns the JSON in `text` unchanged except for white space between tokens, as a response is one line.
pub(super) fn parse(text: &str) -> Result<Box<RawValue>, String> {
    let not_json = |error: serde_json::Error| format!("stdout is not JSON: {error}");
    let value: &RawValue = serde_json::from_str(text).map_err(not_json)?;
    RawValue::from_string(without_white_space(value.get())).map_err(not_json)
}

/// `json` is valid, so quotes and backslashes are enough to find the strings.
fn without_white_space(json: &str) -> String {
    let mut kept = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.bytes().position(|byte| byte == b'"' || is_white_space(byte)) {
        let (before, from_here) = rest.split_at(at);
        kept.push_str(before);
        if from_here.starts_with('"') {
            let (string, behind) = from_here.split_at(string_length(from_here.as_bytes()));
            kept.push_str(string);
            rest = behind;
        } else {
            let length = from_here.bytes().take_while(|&byte| is_white_space(byte)).count();
            rest = &from_here[length..];
        }
    }
    kept.push_str(rest);
    kept
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Returns the length of the string at the start of `json`, including its quotes.
fn string_length(json: &[u8]) -> usize {
    let mut length = 1;
    while let Some(at) = memchr::memchr2(b'"', b'\\', &json[length..]) {
        length += at + 1;
        if json[length - 1] == b'"' {
            break;
        }
        // Skip the escaped character.
        length += 1;
    }
    length
}

/// Counts the characters of the UTF-8 text written to it.
#[derive(Debug, Default)]
pub(super) struct CharacterCounter {
    characters: u64,
}

impl CharacterCounter {
    pub(super) fn characters(&self) -> u64 {
        self.characters
    }
}

impl io::Write for CharacterCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Every byte except a continuation byte starts a character.
        self.characters += bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    #[test]
    fn order_numbers_and_strings_are_kept_as_written() {
        let text = "{ \"z\": 1.10,\n \"a\": [ 12345678901234567890, 1e400 ],\t\"s\": \"a \\\" b\\\\\" , \"é\":\"\\u00e9 \" }\n";
        assert_eq!(
            parse(text).unwrap().get(),
            "{\"z\":1.10,\"a\":[12345678901234567890,1e400],\"s\":\"a \\\" b\\\\\",\"é\":\"\\u00e9 \"}"
        );
    }

    #[test]
    fn scalars_are_json_and_other_text_is_not() {
        for json in ["null", "true", "12", "\"x\"", "[]"] {
            assert_eq!(parse(json).unwrap().get(), json);
        }
        for text in ["", "hello", "{\"a\":1} {\"b\":2}", "{a:1}", "[1,]", "01"] {
            assert!(parse(text).unwrap_err().starts_with("stdout is not JSON: "), "{text}");
        }
    }

    #[test]
    fn deep_json_is_parsed_without_recursion() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(parse(&deep).unwrap().get(), deep);
    }

    proptest! {
        #[test]
        fn only_whitespace_is_removed(strings in prop::collection::vec(any::<String>(), 0..6)) {
            let pretty = serde_json::to_string_pretty(&strings).unwrap();
            let plain = serde_json::to_string(&strings).unwrap();
            let taken = parse(&pretty).unwrap();
            prop_assert_eq!(taken.get(), plain.as_str());
        }

        #[test]
        fn characters_are_counted_across_writes(text in any::<String>(), width in 1_usize..4) {
            let mut counter = CharacterCounter::default();
            for piece in text.as_bytes().chunks(width) {
                counter.write_all(piece).unwrap();
            }
            prop_assert_eq!(counter.characters(), text.chars().count() as u64);
        }
    }
}
