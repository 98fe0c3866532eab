//! Shortens text to a number of characters.

/// Under this limit there is no marker: it would take up most of the space.
const SMALLEST_WITH_MARKER: usize = 200;

/// The maximum size in bytes of a character within a JSON string: a control character is written as `\u0000`.
pub(super) const MAX_CHARACTER_LEN: usize = 6;

/// The maximum size in bytes of a marker within a JSON string.
pub(super) const MAX_MARKER_LEN: usize = 64;

fn marker(left_out: u64) -> String {
    format!("\n[… {left_out} characters left out …]\n")
}

/// Returns `text` shortened to at most `limit` characters, and whether anything was left out.
pub(super) fn whole(text: String, limit: usize) -> (String, bool) {
    // A character has at least one byte.
    if text.len() <= limit {
        return (text, false);
    }
    let total = text.chars().count();
    if total <= limit {
        return (text, false);
    }
    (keep((&text, total), (&text, total), total as u64, limit), true)
}

/// Shortens a text whose middle is missing: only its beginning and its end are known.
pub(super) fn around_gap(mut head: String, gap: u64, tail: &str, limit: Option<usize>) -> String {
    let (before, after) = (head.chars().count(), tail.chars().count());
    match limit {
        Some(limit) if limit < before + after + marker(gap).chars().count() => {
            let total = (before + after) as u64 + gap;
            keep((&head, before), (tail, after), total, limit)
        }
        _ => {
            head.push_str(&marker(gap));
            head.push_str(tail);
            head
        }
    }
}

/// Returns at most `limit` of the `total` characters of a text that begins with `front` and ends with `back`. Both
/// come with their number of characters.
fn keep((front, in_front): (&str, usize), (back, in_back): (&str, usize), total: u64, limit: usize) -> String {
    if limit < SMALLEST_WITH_MARKER {
        return first(front, limit).to_owned();
    }
    // A longer marker leaves less room for the text, which may make the number in the marker longer.
    let mut room = limit;
    loop {
        let from_back = in_back.min(room - in_front.min(room.div_ceil(2)));
        let from_front = in_front.min(room - from_back);
        let marker = marker(total.saturating_sub((from_front + from_back) as u64));
        let fitting = limit - marker.chars().count();
        if fitting >= from_front + from_back {
            return [first(front, from_front), &marker, last(back, from_back)].concat();
        }
        room = fitting;
    }
}

/// Returns the size in bytes of the text within a JSON string.
pub(super) fn bytes_in_json(text: &str) -> usize {
    text.chars().map(character_in_json).sum()
}

fn character_in_json(character: char) -> usize {
    match character {
        '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
        '\0'..' ' => MAX_CHARACTER_LEN,
        _ => character.len_utf8(),
    }
}

/// Returns the limit that shortens a text to at most `room` bytes within a JSON string. The unshortened text must be
/// larger. The text is either known as a whole, or by its front and back.
pub(super) fn limit_within(front: &str, back: Option<&str>, room: usize) -> usize {
    // Counts the marker as long in bytes and as short in characters, so that the text that the limit keeps is never
    // larger than the text counted here.
    let mut left = room.saturating_sub(MAX_MARKER_LEN);
    let mut limit = marker(0).chars().count();
    let (mut from_front, mut from_back) = (front.chars(), back.unwrap_or(front).chars().rev());
    loop {
        let pair = [from_front.next(), from_back.next()];
        let cost: usize = pair.into_iter().flatten().map(character_in_json).sum();
        if pair == [None, None] || cost > left {
            break;
        }
        left -= cost;
        limit += pair.into_iter().flatten().count();
    }
    if back.is_none() {
        // With a higher limit nothing would be left out.
        limit = limit.min(front.chars().count().saturating_sub(1));
    }
    if limit >= SMALLEST_WITH_MARKER {
        return limit;
    }
    let mut left = room;
    let fitting = front.chars().take_while(|&character| {
        let cost = character_in_json(character);
        let fits = cost <= left;
        left = left.saturating_sub(cost);
        fits
    });
    fitting.count().min(SMALLEST_WITH_MARKER - 1)
}

