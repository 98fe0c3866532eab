//! Streamable HTTP: which clients may call, and what happens to calls whose client disconnects.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use test_support::api::Container;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The longest time that a test waits for something.
const MAX_WAIT: Duration = Duration::from_secs(180);

pub struct Server {
    pub child: Child,
    pub address: String,
}

/// The head and the body of an answer, as far as they have arrived.
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

pub fn command(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dexec-mcp"));
    command
        .args(options)
        .env_remove("DEXEC_MCP_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        Self::of(command(&[&["--http", "127.0.0.1:0"], options].concat()))
    }

    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the server can be started");
        let stderr = child.stderr.take().expect("it is a pipe");
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).expect("it can be read");
        let address = line
            .trim()
            .rsplit_once("http://")
            .and_then(|(_, url)| url.strip_suffix("/mcp"));
        let address = address.unwrap_or_else(|| panic!("no address: {line}")).to_owned();
        Self { child, address }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it can be connected to");
        stream.set_read_timeout(Some(MAX_WAIT)).expect("it can be set");
        stream
    }

    /// Sends a request and leaves its connection open.
    pub fn send(&self, method: &str, headers: &str, body: &Value) -> TcpStream {
        let mut stream = self.connect();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let host = if headers.contains("Host: ") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        write!(
            stream,
            "{method} /mcp HTTP/1.1\r\n{host}Accept: application/json, text/event-stream\r\nContent-Type: \
             application/json\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        )
        .expect("it can be sent");
        stream
    }

    pub fn call(&self, method: &str, headers: &str, body: &Value) -> Answer {
        Answer::read(self.send(method, headers, body))
    }

    /// Opens a stream on which a client listens, and waits for its first bytes.
    fn listen(&self, headers: &str) -> TcpStream {
        let mut stream = self.send("GET", headers, &Value::Null);
        stream.read_exact(&mut [0; 12]).expect("there is an answer");
        stream
    }

    fn initialize(&self, headers: &str) -> Answer {
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        });
        self.call(
            "POST",
            headers,
            &json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }),
        )
    }

    /// Creates a session, and returns the headers of its requests.
    pub fn session(&self, headers: &str) -> String {
        let answer = self.initialize(headers);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let id = answer.header("mcp-session-id").expect("there is a session").to_owned();
        let headers = format!("{headers}mcp-session-id: {id}\r\nmcp-protocol-version: 2025-11-25\r\n");
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(self.call("POST", &headers, &initialized).status, 202);
        headers
    }

    fn signal(&self, name: &str) {
        test_support::signal(&self.child, name);
    }

    fn wait(mut self) -> i32 {
        let begun = Instant::now();
        while begun.elapsed() < MAX_WAIT {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return test_support::code(status);
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    pub fn read(mut stream: TcpStream) -> Self {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("it can be read");
        let text = String::from_utf8_lossy(&text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no status: {head}")),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The last message of an event stream.
    pub fn message(&self) -> Value {
        let mut lines = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        let last = lines.rfind(|line| line.starts_with('{'));
        let last = last.unwrap_or_else(|| panic!("no message: {}", self.body));
        serde_json::from_str(last).expect("it is JSON")
    }
}

pub fn exec(container: &str, script: &str) -> Value {
    static LAST_ID: AtomicU64 = AtomicU64::new(100);
    let id = LAST_ID.fetch_add(1, Ordering::Relaxed);
    let arguments = json!({ "container": container, "command": ["sh", "-c", script], "timeout": 600_000 });
    let params = json!({ "name": "exec", "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

pub fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < MAX_WAIT, "it does not come to be so");
        thread::sleep(Duration::from_millis(50));
    }
}

fn sleeps(container: &Container) -> usize {
    container
        .processes()
        .iter()
        .filter(|line| line.contains("sleep 60"))
        .count()
}

#[test]
fn a_call_is_answered_in_its_session() {
    let server = Server::start(&[]);
    let session = server.session("");
    let call = exec("dexec-shell", "echo out; exit 3");
    let message = server.call("POST", &session, &call).message();
    assert_eq!(message["id"], call["id"]);
    assert_eq!(
        message["result"]["structuredContent"],
        json!({ "exitCode": 3, "stdout": "out", "stderr": "", "success": false })
    );
    assert_eq!(message["result"]["content"][0]["text"], "out\n[exit 3]");
    assert_eq!(server.call("DELETE", &session, &Value::Null).status, 202);
    assert_eq!(server.call("POST", &session, &exec("dexec-shell", "true")).status, 404);
    server.signal("TERM");
    assert_eq!(server.wait(), 128 + 15);
}

#[test]
fn requests_without_the_token_are_refused() {
    let mut command = command(&["--http", "127.0.0.1:0"]);
    command.env("DEXEC_MCP_TOKEN", TOKEN);
    let server = Server::of(command);
    for headers in [
        String::new(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", &TOKEN[1..]),
        format!("Authorization: Bearer {TOKEN}0\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: {TOKEN}\r\n"),
    ] {
        let answer = server.initialize(&headers);
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer")),
            "{headers}"
        );
    }
    let session = server.session(&format!("Authorization: Bearer {TOKEN}\r\n"));
    let without_token = session
        .split_once("\r\n")
        .map(|(_, rest)| rest.to_owned())
        .unwrap_or_default();
    assert_eq!(
        server.call("POST", &without_token, &exec("dexec-shell", "true")).status,
        401
    );
    assert_eq!(server.call("POST", &session, &exec("dexec-shell", "true")).status, 200);
}

#[test]
fn token_file_is_read_and_a_weak_token_is_refused() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("token");
    let path = file.to_str().expect("it is UTF-8");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("it can be written");
    let server = Server::start(&["--http-token-file", path]);
    assert_eq!(server.initialize("").status, 401);
    server.session(&format!("Authorization: Bearer {TOKEN}\r\n"));

    for (token, words) in [
        ("short", "at least 16"),
        ("with spaces in the middle", "without spaces"),
        ("", "at least 16"),
    ] {
        std::fs::write(&file, token).expect("it can be written");
        let output = command(&["--http", "127.0.0.1:0", "--http-token-file", path]).output();
        let output = output.expect("it can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr.contains(words) && (token.is_empty() || !stderr.contains(token)),
            "{stderr}"
        );
    }
}

#[test]
fn listening_for_other_machines_requires_a_token() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let output = command(&["--http", address]).output().expect("it can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr.contains("need a bearer token") && stderr.contains("DEXEC_MCP_TOKEN"),
            "{stderr}"
        );
    }
    let mut open = command(&["--http", "0.0.0.0:0", "--http-allow-host", "box.example"]);
    open.env("DEXEC_MCP_TOKEN", TOKEN);
    let server = Server::of(open);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(server.initialize(&format!("{token}Host: box.example\r\n")).status, 200);
    assert_eq!(
        server.initialize(&format!("{token}Host: other.example\r\n")).status,
        403
    );
}

