//! Input from clients is limited, and every request gets an answer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::http::{Answer, Server, TOKEN, command, exec};
use test_support::api::Container;
use test_support::limited::{Limited, open_to_all};

/// The highest peak memory of a server, in KiB.
const MAX_MEMORY: u64 = 100 * 1024;

/// The longest time that a test waits for an answer.
const MAX_WAIT: Duration = Duration::from_secs(300);

const MIB: usize = 1024 * 1024;

fn peak(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    size.expect("it has memory")
}

/// A client that can send arbitrary bytes over standard input.
struct RawClient {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<Value>,
}

impl RawClient {
    fn start(options: &[&str]) -> Self {
        Self::of(command(options))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the server can be started");
        let stdout = child.stdout.take().expect("it is a pipe");
        // Without a buffer, a client that takes no answers does not read any.
        let (sender, lines) = mpsc::sync_channel(0);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let line = line.expect("it can be read");
                let sent = sender.send(serde_json::from_str(&line).expect("it is JSON"));
                if sent.is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take().expect("it is a pipe");
        let mut client = Self { child, stdin, lines };
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "rude", "version": "1" },
        });
        client.send(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }));
        assert_eq!(client.answer()["id"], 0);
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn send(&mut self, message: &Value) {
        self.write(&format!("{message}\n"));
    }

    fn write(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).expect("the server reads");
    }

    fn answer(&self) -> Value {
        self.lines.recv_timeout(MAX_WAIT).expect("there is an answer")
    }
}

