//! How many instructions are executed, which no noise of the machine changes.

use std::process::Command;

use crate::figures::{number, table};
use crate::{CONTAINER, Engine, address, built};

const PARTS: [(&str, &str); 6] = [
    ("frames-large", "decode 1 MiB in frames of 32 KiB"),
    ("frames-small", "decode 1 MiB in frames of 64 bytes"),
    ("response-plain", "1 MiB of plain text to a response in JSON"),
    (
        "response-escapes",
        "1 MiB with escapes and wide characters to a response in JSON",
    ),
    (
        "response-limit",
        "1 MiB of plain text to a compact response of 20,000 characters",
    ),
    ("response-json", "1 MiB of JSON to a response with `json`"),
];

/// The parts that only compute; and, beside the bare client, the whole of one command.
pub(crate) fn compare(engine: Option<&Engine>) -> String {
    let mut rows: Vec<Vec<String>> = PARTS
        .iter()
        .map(|(part, label)| {
            let count = |times: &str| {
                let mut command = valgrind();
                command.arg(built("pure")).args([part, times]);
                instructions(command)
            };
            // What it takes to begin and to end is in both.
            vec![(*label).to_owned(), thousands(count("3") - count("1"), 2.0)]
        })
        .collect();
    if let Some(engine) = engine {
        let mut dexec = valgrind();
        dexec
            .arg(built("dexec"))
            .args(["--host", &address(&engine.socket), "--raw"]);
        let mut bare = valgrind();
        bare.arg(built("bare")).arg(&engine.socket);
        for (name, mut command) in [("dexec --raw", dexec), ("bare", bare)] {
            command.args([CONTAINER, "true"]);
            let label = format!("`true` by `{name}` on {}, the whole process", engine.title());
            rows.push(vec![label, thousands(instructions(command), 1.0)]);
        }
    }
    format!("\n## Instructions\n{}", table(&["", "thousands"], &rows))
}

fn valgrind() -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    // A `rep movsb` is counted once for each byte, and would hide everything else.
    command.env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff");
    command
}

fn instructions(mut command: Command) -> f64 {
    let output = command.output().expect("valgrind can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let count = told.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.expect("callgrind tells what it has counted")
}

fn thousands(count: f64, times: f64) -> String {
    number(count / times / 1000.0)
}
