//! Commands are removed from the container completely, whatever stops them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::client::{Client, ended};
use test_support::api::Container;
use test_support::code;

/// A process tree that can't be ended by a single signal to one process.
const FAMILY: &str = "echo started; (trap '' TERM; exec sleep 601) & (setsid sleep 602 &); sleep 603";

/// The longest time that a test waits for something in a container.
const MAX_WAIT: Duration = Duration::from_secs(180);

fn process_count(container: &Container) -> usize {
    container
        .processes()
        .iter()
        .filter(|line| line.contains("sleep 60"))
        .count()
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(MAX_WAIT, waiting).await.expect("the condition becomes true");
}

fn arguments(container: &Container) -> Value {
    json!({ "container": container.name, "command": ["sh", "-c", FAMILY], "timeout": 600_000 })
}

fn start(purpose: &str) -> Container {
    Container::start(&format!("mcp-stop-{purpose}"), &["sleep", "1000000"])
}

#[tokio::test]
async fn timeout_keeps_the_output_and_stops_every_process() {
    let container = start("timeout");
    let client = Client::start(&[]).await;
    let mut arguments = arguments(&container);
    arguments["timeout"] = json!(1000);
    let answer = client.exec(arguments).await;
    assert_eq!(answer.structure["timedOut"], true);
    assert_eq!(answer.structure["exitCode"], 124);
    assert!(!answer.is_error);
    assert_eq!(answer.text, "started\n[exit 124, timed out, ended by SIGKILL]");
    assert_eq!(process_count(&container), 0);
}

#[tokio::test]
async fn default_timeout_applies_to_calls_without_one() {
    let container = start("default");
    let client = Client::start(&["--default-timeout", "500ms"]).await;
    let mut arguments = arguments(&container);
    arguments.as_object_mut().expect("it is an object").remove("timeout");
    let answer = client.exec(arguments).await;
    assert_eq!(answer.structure["timedOut"], true);
    assert_eq!(process_count(&container), 0);
}

#[tokio::test]
async fn cancelling_a_call_stops_only_its_processes() {
    let container = start("cancel");
    let client = Client::start(&[]).await;
    let other =
        client.begin(json!({ "container": container.name, "command": ["sh", "-c", "cat; sleep 3; echo other"] }));
    let other = other.await;
    let call = client.begin(arguments(&container)).await;
    until(|| process_count(&container) == 3).await;
    call.cancel(Some("no need any more".to_owned()))
        .await
        .expect("it can be sent");
    until(|| process_count(&container) == 0).await;
    assert_eq!(client.end_of(other).await.text, "other");
}

#[tokio::test]
async fn closing_the_client_stops_its_commands() {
    let container = start("close");
    let client = Client::start(&[]).await;
    let _call = client.begin(arguments(&container)).await;
    until(|| process_count(&container) == 3).await;
    let (code, stderr) = client.close().await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(process_count(&container), 0);
}

#[tokio::test]
async fn crashed_client_leaves_no_process_running() {
    let container = start("dies");
    let client = Client::start(&[]).await;
    let _call = client.begin(arguments(&container)).await;
    until(|| process_count(&container) == 3).await;
    // Both pipes are closed at once.
    let Client { service, mut child, .. } = client;
    drop(service);
    let end = timeout(MAX_WAIT, child.wait()).await.expect("the server ends");
    assert_eq!(end.expect("it can be waited for").code(), Some(0));
    assert_eq!(process_count(&container), 0);
}

#[tokio::test]
async fn signal_to_the_server_stops_its_calls_and_answers_them() {
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        let container = start(signal);
        let client = Client::start(&[]).await;
        let call = client.begin(arguments(&container)).await;
        until(|| process_count(&container) == 3).await;
        let pid = client.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill can be run").success());
        let answer = client.end_of(call).await;
        assert_eq!(answer.structure["errorKind"], "interrupted");
        assert!(
            answer.is_error && answer.text.starts_with("started\n"),
            "{}",
            answer.text
        );
        let Client { service, child, .. } = client;
        let (code, _) = ended(child).await;
        assert_eq!(code, Some(128 + number), "{signal}");
        drop(service);
        assert_eq!(process_count(&container), 0);
    }
}

