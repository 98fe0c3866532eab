//! `--env-file`: what is read has a name and a value, and what is refused shows no value.
#![no_main]

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use dexec::{Error, ErrorKind, read_env_file};
use libfuzzer_sys::fuzz_target;

const FROM_THE_HOST: &str = "from the host";

fn lookup(name: &str) -> Option<String> {
    (name.len() % 2 == 1).then(|| FROM_THE_HOST.to_owned())
}

thread_local! {
    /// A file without a name, which is gone with the fuzzer however that ends, and the path by which it can be opened.
    static FILE: (File, PathBuf) = {
        let shared = Path::new("/dev/shm");
        let file = if shared.is_dir() { tempfile::tempfile_in(shared) } else { tempfile::tempfile() };
        let file = file.expect("a temporary file can be made");
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        (file, path)
    };
}

fn read(contents: &[u8]) -> Result<Vec<String>, Error> {
    FILE.with(|(file, path)| {
        let mut file = file;
        file.set_len(0).expect("it is a file");
        file.rewind().expect("it is a file");
        file.write_all(contents).expect("it takes what is written");
        read_env_file(path, lookup)
    })
}

/// The same lines with other values in them, and lines that may belong to a value with other words.
fn with_other_values(contents: &[u8]) -> Vec<u8> {
    let mark: &[u8] = b"\xef\xbb\xbf";
    let (mark, lines) = match contents.strip_prefix(mark) {
        Some(lines) => (mark, lines),
        None => (&contents[..0], contents),
    };
    let lines = lines.split(|byte| *byte == b'\n').map(|line| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start();
        if text.starts_with('#') {
            return line.to_vec();
        }
        match line.iter().position(|byte| *byte == b'=') {
            Some(at) => [&line[..=at], b"other"].concat(),
            None if text.strip_suffix('\r').unwrap_or(text).contains([' ', '\t']) => b"other words".to_vec(),
            None => line.to_vec(),
        }
    });
    [mark, &lines.collect::<Vec<_>>().join(&b'\n')].concat()
}

fn texts(error: &Error) -> [String; 3] {
    [error.to_string(), error.docker_text().to_owned(), format!("{error:?}")]
}

fuzz_target!(|contents: &[u8]| {
    match read(contents) {
        Ok(entries) => {
            let text = std::str::from_utf8(contents).expect("what is not UTF-8 is refused");
            let lines = text.split('\n').count();
            assert!(entries.len() <= lines, "{entries:?}");
            for entry in &entries {
                let (name, value) = entry.split_once('=').expect("an entry has a name and a value");
                assert!(!name.is_empty() && !name.contains([' ', '\t', '\n']), "{entry:?}");
                assert!(
                    !name.starts_with(char::is_whitespace) && !name.starts_with('#'),
                    "{entry:?}"
                );
                assert!(!value.contains('\n'), "{entry:?}");
                let is_looked_up = value == FROM_THE_HOST && text.contains(name);
                assert!(is_looked_up || text.contains(entry.as_str()), "{entry:?}");
            }
            // What was read reads the same again, but for a name that a byte order mark begins.
            let again = entries.join("\n");
            if !again.starts_with('\u{feff}') && !again.contains('\r') {
                assert_eq!(read(again.as_bytes()).expect("it was read before"), entries);
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            let texts_as_they_are = texts(&error);
            if !texts_as_they_are[0].ends_with("is not UTF-8") && !texts_as_they_are[0].contains("longer than") {
                let other = read(&with_other_values(contents)).expect_err("values have no faults but these");
                assert_eq!(texts(&other), texts_as_they_are);
            }
        }
    }
});
