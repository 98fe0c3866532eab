//! Reads `--env-file` files by docker's rules.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, io_reason};

/// The longest line, without its LF, that Go's `bufio.Scanner` accepts, which docker reads the file with.
const MAX_LINE_LEN: usize = 64 * 1024 - 1;

/// Limits memory use. No real environment file is this large.
const MAX_FILE_SIZE: u64 = 64 * 1024 * 1024;

/// Reads the entries of an environment file in docker's format: lines of `NAME=value`.
///
/// A line with only a name takes its value from `lookup`, and is omitted if `lookup` returns `None`. Leading white
/// space is removed; trailing white space is part of the value. Empty lines and lines that begin with `#` are skipped.
/// There are no quotes, escapes or expansions (docker/cli, `pkg/kvfile`).
///
/// # Errors
///
/// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if the file can't be read, or a line has no name,
/// white space in its name, bytes that are not UTF-8, or more than 65,535 bytes. The message contains the file and the
/// line number, but never a value.
pub fn read_env_file(path: &Path, lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, Error> {
    let file = File::open(path).map_err(|error| {
        let name = path.display();
        Error::invalid(format!("the env file {name} can't be opened: {}", io_reason(&error)))
            .with_docker_text(format!("open {name}: {}", io_reason(&error)))
            .with_source(error)
    })?;
    read_env_file_from(file, path, lookup)
}

/// Like [`read_env_file`], but reads from an open file or another reader. `path` is its name in errors.
///
/// # Errors
///
/// The same as for [`read_env_file`].
pub fn read_env_file_from(
    file: impl Read,
    path: &Path,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Error> {
    let name = path.display();
    let mut contents = Vec::new();
    file.take(MAX_FILE_SIZE + 1)
        .read_to_end(&mut contents)
        .map_err(|error| {
            Error::invalid(format!("the env file {name} can't be read: {}", io_reason(&error)))
                .with_docker_text(format!("invalid env file ({name}): read {name}: {}", io_reason(&error)))
                .with_source(error)
        })?;
    if contents.len() as u64 > MAX_FILE_SIZE {
        return Err(Error::invalid(format!(
            "the env file {name} is larger than {MAX_FILE_SIZE} bytes"
        )));
    }
    parse(&contents, lookup).map_err(|fault| {
        Error::invalid(format!("{name}:{}: {}", fault.line, fault.message))
            .with_docker_text(format!("invalid env file ({name}): {}", fault.docker_text))
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: usize,
    message: String,
    docker_text: String,
}

fn parse(contents: &[u8], lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, Fault> {
    let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
    let lines = contents
        .strip_suffix(b"\n")
        .unwrap_or(contents)
        .split(|byte| *byte == b'\n');
    let mut entries = Vec::new();
    for (index, line) in lines.enumerate() {
        let line = entry(line, &lookup).map_err(|(message, docker_text)| Fault {
            line: index + 1,
            docker_text: docker_text.replace("{line}", &(index + 1).to_string()),
            message,
        })?;
        entries.extend(line);
    }
    Ok(entries)
}

fn entry(line: &[u8], lookup: impl Fn(&str) -> Option<String>) -> Result<Option<String>, (String, String)> {
    if line.len() > MAX_LINE_LEN {
        return Err((
            format!("the line is longer than {MAX_LINE_LEN} bytes"),
            "bufio.Scanner: token too long".to_owned(),
        ));
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Ok(line) = std::str::from_utf8(line) else {
        // docker's message for this fault contains the line's bytes, and some of those below the whole line. They are
        // omitted because they may contain a secret.
        return Err((
            "the line is not UTF-8".to_owned(),
            "invalid utf8 bytes at line {line}".to_owned(),
        ));
    };
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (line, None),
    };
    if name.contains([' ', '\t']) {
        if value.is_none() {
            // A line without `=` may be part of a multi-line value, so it is not shown.
            return Err((
                "a line without `=` contains white space: a value can't span several lines".to_owned(),
                "a variable contains whitespaces on line {line}".to_owned(),
            ));
        }
        return Err((
            format!("the variable's name `{name}` contains white space"),
            format!("variable '{name}' contains whitespaces"),
        ));
    }
    if name.is_empty() {
        return Err((
            "there is no name before `=`".to_owned(),
            "no variable name on line {line}".to_owned(),
        ));
    }
    Ok(match value {
        Some(_) => Some(line.to_owned()),
        None => lookup(name).map(|value| format!("{name}={value}")),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(contents: &[u8]) -> Vec<String> {
        parse(contents, |name| match name {
            "HOST" => Some("from-the-host".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
        .unwrap()
    }

    fn fault(contents: &[u8]) -> (usize, String) {
        let fault = parse(contents, |_| None).unwrap_err();
        (fault.line, fault.docker_text)
    }

    #[test]
    fn file_larger_than_the_maximum_is_refused() {
        let mut line = vec![b'#'; 32 * 1024];
        line[32 * 1024 - 1] = b'\n';
        let contents = line.repeat(usize::try_from(MAX_FILE_SIZE).unwrap() / line.len());
        let read = |file: &mut dyn Read| read_env_file_from(file, Path::new("large.env"), |_| None);
        assert_eq!(read(&mut contents.as_slice()).unwrap(), Vec::<String>::new());
        let error = read(&mut contents.chain(&b"\n"[..])).unwrap_err();
        assert!(error.to_string().contains("is larger than"), "{error}");
    }

    #[test]
    fn lines_are_parsed_as_docker_parses_them() {
        for (contents, expected) in [
            (&b""[..], &[][..]),
            (b"\n\n", &[]),
            (b"A=1\nB=2", &["A=1", "B=2"]),
            (b"A=1\r\nB=\r2\r\n", &["A=1", "B=\r2"]),
            (b"\xef\xbb\xbfA=1", &["A=1"]),
            (b"A=1\n\xef\xbb\xbfB=2", &["A=1", "\u{feff}B=2"]),
            (b" \t\x0b\x0cA=1", &["A=1"]),
            ("\u{a0}A=1".as_bytes(), &["A=1"]),
            (b"A=trail  ", &["A=trail  "]),
            (b"# no\n   # no\nA=#yes", &["A=#yes"]),
            (b"A=\"q\"\nB='$A'\nC=a\\", &["A=\"q\"", "B='$A'", "C=a\\"]),
            (b"A=b=c\nA=2", &["A=b=c", "A=2"]),
            ("A\u{a0}B=1".as_bytes(), &["A\u{a0}B=1"]),
            (b"HOST\nEMPTY\nUNSET", &["HOST=from-the-host", "EMPTY="]),
        ] {
            assert_eq!(entries(contents), expected, "{contents:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (contents, line, text) in [
            (&b"A=1\nK 1=x"[..], 2, "variable 'K 1' contains whitespaces"),
            (b"K1 =x", 1, "variable 'K1 ' contains whitespaces"),
            (b"export K1=a", 1, "variable 'export K1' contains whitespaces"),
            (b"KHOST ", 1, "a variable contains whitespaces on line 1"),
            (
                b"A=-----BEGIN KEY-----\nse cr et",
                2,
                "a variable contains whitespaces on line 2",
            ),
            (b"\n\n=x", 3, "no variable name on line 3"),
            (b"K1=\xff", 1, "invalid utf8 bytes at line 1"),
        ] {
            assert_eq!(fault(contents), (line, text.to_owned()), "{contents:?}");
        }
    }

    #[test]
    fn maximum_line_length_matches_docker() {
        let longest = format!("A={}", "x".repeat(MAX_LINE_LEN - 2));
        assert_eq!(entries(format!("{longest}\n").as_bytes()), [longest.as_str()]);
        assert_eq!(
            fault(format!("{longest}x").as_bytes()),
            (1, "bufio.Scanner: token too long".to_owned())
        );
    }

    #[test]
    fn missing_file_is_reported_in_the_words_of_docker() {
        let error = read_env_file(Path::new("/nope"), |_| None).unwrap_err();
        assert_eq!(error.docker_text(), "open /nope: no such file or directory");
        let error = read_env_file(Path::new("/tmp"), |_| None).unwrap_err();
        assert_eq!(
            error.docker_text(),
            "invalid env file (/tmp): read /tmp: is a directory"
        );
    }

    proptest! {
        #[test]
        fn every_entry_has_a_name_and_a_value(contents in any::<Vec<u8>>()) {
            for entry in parse(&contents, |_| None).unwrap_or_default() {
                let (name, _) = entry.split_once('=').unwrap();
                prop_assert!(!name.is_empty() && !name.contains([' ', '\t', '\n']));
            }
        }
    }
}
