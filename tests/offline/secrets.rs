//! Environment values appear in no error and no log.

use std::sync::Mutex;

use dexec::{CancellationToken, Endpoint, Engine, Request};

use crate::dexec;
use crate::fake::{Fake, Script, json};

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

/// Records the log messages.
struct Recorder;

static RECORDS: Mutex<String> = Mutex::new(String::new());

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        RECORDS.lock().expect("no thread panics").push_str(&line);
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn log_records_contain_neither_command_nor_environment() {
    log::set_logger(&Recorder).expect("no other logger is set in this process");
    log::set_max_level(log::LevelFilter::Trace);
    let state =
        "\"ContainerID\":\"0123abcd\",\"ProcessConfig\":{\"entrypoint\":\"hunter2\",\"arguments\":[\"hunter2\"]}";
    let fake = Fake::start(Script {
        inspect: json("200 OK", &format!("{{\"Running\":false,\"ExitCode\":3,{state}}}")).into(),
        ..Script::default()
    });
    let endpoint = Endpoint::parse(&fake.host).expect("it is an address");
    let engine = Engine::connect(&endpoint);
    for is_detached in [false, true] {
        let request = Request::new("web", ["echo", "hunter2"]).env("TOKEN=hunter2");
        let request = request.detach(is_detached);
        let request = request.build().expect("it is valid");
        engine.exec(request, &CancellationToken::new()).await;
    }
    let is_sent = |body: &String| body.contains("TOKEN=hunter2");
    assert_eq!(fake.bodies().iter().filter(|body| is_sent(body)).count(), 2);
    let inspect = format!("GET /exec/{}/json HTTP/1.1", crate::fake::EXEC_ID);
    assert!(fake.requests().contains(&inspect), "{:?}", fake.requests());
    let records = RECORDS.lock().expect("no thread panics");
    // Calls are logged with their paths.
    assert!(records.contains("/containers/web/exec"), "{records}");
    assert!(!records.contains("hunter2"), "{records}");
}
