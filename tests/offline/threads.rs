//! Systems that allow no more threads.

use std::path::Path;

use crate::fake::{Fake, Script};
use test_support::limited::{Limited, open_to_all};

/// The error is reported before anything runs, and never later.
#[test]
fn too_few_threads_are_reported_before_anything_runs() {
    let limited = Limited::new(env!("CARGO_BIN_EXE_dexec"));
    for mode in [
        &["web"][..],
        &["-i", "web"],
        &["--raw", "web"],
        &["--output=events", "-i", "web"],
    ] {
        let mut codes = Vec::new();
        for processes in 1..=6 {
            let fake = Fake::start(Script::default());
            let socket = Path::new(fake.host.trim_start_matches("unix://"));
            open_to_all(socket);
            open_to_all(socket.parent().expect("it is in a directory"));
            let output = limited
                .command(processes)
                .args(["-H", &fake.host])
                .args(mode)
                .arg("true")
                .output();
            let output = output.expect("it can be run");
            let code = output.status.code();
            let (stdout, stderr) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            match code {
                Some(1) => {
                    let told = format!("{stdout}{stderr}");
                    let is_told = told.contains("failed to create a thread: ") && told.contains("ulimit -u");
                    assert!(is_told && !told.contains("panicked"), "{mode:?}: {told}");
                    assert_eq!(fake.connections(), 0, "{mode:?}");
                }
                _ => assert!(
                    code == Some(0) && stdout.contains('x'),
                    "{mode:?} {processes}: {code:?} {stderr}"
                ),
            }
            codes.push(code);
        }
        assert_eq!((codes[0], codes[5]), (Some(1), Some(0)), "{mode:?}: {codes:?}");
    }
}