impl Drop for RawClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Messages that are small on the wire and large in memory, or large in both.
fn oversized_messages() -> Vec<(&'static str, String)> {
    let items = |item: &str| format!("[{}0]", format!("{item},").repeat(9 * MIB / (item.len() + 1)));
    let call = |value: &str| {
        format!(
            r#"{{"method":"tools/call","params":{{"name":"exec","arguments":{{"command":{value}}}}},"jsonrpc":"2.0","id":77}}"#
        )
    };
    vec![
        ("numbers", call(&items("0"))),
        ("strings", call(&items(r#""""#))),
        ("keys", call(&format!("{{{}\"\":0}}", r#""":0,"#.repeat(2 * MIB)))),
        ("one string", call(&format!("[\"{}\"]", "x".repeat(9 * MIB)))),
        ("escapes", call(&format!("[\"{}\"]", r"\u0000".repeat(9 * MIB / 6)))),
        ("method", format!(r#"{{"id":77,"method":"{}"}}"#, "m".repeat(9 * MIB))),
        ("many within the size", call(&format!("[{}0]", "0,".repeat(MIB)))),
    ]
}

#[test]
fn oversized_message_is_refused_and_the_session_continues() {
    let mut client = RawClient::start(&[]);
    for (what, message) in oversized_messages() {
        client.write(&message);
        client.write("\n");
        let answer = client.answer();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(77), &json!(-32600)),
            "{what}: {answer}"
        );
    }
    client.write(&format!("[{}0]\n", "0,".repeat(5 * MIB)));
    let answer = client.answer();
    assert!(answer["id"].is_null() && answer["error"]["code"] == -32600, "{answer}");
    let call = exec("dexec-shell", "echo ran");
    client.send(&call);
    let answer = client.answer();
    assert_eq!(answer["id"], call["id"]);
    assert_eq!(answer["result"]["content"][0]["text"], "ran");
    let peak = peak(&client.child);
    assert!(peak < MAX_MEMORY, "{peak} KiB");
}

/// The longest standard input that the schema allows, in characters that need the most bytes.
#[test]
fn largest_stdin_is_accepted() {
    let mut client = RawClient::start(&[]);
    let mut call = exec("dexec-shell", "wc -c");
    call["params"]["arguments"]["stdin"] = Value::from("\u{1f600}".repeat(2 * MIB - 1024));
    client.send(&call);
    let answer = client.answer();
    assert_eq!(answer["result"]["content"][0]["text"], (8 * MIB - 4096).to_string());
    let peak = peak(&client.child);
    assert!(peak < MAX_MEMORY, "{peak} KiB");
}

#[test]
fn invalid_messages_do_not_end_the_session() {
    let mut client = RawClient::start(&[]);
    for line in [
        "",
        "hello",
        "{",
        "\u{feff}",
        r#"{"method":"custom/notice"}"#,
        r#"{"jsonrpc":"2.0","method":5}"#,
        "[]",
        "5",
    ] {
        client.write(&format!("{line}\r\n"));
    }
    client.send(&json!({ "jsonrpc": "2.0", "id": "bad", "method": "tools/call", "params": 5 }));
    let ping = json!({ "jsonrpc": "2.0", "id": "last", "method": "ping" });
    client.write(&format!("\u{feff}{ping}\n"));
    // Refusals may be written before or after the answers.
    let mut answered = Vec::new();
    while !(answered.contains(&json!("last")) && answered.contains(&json!("bad"))) {
        let answer = client.answer();
        let is_refused = answer["error"]["code"] == -32600;
        assert_eq!(is_refused, answer["id"] != "last", "{answer}");
        answered.push(answer["id"].clone());
    }
    let others = answered.iter().filter(|id| *id != "last" && *id != "bad");
    assert!(
        others.clone().count() <= 3 && others.clone().all(Value::is_null),
        "{answered:?}"
    );
}

/// If a client does not read its answers, the server stops reading its requests, but loses no answer.
#[test]
fn unread_responses_use_bounded_memory() {
    let mut client = RawClient::start(&[]);
    let count = 400;
    let ids = (0..count).map(|number| format!("{number} {}", "x".repeat(200_000)));
    let written = AtomicUsize::new(0);
    let RawClient { child, stdin, lines } = &mut client;
    thread::scope(|scope| {
        scope.spawn(|| {
            for id in ids {
                let ping = json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
                writeln!(stdin, "{ping}").expect("the server reads");
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut last = usize::MAX;
        while written.load(Ordering::Relaxed) != last {
            last = written.load(Ordering::Relaxed);
            thread::sleep(Duration::from_secs(1));
        }
        let peak = peak(child);
        // All answers together have 80 MB.
        assert!(peak < 64 * 1024, "{peak} KiB after {last} requests");
        let mut answered: Vec<usize> = (0..count)
            .map(|_| {
                let answer = lines.recv_timeout(MAX_WAIT).expect("there is an answer");
                let number = answer["id"].as_str().and_then(|id| id.split(' ').next()?.parse().ok());
                number.expect("it is one of ours")
            })
            .collect();
        answered.sort_unstable();
        assert_eq!(answered, (0..count).collect::<Vec<_>>());
    });
}

#[test]
fn duplicate_id_is_refused_and_the_first_request_is_answered() {
    let container = Container::start("mcp-same-id", &["sleep", "1000000"]);
    let mut client = RawClient::start(&[]);
    let mut first = exec(&container.name, "until [ -e /tmp/go ]; do sleep 0.1; done; echo first");
    let mut second = exec(&container.name, "touch /tmp/second");
    for id in [json!(5), json!("five")] {
        (first["id"], second["id"]) = (id.clone(), id.clone());
        client.send(&first);
        client.send(&second);
        let refused = client.answer();
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&id, &json!(-32600)),
            "{refused}"
        );
        let go = exec(&container.name, "ls /tmp; touch /tmp/go");
        client.send(&go);
        let [one, other] = [client.answer(), client.answer()];
        let [one, other] = if one["id"] == id { [one, other] } else { [other, one] };
        assert_eq!(one["result"]["content"][0]["text"], "first", "{one}");
        assert_eq!(other["id"], go["id"], "{other}");
        assert!(!other.to_string().contains("second"), "{other}");
        client.send(&exec(&container.name, "rm /tmp/go"));
        client.answer();
    }
    for _ in 0..100 {
        client.send(&json!({ "jsonrpc": "2.0", "id": 5, "method": "ping" }));
        let answer = client.answer();
        assert!(answer["result"].is_object(), "{answer}");
    }
    // An id is free when its request is answered; or, if that was cancelled, when its command is stopped.
    second["id"] = json!(5);
    client.send(&second);
    assert_eq!(client.answer()["result"]["structuredContent"]["exitCode"], 0);
    client.send(&first);
    client.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": first["id"] } }),
    );
    second["id"] = first["id"].clone();
    loop {
        client.send(&second);
        let answer = client.answer();
        assert_eq!(answer["id"], second["id"]);
        if answer["error"].is_null() {
            assert_eq!(answer["result"]["structuredContent"]["exitCode"], 0, "{answer}");
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn duplicate_id_is_refused_over_http() {
    let container = Container::start("mcp-http-same-id", &["sleep", "1000000"]);
    let server = Server::start(&[]);
    let (session, other_session) = (server.session(""), server.session(""));
    let mut first = exec(
        &container.name,
        "touch /tmp/begun; until [ -e /tmp/go ]; do sleep 0.1; done; echo first",
    );
    let mut second = exec(&container.name, "touch /tmp/second");
    let mut go = exec(&container.name, "ls /tmp; touch /tmp/go");
    for message in [&mut first, &mut second, &mut go] {
        message["id"] = json!(5);
    }
    let stream = server.send("POST", &session, &first);
    let wait = exec(&container.name, "until [ -e /tmp/begun ]; do sleep 0.1; done");
    assert_eq!(server.call("POST", &other_session, &wait).status, 200);
    let ping = json!({ "jsonrpc": "2.0", "id": 5, "method": "ping" });
    let refused = server.call("POST", &session, &ping).message();
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!(5), &json!(-32600)),
        "{refused}"
    );
    let refused = server.call("POST", &session, &second).message();
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    // Each session has its own ids.
    let listed = server.call("POST", &other_session, &go).message();
    assert_eq!(listed["result"]["content"][0]["text"], "begun", "{listed}");
    let message = Answer::read(stream).message();
    assert_eq!(message["result"]["content"][0]["text"], "first", "{message}");
    let answer = server.call("POST", &session, &second).message();
    assert_eq!(answer["result"]["structuredContent"]["exitCode"], 0, "{answer}");
    // An id is free as soon as its answer has arrived.
    for _ in 0..100 {
        let answer = server.call("POST", &session, &ping).message();
        assert!(answer["result"].is_object(), "{answer}");
    }
}

fn head(server: &Server, headers: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nAccept: application/json, text/event-stream\r\nContent-Type: \
         application/json\r\n{headers}\r\n",
        server.address
    )
}

/// The answer to a request that is not sent completely.
fn early_response(server: &Server, headers: &str, body: &str) -> Answer {
    let mut stream = server.connect();
    stream
        .write_all(head(server, headers).as_bytes())
        .expect("it can be sent");
    // The server may close the connection before it has read everything.
    let _ = stream.write_all(body.as_bytes());
    Answer::read(stream)
}

#[test]
fn oversized_http_body_is_refused() {
    let server = Server::start(&[]);
    let session = server.session("");
    // The server does not wait for the body.
    let answer = early_response(&server, &format!("{session}Content-Length: 15728640\r\n"), "");
    assert_eq!(answer.status, 413);
    let error: Value = serde_json::from_str(&answer.body).expect("it is JSON");
    assert!(error["id"].is_null() && error["error"]["code"] == -32600, "{error}");
    for (what, message) in oversized_messages()
        .into_iter()
        .filter(|(_, message)| message.len() < 8 * MIB)
    {
        let headers = format!("{session}Connection: close\r\nContent-Length: {}\r\n", message.len());
        let answer = early_response(&server, &headers, &message);
        assert_eq!(answer.status, 413, "{what}: {}", answer.body);
        let error: Value = serde_json::from_str(&answer.body).expect("it is JSON");
        assert_eq!(error["id"], 77, "{what}: {error}");
    }
    let call = server.call("POST", &session, &exec("dexec-shell", "echo ran"));
    assert_eq!(call.message()["result"]["content"][0]["text"], "ran");
    let peak = peak(&server.child);
    assert!(peak < MAX_MEMORY, "{peak} KiB");
}

/// The client's description of itself is kept as long as its session.
#[test]
fn sessions_use_bounded_memory() {
    let server = Server::start(&[]);
    let initialize = |size: usize| {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "n".repeat(size), "version": "1" },
        });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        server.call("POST", "", &message)
    };
    for _ in 0..3 {
        let answer = initialize(7 * MIB);
        assert!(
            answer.status == 500 && answer.body.contains("larger than 64 KiB"),
            "{}",
            answer.body
        );
    }
    assert_eq!(initialize(60_000).status, 200);
    let peak = peak(&server.child);
    assert!(peak < MAX_MEMORY, "{peak} KiB");
}

/// Requests that are not authorized, or that are invalid, are answered before their body is read.
#[test]
fn headers_are_checked_before_the_body_is_read() {
    let mut command = command(&["--http", "127.0.0.1:0"]);
    command.env("DEXEC_MCP_TOKEN", TOKEN);
    let server = Server::of(command);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let length = "Content-Length: 1000000\r\n";
    for (headers, status) in [
        (length.to_owned(), 401),
        (format!("{length}Authorization: Bearer nobody\r\n"), 401),
        (format!("{length}{token}Origin: http://evil.example\r\n"), 403),
    ] {
        assert_eq!(early_response(&server, &headers, "{").status, status, "{headers}");
    }
}

/// Endless bodies are dropped to make room for each other and for calls.
#[test]
fn unfinished_bodies_do_not_block_calls() {
    let server = Server::start(&[]);
    let session = server.session("");
    let chunk = "x".repeat(64 * 1024);
    let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
    let unfinished: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = server.connect();
            let head = head(&server, &format!("{session}Transfer-Encoding: chunked\r\n"));
            stream
                .write_all(format!("{head}1\r\n\"\r\n").as_bytes())
                .expect("it can be sent");
            for _ in 0..7 * 16 {
                // The server closes the connections of dropped bodies.
                if stream.write_all(chunk.as_bytes()).is_err() {
                    break;
                }
            }
            stream
        })
        .collect();
    let declared: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = server.connect();
            let head = head(&server, &format!("{session}Content-Length: 8000000\r\n"));
            let _ = stream.write_all(format!("{head}\"{}", "y".repeat(7 * MIB)).as_bytes());
            stream
        })
        .collect();
    let call = server.call("POST", &session, &exec("dexec-shell", "echo ran"));
    assert_eq!(call.message()["result"]["content"][0]["text"], "ran");
    let peak = peak(&server.child);
    assert!(peak < MAX_MEMORY, "{peak} KiB");
    drop((unfinished, declared));
}

