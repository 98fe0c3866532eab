//! The library's messages are also read by users of other programs, so they must not name options of this program.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::command;

/// docker's own messages, which are shown unchanged next to dexec's.
const OF_DOCKER: &[&str] = &["conflicting options: cannot specify both --host and --context"];

/// Programs whose own options appear in messages.
const PROGRAMS: &[&str] = &["sh", "sed"];

#[test]
fn library_messages_name_no_option() {
    let command = command();
    let options: Vec<String> = command
        .get_arguments()
        .flat_map(|option| {
            let long = option.get_long().map(|name| format!("--{name}"));
            long.into_iter()
                .chain(option.get_short().map(|letter| format!("-{letter}")))
        })
        .collect();
    assert!(options.contains(&"--tlscacert".to_owned()) && options.contains(&"-H".to_owned()));
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.iter().any(|file| file.ends_with("endpoint/find.rs")));
    for file in files {
        for literal in literals(&fs::read_to_string(&file).unwrap()) {
            let is_free = named(&literal, &options).is_none() || OF_DOCKER.contains(&literal.as_str());
            assert!(is_free, "{} names an option: {literal:?}", file.display());
        }
    }
}

#[test]
fn options_are_found_in_string_literals() {
    let options = ["--host", "-w"].map(str::to_owned);
    for (source, is_found) in [
        (r#"f("use --host")"#, true),
        (r#"f("name it (--host, DOCKER_HOST)")"#, true),
        (r#"f("write `--host=x`")"#, true),
        ("f(\"name it \\\n   -w there\")", true),
        ("f(r#\"a \"-w\" b\"#)", true),
        (r#"f('"', "a -w")"#, true),
        (r#"// "--host""#, false),
        (r#"f("--hosts a-w -wx")"#, false),
        (r#"f("if [ -w x ]; then y; fi")"#, false),
        (r#"f("use a shell: sh -w x")"#, false),
        (r#"f("-w")"#, false),
        (r#"f::<'a>("\"") // -w""#, false),
    ] {
        let found = literals(source)
            .iter()
            .any(|literal| named(literal, &options).is_some());
        assert_eq!(found, is_found, "{source}");
    }
}

/// Collects the library's source files.
fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name() != Some("bin".as_ref()) {
                sources(&path, files);
            }
        } else if path.extension() == Some("rs".as_ref()) {
            files.push(path);
        }
    }
}

/// The first of these options that appears in a message as a word. A single word is an argument, not a message.
fn named<'a>(text: &str, options: &'a [String]) -> Option<&'a String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_script = words.iter().any(|word| word.trim_end_matches(';') == "fi");
    if is_script || words.len() == 1 {
        return None;
    }
    words.iter().enumerate().find_map(|(index, word)| {
        let word = word.trim_start_matches(['(', '`', '\'', '"', '[']);
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '-';
        let word = &word[..word.find(|end| !is_part(end)).unwrap_or(word.len())];
        let before = index.checked_sub(1).map(|before| words[before]);
        let before = before.map(|before| before.trim_start_matches(['(', '`']));
        let is_foreign = before.is_some_and(|before| PROGRAMS.contains(&before));
        options.iter().find(|option| *option == word && !is_foreign)
    })
}

/// The string literals of a source file.
fn literals(source: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find(['/', '\'', '"', 'r']) {
        let is_in_name =
            rest[..start].ends_with(|before: char| before.is_alphanumeric() && before != 'b' || before == '_');
        rest = &rest[start..];
        let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("'\\") {
            rest = &rest[3..];
            rest = &rest[rest.find('\'').unwrap() + 1..];
        } else if rest.starts_with('\'') {
            let mut characters = rest.chars().skip(1);
            // Otherwise the quote begins the name of a lifetime.
            let size = match (characters.next(), characters.next()) {
                (Some(character), Some('\'')) => 2 + character.len_utf8(),
                _ => 1,
            };
            rest = &rest[size..];
        } else if rest.starts_with('r') && !is_in_name && rest[1 + hashes..].starts_with('"') {
            rest = &rest[hashes + 2..];
            let end = format!("\"{}", "#".repeat(hashes));
            let (literal, after) = rest.split_once(&end).unwrap();
            literals.push(literal.to_owned());
            rest = after;
        } else if rest.starts_with('"') {
            let mut literal = String::new();
            rest = &rest[1..];
            loop {
                let end = rest.find(['"', '\\']).unwrap();
                literal.push_str(&rest[..end]);
                let is_end = rest[end..].starts_with('"');
                rest = &rest[end + 1..];
                if is_end {
                    break;
                }
                let escaped = rest.chars().next().unwrap();
                rest = &rest[escaped.len_utf8()..];
                match escaped {
                    '\n' => rest = rest.trim_start(),
                    'n' | 'r' | 't' => literal.push(' '),
                    other => literal.push(other),
                }
            }
            literals.push(literal);
        } else {
            rest = &rest[1..];
        }
    }
    literals
}
