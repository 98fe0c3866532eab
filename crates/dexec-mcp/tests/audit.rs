//! The audit log.

use serde_json::{Value, json};

use crate::client::Client;

#[tokio::test]
async fn each_command_is_logged_without_its_secrets() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("audit");
    let options = ["--audit", file.to_str().expect("it is UTF-8"), "--deny-command", "rm"];
    let client = Client::start(&options).await;
    let secret = json!({ "env": ["TOKEN=hunter2"], "stdin": "hunter2", "user": "app" });
    client.shell("cat; echo $TOKEN; exit 4", secret).await;
    client
        .exec(json!({ "container": "dexec-shell", "command": ["rm", "/x"] }))
        .await;
    client.exec(json!({ "container": "nosuch", "command": ["true"] })).await;

    let log = std::fs::read_to_string(&file).expect("there is a log");
    assert!(!log.contains("hunter2"), "{log}");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    let [ran, refused, missing] = lines.as_slice() else {
        panic!("not three lines: {log}");
    };
    assert_eq!(ran["container"], "dexec-shell");
    assert_eq!(ran["command"], json!(["sh", "-c", "cat; echo $TOKEN; exit 4"]));
    assert_eq!((&ran["user"], &ran["exitCode"]), (&json!("app"), &json!(4)));
    assert!(ran["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{ran}");
    assert!(ran["durationMs"].is_u64() && ran["errorKind"].is_null(), "{ran}");
    assert!(
        ran["client"].as_str().is_some_and(|client| client.starts_with("rmcp ")),
        "{ran}"
    );
    assert_eq!(
        (&refused["errorKind"], &refused["exitCode"]),
        (&json!("refusedByPolicy"), &json!(1))
    );
    assert_eq!(missing["errorKind"], "containerNotFound");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn failed_audit_log_refuses_further_commands() {
    let client = Client::start(&["--audit", "/dev/full", "--max-concurrent", "1"]).await;
    // The write fails only after the first command has run; by then, the others are waiting for their turn.
    let calls = || client.shell("echo ran", json!({}));
    let (one, two, three) = tokio::join!(calls(), calls(), calls());
    let (ran, refused): (Vec<_>, Vec<_>) = [one, two, three].into_iter().partition(|answer| answer.text == "ran");
    assert_eq!((ran.len(), refused.len()), (1, 2));
    for answer in refused {
        assert_eq!(answer.structure["errorKind"], "refusedByPolicy");
        assert!(answer.text.contains("audit log"), "{}", answer.text);
    }
    let (_, stderr) = client.close().await;
    assert!(stderr.contains("the audit log /dev/full can't be written"), "{stderr}");
}