#[tokio::test]
async fn requests_before_the_end_of_input_are_answered() {
    let mut server = crate::client::server([] as [&str; 0]);
    let requests = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
    ];
    let mut child = server.spawn().expect("it can be started");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    for request in requests {
        let line = format!("{request}\n");
        tokio::io::AsyncWriteExt::write_all(&mut stdin, line.as_bytes())
            .await
            .expect("it can be written");
    }
    drop(stdin);
    let output = timeout(MAX_WAIT, child.wait_with_output())
        .await
        .expect("it ends")
        .expect("it can be read");
    assert_eq!(code(output.status), 0);
    let answers = String::from_utf8(output.stdout).expect("it is UTF-8");
    assert_eq!(answers.lines().count(), 2, "{answers}");
}

#[tokio::test]
async fn invalid_first_message_ends_the_server_with_an_error() {
    let mut child = crate::client::server([] as [&str; 0])
        .spawn()
        .expect("it can be started");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let words = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
    tokio::io::AsyncWriteExt::write_all(&mut stdin, words)
        .await
        .expect("it can be written");
    let (code, stderr) = ended(child).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("does not speak the Model Context Protocol"), "{stderr}");
}

#[tokio::test]
async fn running_command_sends_progress_notifications() {
    let client = Client::start(&[]).await;
    let progress = std::sync::Arc::clone(&client.service.service().progress);
    let answer = client.shell("echo 12345; sleep 11", json!({})).await;
    assert_eq!(answer.text, "12345");
    let told = progress.lock().expect("no thread panics").clone();
    assert!(told.len() >= 2, "{told:?}");
    assert!(told.is_sorted_by(|one, next| one.progress < next.progress), "{told:?}");
    let message = told[0].message.as_deref().expect("it says something");
    assert_eq!(message, "running, 6 bytes of output so far");
}

#[tokio::test]
async fn waiting_call_can_be_cancelled() {
    let container = start("turn");
    let client = Client::start(&["--max-concurrent", "1"]).await;
    let first = client.begin(arguments(&container)).await;
    until(|| process_count(&container) == 3).await;
    let waiting = json!({ "container": container.name, "command": ["touch", "/tmp/waited"], "timeout": 600_000 });
    let waiting = client.begin(waiting).await;
    waiting.cancel(None).await.expect("it can be sent");
    first.cancel(None).await.expect("it can be sent");
    until(|| process_count(&container) == 0).await;
    let last = json!({ "container": container.name, "command": ["sh", "-c", "ls /tmp/waited || echo never"] });
    assert!(client.exec(last).await.text.starts_with("never"));
}

/// A client that does not read its answers keeps neither its commands nor the server running.
#[tokio::test]
async fn client_that_reads_nothing_leaves_no_process_running() {
    for way in ["closed", "TERM", "closed after an invalid line"] {
        let container = start(&format!("unread-{}", way.replace(' ', "-")));
        let mut child = crate::client::server([] as [&str; 0])
            .spawn()
            .expect("it can be started");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        let call = |id: u64, arguments: Value| {
            let params = json!({ "name": "exec", "arguments": arguments });
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
        };
        let large = json!({
            "container": container.name, "command": ["seq", "1", "300000"], "compact": false,
        });
        let mut requests = vec![
            json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } }),
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
            call(2, large),
            call(3, arguments(&container)),
        ];
        if way == "closed after an invalid line" {
            // The library answers this before it reads on.
            requests.push(json!({ "jsonrpc": "2.0", "id": 4, "method": 5 }));
        }
        for request in requests {
            let line = format!("{request}\n");
            let written = tokio::io::AsyncWriteExt::write_all(&mut stdin, line.as_bytes()).await;
            written.expect("it can be written");
            sleep(Duration::from_millis(300)).await;
        }
        until(|| process_count(&container) == 3).await;
        if way == "TERM" {
            let pid = child.id().expect("it runs").to_string();
            let sent = std::process::Command::new("kill").args(["-s", "TERM", &pid]).status();
            assert!(sent.expect("kill can be run").success());
        } else {
            drop(stdin);
        }
        let end = timeout(MAX_WAIT, child.wait()).await.expect("the server ends");
        end.expect("it can be waited for");
        assert_eq!(process_count(&container), 0, "{way}");
    }
}
