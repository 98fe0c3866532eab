//! The single program of the image without a shell.
//!
//! As the container's first process it waits; run by a test it does one small thing.

use std::io::{self, Read as _, Write as _};
use std::process::exit;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => loop {
            std::thread::park();
        },
        ["echo", rest @ ..] => println!("{}", rest.join(" ")),
        ["exit", code] => exit(code.parse().unwrap_or(99)),
        ["cat"] => {
            let mut input = Vec::new();
            let copied = io::stdin()
                .read_to_end(&mut input)
                .and_then(|_| io::stdout().write_all(&input));
            if copied.is_err() {
                exit(1);
            }
        }
        _ => {
            eprintln!("wait: unknown words: {words:?}");
            exit(98);
        }
    }
}
