//! The only program of the image without a shell.
//!
//! Without arguments, as the container's first process, it waits. A test passes an argument to select an action.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, exit};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => hold(),
        ["echo", rest @ ..] => println!("{}", rest.join(" ")),
        ["exit", code] => exit(code.parse().unwrap_or(99)),
        ["ready"] => {
            println!("ready");
            hold();
        }
        ["print", path] => match std::fs::read_to_string(path) {
            Ok(text) => print!("{text}"),
            Err(error) => {
                eprintln!("{path}: {error}");
                exit(1);
            }
        },
        ["tree"] => tree(),
        ["hold"] => hold(),
        ["fill"] => {
            // Starts as many processes as the container allows.
            while child(&["hold"]).spawn().is_ok() {}
            println!("ready");
            hold();
        }
        ["ignore"] => {
            ignore();
            hold();
        }
        ["leave"] => drop(child(&["hold"]).spawn()),
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
            eprintln!("wait: unknown arguments: {words:?}");
            exit(98);
        }
    }
}

fn hold() -> ! {
    loop {
        std::thread::park();
    }
}

fn child(words: &[&str]) -> Command {
    let mut command = Command::new("/bin/wait");
    command.args(words);
    command
}

/// Starts children of every kind that a stop can find, and then prints `ready`.
fn tree() -> ! {
    let in_a_session = |command: &mut Command| {
        // SAFETY: setsid is one system call, which may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                setsid();
                Ok(())
            });
        }
    };
    let mut children = vec![
        child(&["hold"]),
        child(&["ignore"]),
        child(&["leave"]),
        child(&["hold"]),
        child(&["hold"]),
        child(&["ignore"]),
    ];
    children[3].env_clear();
    in_a_session(&mut children[4]);
    in_a_session(children[5].env_clear());
    for command in &mut children {
        command.spawn().expect("it can be started");
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    println!("ready");
    hold()
}

fn ignore() {
    for signal in [1, 2, 15] {
        // SAFETY: 1 is SIG_IGN.
        unsafe { self::signal(signal, 1) };
    }
}

unsafe extern "C" {
    fn setsid() -> i32;
    fn signal(number: i32, handler: usize) -> usize;
}