fn first(text: &str, characters: usize) -> &str {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

fn last(text: &str, characters: usize) -> &str {
    let Some(skipped) = characters.checked_sub(1) else {
        return "";
    };
    let start = text.char_indices().rev().nth(skipped).map_or(0, |(at, _)| at);
    &text[start..]
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn left_out(text: &str) -> Option<u64> {
        text.split_once("\n[… ")?
            .1
            .split_once(" characters left out …]\n")?
            .0
            .parse()
            .ok()
    }

    #[test]
    fn text_within_the_limit_is_unchanged() {
        assert_eq!(whole("äöü".to_owned(), 3), ("äöü".to_owned(), false));
        assert_eq!(whole(String::new(), 0), (String::new(), false));
    }

    #[test]
    fn small_limit_keeps_the_first_characters() {
        assert_eq!(whole("äöü".to_owned(), 2), ("äö".to_owned(), true));
        assert_eq!(whole("x".to_owned(), 0), (String::new(), true));
        let (kept, _) = whole("ab".repeat(200), 199);
        assert_eq!(kept.len(), 199);
        assert_eq!(left_out(&kept), None);
    }

    #[test]
    fn larger_limit_keeps_both_ends() {
        let (kept, is_truncated) = whole(format!("{}{}", "a".repeat(500), "z".repeat(500)), 200);
        assert!(is_truncated);
        assert_eq!(kept.chars().count(), 200);
        let (front, rest) = kept.split_once('\n').unwrap_or_default();
        let (marker, back) = rest.split_once('\n').unwrap_or_default();
        assert_eq!(marker, "[… 831 characters left out …]");
        assert_eq!(front, "a".repeat(85));
        assert_eq!(back, "z".repeat(84));
    }

    #[test]
    fn omitted_count_includes_the_gap() {
        let unlimited = around_gap("head".to_owned(), 5, "tail", None);
        assert_eq!(unlimited, "head\n[… 5 characters left out …]\ntail");
        let limited = around_gap("h".repeat(300), 1000, &"t".repeat(300), Some(250));
        assert_eq!(limited.chars().count(), 250);
        let kept = limited.chars().filter(|kept| matches!(kept, 'h' | 't')).count() as u64;
        // The marker itself contains three letters `h` and three letters `t`.
        let in_marker = marker(0).chars().filter(|kept| matches!(kept, 'h' | 't')).count() as u64;
        assert_eq!(left_out(&limited), Some(1600 - (kept - in_marker)));
    }

    #[test]
    fn limit_between_the_text_with_and_without_marker_is_respected() {
        let fitted = around_gap("h".repeat(150), 5, &"t".repeat(150), Some(310));
        assert!(fitted.chars().count() <= 310, "{fitted}");
        assert!(left_out(&fitted).is_some_and(|number| number > 5));
    }

    #[test]
    fn json_size_of_text_is_exact() {
        let each_of_ascii: String = ('\0'..='\u{7f}').collect();
        for text in ["", &each_of_ascii, "plain é €\u{10ffff}"] {
            let json = serde_json::to_string(text).expect("text is JSON");
            assert_eq!(bytes_in_json(text), json.len() - 2, "{text:?}");
        }
        assert!(bytes_in_json(&marker(u64::MAX)) <= MAX_MARKER_LEN);
    }

    proptest! {
        #[test]
        fn text_fits_in_the_given_bytes(
            text in prop::collection::vec(prop::sample::select(vec!['a', '\n', '\0', '€']), 0..3000),
            gap in 0_u64..3,
            room in 0_usize..4000,
        ) {
            let text: String = text.into_iter().collect();
            let (front, back) = text.split_at(text.char_indices().nth(text.chars().count() / 3).map_or(0, |(at, _)| at));
            let fitted = if gap == 0 {
                whole(text.clone(), limit_within(&text, None, room)).0
            } else {
                around_gap(front.to_owned(), gap, back, Some(limit_within(front, Some(back), room)))
            };
            let size = bytes_in_json(&fitted);
            prop_assert!(size <= room, "{size} > {room}");
            if gap == 0 && room >= 1500 && bytes_in_json(&text) > room {
                prop_assert!(size > room - 300, "{size} << {room}");
            }
        }

        #[test]
        fn omitted_count_around_a_gap_is_exact(
            before in 0_usize..600,
            gap in 1_u64..5000,
            after in 0_usize..600,
            limit in SMALLEST_WITH_MARKER..1500,
        ) {
            let fitted = around_gap("é".repeat(before), gap, &"ß".repeat(after), Some(limit));
            let number = left_out(&fitted).expect("there is a marker");
            let kept = fitted.chars().count() - marker(number).chars().count();
            prop_assert_eq!(number, (before + after - kept) as u64 + gap);
            prop_assert!(fitted.chars().count() <= limit || before + after == kept);
        }

        #[test]
        fn limit_is_respected_and_the_omitted_count_is_exact(length in 0_usize..3000, limit in 0_usize..2500) {
            let text: String = "aé€".chars().cycle().take(length).collect();
            let (kept, is_truncated) = whole(text.clone(), limit);
            prop_assert!(kept.chars().count() <= limit);
            prop_assert_eq!(is_truncated, length > limit);
            if let Some(number) = left_out(&kept) {
                let in_marker = marker(number).chars().count();
                prop_assert_eq!(number, (length - (kept.chars().count() - in_marker)) as u64);
            } else {
                prop_assert!(text.starts_with(&kept));
            }
        }
    }
}
