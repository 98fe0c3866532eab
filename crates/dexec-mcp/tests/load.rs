//! Many calls, concurrently and one after the other.

use serde_json::json;

use crate::client::Client;
use test_support::api::Container;

#[tokio::test]
async fn thirty_two_concurrent_calls_return_the_right_results() {
    let client = Client::start(&[]).await;
    let mut calls = Vec::new();
    for number in 0..32 {
        let script = format!("cat; echo {number}; exit {number}");
        let arguments = json!({
            "container": "dexec-shell", "command": ["sh", "-c", script], "stdin": format!("in {number} "),
            "timeout": 120_000,
        });
        calls.push((number, client.begin(arguments).await));
    }
    for (number, call) in calls {
        let answer = client.end_of(call).await;
        assert_eq!(answer.structure["exitCode"], number, "{}", answer.text);
        assert!(
            answer.text.starts_with(&format!("in {number} {number}")),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn slow_call_does_not_block_other_calls() {
    let container = Container::start("mcp-slow", &["sleep", "1000000"]);
    let client = Client::start(&[]).await;
    let wait = "until [ -e /tmp/quick ]; do sleep 0.1; done; echo slow";
    let slow = json!({ "container": container.name, "command": ["sh", "-c", wait], "timeout": 60_000 });
    let slow = client.begin(slow).await;
    // The slow command ends only after this one has run at the same time.
    let quick = client.exec(json!({ "container": container.name, "command": ["touch", "/tmp/quick"] }));
    assert_eq!(quick.await.text, "[exit 0]");
    assert_eq!(client.end_of(slow).await.text, "slow");
}

/// The resident memory of a process in KiB, and its number of open descriptors.
fn size(pid: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    (memory.expect("it has memory"), descriptors)
}

#[tokio::test]
#[ignore = "loads the machine: script/test runs it on its own"]
async fn five_hundred_calls_leak_no_memory_or_descriptors() {
    let container = Container::start("mcp-row", &["sleep", "1000000"]);
    let client = Client::start(&[]).await;
    let pid = client.child.id().expect("it runs");
    let mut early = None;
    for number in 0..500 {
        let answer = client
            .exec(json!({ "container": container.name, "command": ["echo", "x"] }))
            .await;
        assert_eq!(answer.text, "x");
        if number == 50 {
            early = Some(size(pid));
        }
    }
    let (early, late) = (early.expect("it was looked at"), size(pid));
    assert!(late.1 <= early.1 + 2, "descriptors: {early:?}, {late:?}");
    // Memory that the allocator keeps at first is not a leak.
    assert!(late.0 <= early.0 + 2048, "memory: {early:?}, {late:?}");
}
