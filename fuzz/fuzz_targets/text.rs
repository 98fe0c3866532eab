//! Text from bytes: however they are cut, the same text.
#![no_main]

use dexec::TextStream;
use dexec_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

// Private in the crate, so its file is compiled once more here.
#[allow(dead_code, reason = "the crate uses more of it")]
#[path = "../../src/text.rs"]
mod text;

use text::{Cleaner, Escapes, Piece};

fn cleaned(pieces: &[&[u8]], keeps_escapes: bool) -> (String, bool) {
    let mut cleaner = Cleaner::new(keeps_escapes);
    let mut text = String::new();
    for piece in pieces {
        cleaner.push(piece, &mut |more| text.push_str(more));
    }
    cleaner.finish(&mut |more| text.push_str(more));
    (text, cleaner.is_lossy())
}

fn shown(pieces: &[&[u8]]) -> (String, bool) {
    let mut stream = TextStream::default();
    let mut text = String::new();
    for piece in pieces {
        text.push_str(&stream.push(piece));
    }
    text.push_str(&stream.finish());
    (text, stream.is_lossy())
}

fuzz_target!(|input: &[u8]| {
    let (stream, pieces) = pieces(input);
    let whole = String::from_utf8_lossy(stream);
    let is_lossy = std::str::from_utf8(stream).is_err();
    assert_eq!(shown(&pieces), (whole.to_string(), is_lossy));
    assert_eq!(cleaned(&pieces, true), (whole.to_string(), is_lossy));
    let clean = cleaned(&pieces, false);
    assert_eq!(clean, cleaned(&[stream], false));
    assert_eq!(clean.1, is_lossy);

    // Text and escapes together are what came, and the clean text is the text alone.
    let (mut all, mut text) = (String::new(), String::new());
    let mut take = |piece: Piece<'_>| match piece {
        Piece::Text(piece) => {
            all.push_str(piece);
            text.push_str(piece);
        }
        Piece::Escape(escape) => {
            assert!(escape.len() >= 2 && escape.starts_with('\x1b'), "{escape:?}");
            all.push_str(escape);
        }
    };
    let mut escapes = Escapes::default();
    escapes.push(&whole, &mut take);
    escapes.finish(&mut take);
    assert_eq!(all, whole);
    assert_eq!(text, clean.0);

    // What a cleaner would leave as it is may be passed by it.
    let (before, after) = stream.split_at(stream.len() / 2);
    let mut cleaner = Cleaner::new(false);
    cleaner.push(before, &mut |_| ());
    if let Ok(after) = std::str::from_utf8(after)
        && cleaner.leaves(after)
    {
        let mut passed = String::new();
        cleaner.push(after.as_bytes(), &mut |more| passed.push_str(more));
        assert_eq!(passed, after);
        cleaner.finish(&mut |more| panic!("{more:?} was left open"));
    }
});