#[test]
fn requests_from_other_origins_are_refused() {
    let server = Server::start(&["--http-allow-origin", "https://app.example.com:443"]);
    for (headers, status) in [
        ("Host: evil.example\r\n", 403),
        ("Host: evil.example:80\r\nOrigin: http://evil.example\r\n", 403),
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: http://localhost:1234\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: https://app.example.com.evil.example\r\n", 403),
        ("Origin: https://app.example.com\r\n", 200),
        ("", 200),
    ] {
        assert_eq!(server.initialize(headers).status, status, "{headers}");
    }
}

#[test]
fn session_limit_closes_unused_sessions() {
    let server = Server::start(&["--http-max-sessions", "2"]);
    let unused = server.session("");
    let used = server.session("");
    let listening = server.listen(&used);
    // Refused requests do not count as sessions.
    for (method, headers) in [
        ("GET", "Host: evil.example\r\nOrigin: http://evil.example\r\n"),
        ("GET", ""),
        ("DELETE", ""),
        ("POST", ""),
    ] {
        assert!(server.call(method, headers, &json!("nothing")).status >= 400);
    }
    assert_eq!(server.call("POST", &unused, &exec("dexec-shell", "true")).status, 200);
    let newer = server.session("");
    assert_eq!(server.call("POST", &unused, &exec("dexec-shell", "true")).status, 404);
    let other_listening = server.listen(&newer);
    until(|| server.initialize("").status == 500);
    let refused = server.initialize("mcp-protocol-version: 2025-11-25\r\n");
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("all 2 sessions are in use"), "{}", refused.body);
    assert_eq!(server.call("POST", &newer, &exec("dexec-shell", "true")).status, 200);
    drop(listening);
    until(|| server.initialize("").status == 200);
    assert_eq!(server.call("POST", &used, &exec("dexec-shell", "true")).status, 404);
    drop(other_listening);
}

