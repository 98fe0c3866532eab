//! Detached commands.

use std::time::{Duration, Instant};

use crate::dexec;

fn read(file: &str) -> Option<String> {
    let response = dexec(["dexec-shell", "cat", file]).response();
    (response["exitCode"] == 0).then(|| response["stdout"].as_str().expect("stdout is there").to_owned())
}

#[test]
fn detached_command_keeps_running() {
    let file = "/data/detached";
    let script = format!("sleep 1; echo done >{file}");
    // Standard input is not attached, even with `-i`.
    let response = dexec(["-d", "-i", "dexec-shell", "sh", "-c", &script]).response();
    let id = response["execId"].as_str().expect("there is an id");
    assert!(
        id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    assert_eq!((&response["exitCode"], &response["stdout"]), (&0.into(), &"".into()));

    let deadline = Instant::now() + Duration::from_secs(120);
    while read(file).as_deref() != Some("done") {
        assert!(Instant::now() < deadline, "the command did not run");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(dexec(["dexec-shell", "rm", file]).run().code, 0);
}

#[test]
fn raw_mode_prints_nothing() {
    let done = dexec(["--raw", "-d", "dexec-shell", "echo", "unseen"]).run();
    assert_eq!(
        (done.code, done.stdout_text().as_str(), done.stderr_text().as_str()),
        (0, "", "")
    );
}

#[test]
fn detached_command_that_cannot_start_is_refused() {
    let response = dexec(["-d", "dexec-shell", "nosuch"]).response();
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&1.into(), &"commandNotFound".into()),
        "{response}"
    );
    let stderr = response["stderr"].as_str().expect("stderr is there");
    assert!(stderr.starts_with("Error response from daemon: "), "{stderr}");
}