/// Connections without a complete request head are closed to make room.
#[test]
fn idle_connections_do_not_block_calls() {
    let server = Server::start(&[]);
    let session = server.session("");
    let container = Container::start("mcp-http-idle", &["sleep", "1000000"]);
    let wait = exec(&container.name, "until [ -e /tmp/go ]; do sleep 0.1; done; echo lives");
    let begun = server.send("POST", &session, &wait);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("it may be raised");
    let mut idle = Vec::new();
    for number in 0..1030 {
        let mut stream = server.connect();
        if number % 2 == 0 {
            let _ = write!(stream, "POST /mcp HTTP/1.1\r\nX: {}", "x".repeat(15_000));
        }
        idle.push(stream);
    }
    let call = server.call("POST", &session, &exec(&container.name, "touch /tmp/go; echo ran"));
    assert_eq!(call.message()["result"]["content"][0]["text"], "ran");
    let message = Answer::read(begun).message();
    assert_eq!(message["result"]["content"][0]["text"], "lives", "a call makes no room");
    let peak = peak(&server.child);
    assert!(peak < MAX_MEMORY, "{peak} KiB");
    // The newest ones are still open, so the call did not have to wait for one to time out.
    let newest = idle.last_mut().expect("there are some");
    newest.set_nonblocking(true).expect("it can be set");
    let read = newest.read(&mut [0]);
    assert_eq!(read.expect_err("it is open").kind(), std::io::ErrorKind::WouldBlock);
}