#[test]
fn concurrent_sessions_do_not_exceed_the_limit() {
    let server = Server::start(&["--http-max-sessions", "2"]);
    let ids: Vec<String> = thread::scope(|scope| {
        let begun: Vec<_> = (0..40).map(|_| scope.spawn(|| server.initialize(""))).collect();
        let answers = begun.into_iter().map(|begun| begun.join().expect("it does not panic"));
        answers
            .filter_map(|answer| answer.header("mcp-session-id").map(str::to_owned))
            .collect()
    });
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let open = ids
        .iter()
        .filter(|id| server.call("POST", &format!("mcp-session-id: {id}\r\n"), &ping).status == 200);
    assert_eq!(open.count(), 2, "of {}", ids.len());
}

#[test]
fn token_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut command = command(&["--http", "127.0.0.1:0"]);
    command.env("DEXEC_MCP_TOKEN", std::ffi::OsStr::from_bytes(b"0123456789abcdef\xff"));
    let output = command.output().expect("it can be run");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DEXEC_MCP_TOKEN is not UTF-8"));
}

#[test]
fn invalid_http_requests_get_an_error_response() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it can be sent");
    assert_eq!(Answer::read(stream).status, 404);
    assert!(server.call("POST", "", &json!("hello")).status >= 400);
    let mut stream = server.connect();
    stream
        .write_all(b"\x16\x03\x01 no http\r\n\r\n")
        .expect("it can be sent");
    assert_eq!(Answer::read(stream).status, 400);
    server.session("");
}

#[test]
fn closed_connection_stops_its_call() {
    let container = Container::start("mcp-http-gone", &["sleep", "1000000"]);
    let server = Server::start(&[]);
    let session = server.session("");
    let stream = server.send("POST", &session, &exec(&container.name, "sleep 601 & sleep 602"));
    until(|| sleeps(&container) == 2);
    drop(stream);
    until(|| sleeps(&container) == 0);
    // The session still works.
    assert_eq!(server.call("POST", &session, &exec("dexec-shell", "true")).status, 200);
}

#[test]
fn cancelled_call_and_closed_session_stop_their_commands() {
    let container = Container::start("mcp-http-cancel", &["sleep", "1000000"]);
    let server = Server::start(&[]);
    let session = server.session("");
    let call = exec(&container.name, "sleep 601 & sleep 602");
    let _stream = server.send("POST", &session, &call);
    until(|| sleeps(&container) == 2);
    let params = json!({ "requestId": call["id"] });
    let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
    assert_eq!(server.call("POST", &session, &cancelled).status, 202);
    until(|| sleeps(&container) == 0);

    let _stream = server.send("POST", &session, &exec(&container.name, "sleep 601 & sleep 602"));
    until(|| sleeps(&container) == 2);
    assert_eq!(server.call("DELETE", &session, &Value::Null).status, 202);
    until(|| sleeps(&container) == 0);
}

#[test]
fn signal_to_the_server_stops_its_calls_and_answers_them() {
    let container = Container::start("mcp-http-signal", &["sleep", "1000000"]);
    let server = Server::start(&[]);
    let session = server.session("");
    // A client that only listens does not keep the server from ending.
    let _listening = server.send("GET", &session, &Value::Null);
    let stream = server.send(
        "POST",
        &session,
        &exec(&container.name, "echo so far; sleep 601 & sleep 602"),
    );
    until(|| sleeps(&container) == 2);
    server.signal("TERM");
    let message = Answer::read(stream).message();
    assert_eq!(
        message["result"]["structuredContent"]["errorKind"], "interrupted",
        "{message}"
    );
    assert!(
        message["result"]["content"][0]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("so far"))
    );
    assert_eq!(server.wait(), 128 + 15);
    assert_eq!(sleeps(&container), 0);
}
