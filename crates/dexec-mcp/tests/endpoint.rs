//! The server's engine, from docker's options and contexts.

use serde_json::json;

use crate::client::{Client, ended, server};
use test_support::api;

/// The SHA-256 of `test`.
const TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[tokio::test]
async fn docker_context_selects_the_engine() {
    let config = tempfile::tempdir().expect("a directory can be made");
    let meta = config.path().join("contexts/meta").join(TEST);
    std::fs::create_dir_all(&meta).expect("it can be made");
    let stored = json!({"Name": "test", "Endpoints": {"docker": {"Host": format!("unix://{}", api::socket())}}});
    std::fs::write(meta.join("meta.json"), stored.to_string()).expect("it can be written");
    let mut server = server(["--context", "test"]);
    server
        .env("DOCKER_CONFIG", config.path())
        .env("DOCKER_HOST", "unix:///nonexistent/socket");
    let client = Client::of(server).await;
    assert_eq!(client.shell("echo hi", json!({})).await.text, "hi");
}

#[tokio::test]
async fn endpoint_problems_are_reported_on_stderr() {
    for (options, code, words) in [
        (&["-c", "nope"][..], 1, "docker has no context `nope`"),
        (
            &["-H", "tcp://a", "-c", "b"],
            1,
            "Start dexec-mcp with either -H or -c, not both",
        ),
        (&["-H", "tcp://10.255.255.1"], 0, "is unencrypted"),
    ] {
        let mut child = server(options).spawn().expect("the server can be started");
        drop(child.stdin.take());
        let (ended, stderr) = ended(child).await;
        assert!(ended == Some(code) && stderr.contains(words), "{ended:?}: {stderr}");
    }
}
