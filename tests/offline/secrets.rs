//! Environment values appear in no error and no log.

use crate::fake::{Fake, Script, json};
use crate::support::dexec;

#[test]
fn values_are_not_shown_when_something_fails() {
    let create = json("500 Oops", "{\"message\":\"it broke\"}");
    let fake = Fake::start(Script {
        create: create.into(),
        ..Script::default()
    });
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("env");
    for contents in ["OTHER=hunter2\n", "=hunter2\n", "bad name=hunter2\n", "T=hunter2\0\n"] {
        std::fs::write(&file, contents).expect("it can be written");
        for mode in ["json", "raw", "events"] {
            let run = dexec([
                "-H",
                &fake.host,
                "--output",
                mode,
                "-e",
                "TOKEN=hunter2",
                "-e",
                "SECRET",
                "--env-file",
            ]);
            let run = run
                .args([&file])
                .args(["web", "true"])
                .env("SECRET", "hunter2")
                .env("RUST_LOG", "trace");
            let done = run.run();
            assert_eq!(done.code, 1);
            let shown = done.stdout_text() + &done.stderr_text();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
