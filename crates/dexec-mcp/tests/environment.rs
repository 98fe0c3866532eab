//! Which variables a command's environment contains, and which it never contains.

use std::os::unix::fs::symlink;

use serde_json::json;
use tempfile::TempDir;

use crate::client::{Answer, Client, server};

/// A directory with env files inside and outside a root, and links between them.
fn files() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("it can be written");
    std::fs::create_dir_all(path.join("root/below")).expect("it can be made");
    write("outside.env", "A=outside\n");
    write("root/app.env", "# comment\nA=file\nB=2\n");
    write("root/below/more.env", "A=below\n");
    write("root/bare.env", "A=1\nDEXEC_SECRET\n");
    write(
        "root/key.env",
        "KEY=first\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n",
    );
    symlink("../outside.env", path.join("root/link.env")).expect("it can be linked");
    symlink("below/more.env", path.join("root/inner.env")).expect("it can be linked");
    symlink("..", path.join("root/up")).expect("it can be linked");
    directory
}

async fn client(files: &TempDir, options: &[&str]) -> Client {
    let root = files.path().join("root");
    let mut server = server(options);
    server.current_dir(&root).env("DEXEC_SECRET", "hunter2");
    Client::of(server).await
}

fn refusal(answer: &Answer) -> &str {
    assert!(answer.is_error, "{}", answer.text);
    assert_eq!(answer.structure["errorKind"], "refusedByPolicy", "{}", answer.text);
    answer.structure["message"].as_str().expect("there is a message")
}

const SHOW: &str = "echo $A-$B-$DEXEC_SECRET";

#[tokio::test]
async fn env_files_below_the_root_are_read() {
    let files = files();
    let client = client(&files, &[]).await;
    let root = files.path().join("root");
    let absolute = root.join("app.env");
    for (more, text) in [
        (json!({ "envFile": "app.env" }), "file-2-"),
        (json!({ "envFile": "./below/../app.env" }), "file-2-"),
        (json!({ "envFile": absolute }), "file-2-"),
        (json!({ "envFile": "inner.env" }), "below--"),
        (json!({ "envFile": "more.env", "path": "below" }), "below--"),
        (json!({ "envFile": "app.env", "path": root, "env": ["B=3"] }), "file-3-"),
        (json!({ "envFile": "root/app.env", "path": files.path() }), "file-2-"),
        (json!({ "envFile": "" }), "--"),
    ] {
        let answer = client.shell(SHOW, more.clone()).await;
        assert_eq!(answer.text, text, "{more}");
    }
}

#[tokio::test]
async fn env_files_outside_the_root_are_refused() {
    let files = files();
    let client = client(&files, &[]).await;
    let outside = files.path().join("outside.env");
    for more in [
        json!({ "envFile": "../outside.env" }),
        json!({ "envFile": outside }),
        json!({ "envFile": "link.env" }),
        json!({ "envFile": "up/outside.env" }),
        json!({ "envFile": "below/../../outside.env" }),
        json!({ "envFile": "outside.env", "path": files.path() }),
        json!({ "envFile": "outside.env", "path": ".." }),
        json!({ "envFile": "/proc/self/environ" }),
        json!({ "envFile": "/etc/passwd" }),
        json!({ "envFile": "nosuch.env" }),
        json!({ "envFile": "/nosuch.env" }),
    ] {
        let answer = client.shell(SHOW, more.clone()).await;
        let message = refusal(&answer);
        assert!(message.contains("--env-file-root"), "{more}: {message}");
    }
    let answer = client.shell(SHOW, json!({ "envFile": "below" })).await;
    assert!(
        answer.is_error && answer.text.contains("is not a file"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn another_root_can_be_set() {
    let files = files();
    let root = files.path().join("root/below");
    let client = client(&files, &["--env-file-root", root.to_str().expect("it is UTF-8")]).await;
    assert_eq!(
        client.shell(SHOW, json!({ "envFile": "below/more.env" })).await.text,
        "below--"
    );
    refusal(&client.shell(SHOW, json!({ "envFile": "app.env" })).await);
}

#[tokio::test]
async fn server_variables_are_passed_only_when_named() {
    let files = files();
    let strict = client(&files, &["--pass-env", "OTHER"]).await;
    for more in [json!({ "env": ["DEXEC_SECRET"] }), json!({ "envFile": "bare.env" })] {
        let answer = strict.shell(SHOW, more).await;
        let message = refusal(&answer);
        assert!(
            message.contains("`DEXEC_SECRET`") && message.contains("--pass-env"),
            "{message}"
        );
        assert!(!message.contains("hunter2"));
    }
    // A line without `=` may be part of a secret.
    let answer = strict.shell(SHOW, json!({ "envFile": "key.env" })).await;
    assert!(!refusal(&answer).contains("MIIE"), "{}", answer.text);

    let open = client(&files, &["--pass-env", "DEXEC_SECRET"]).await;
    for more in [json!({ "env": ["DEXEC_SECRET"] }), json!({ "envFile": "bare.env" })] {
        let answer = open.shell(SHOW, more).await;
        assert!(answer.text.ends_with("-hunter2"), "{}", answer.text);
    }
    assert_eq!(open.shell("env | grep -c hunter2 || true", json!({})).await.text, "0");
}