/// A lack of threads is reported at the start; if the server starts, calls are answered.
#[test]
fn too_few_threads_are_reported_at_startup() {
    let limited = Limited::new(env!("CARGO_BIN_EXE_dexec-mcp"));
    let begins = (1..200).find(|processes| {
        let output = limited.command(*processes).stdin(Stdio::null()).output();
        let output = output.expect("it can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_told = stderr.contains("failed to create a thread") && stderr.lines().count() == 1;
        match output.status.code() {
            Some(0) => true,
            code => {
                assert!(code == Some(1) && is_told, "{processes}: {code:?} {stderr}");
                false
            }
        }
    });
    let begins = begins.expect("the server starts");
    assert!(begins > 2, "{begins}");
    let root = tempfile::tempdir().expect("a directory can be made");
    open_to_all(root.path());
    std::fs::write(root.path().join("x.env"), "A=1\n").expect("it can be written");
    let mut command = limited.command(begins);
    command.arg("--env-file-root").arg(root.path());
    command.env("DOCKER_HOST", "unix:///nonexistent/engine.sock");
    let mut client = RawClient::of(command);
    for _ in 0..20 {
        let mut call = exec("web", "true");
        call["params"]["arguments"]["envFile"] = json!(root.path().join("x.env"));
        client.send(&call);
        let answer = client.answer();
        let kind = &answer["result"]["structuredContent"]["errorKind"];
        assert_eq!(
            (&answer["id"], kind),
            (&call["id"], &json!("engineUnreachable")),
            "{answer}"
        );
    }
}
