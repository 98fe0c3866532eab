//! One `exec` of `true` through dexec-mcp beside the same three requests made over a socket by hand, in turns.
//!
//! ```console
//! $ DOCKER_HOST=unix:///path cargo bench --bench mcp [-- CALLS]
//! ```
//!
//! It needs the containers of docker-compose.test.yml (`script/containers up`).
#![expect(clippy::expect_used, reason = "a benchmark that can't be run ends here")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const CONTAINER: &str = "dexec-shell";

fn main() {
    let host = std::env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine");
    let socket = host.strip_prefix("unix://").expect("the engine is at a unix socket");
    let calls = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(500);
    let mut bare = Bare::connect(socket);
    let mut server = Server::start();
    for _ in 0..20 {
        bare.exec();
        server.exec();
    }
    let (mut by_hand, mut by_server) = (Vec::new(), Vec::new());
    for _ in 0..calls {
        by_hand.push(timed(|| bare.exec()));
        by_server.push(timed(|| server.exec()));
    }
    println!("{calls} calls each, in turns; milliseconds");
    println!("            p50     p95     p99");
    let floor = row("by hand", &mut by_hand);
    let ours = row("dexec-mcp", &mut by_server);
    println!(
        "p50: dexec-mcp / by hand = {:.3}",
        ours.as_secs_f64() / floor.as_secs_f64()
    );
    println!("memory of dexec-mcp: {} KiB resident", server.resident());
}

fn timed(call: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    call();
    begun.elapsed()
}

fn row(name: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let shown = [50, 95, 99].map(|percent| format!("{:7.2}", at(percent).as_secs_f64() * 1000.0));
    println!("{name:9} {}", shown.join(" "));
    at(50)
}

/// The requests that one command takes, and nothing else.
struct Bare {
    socket: String,
    kept: BufReader<UnixStream>,
}

impl Bare {
    fn connect(socket: &str) -> Self {
        Self {
            socket: socket.to_owned(),
            kept: BufReader::new(UnixStream::connect(socket).expect("the engine answers")),
        }
    }

    fn exec(&mut self) {
        let create = r#"{"AttachStdout":true,"AttachStderr":true,"Cmd":["true"]}"#;
        let created = self.call("POST", &format!("/containers/{CONTAINER}/exec"), create);
        let id = created.split('"').nth(3).expect("there is an id").to_owned();
        let mut stream = UnixStream::connect(&self.socket).expect("the engine answers");
        let start = r#"{"Detach":false,"Tty":false}"#;
        let path = format!("/exec/{id}/start");
        send(
            &mut stream,
            "POST",
            &path,
            "Connection: Upgrade\r\nUpgrade: tcp\r\n",
            start,
        );
        stream.read_to_end(&mut Vec::new()).expect("it ends");
        let state = self.call("GET", &format!("/exec/{id}/json"), "");
        assert!(state.contains("\"ExitCode\":0"), "{state}");
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> String {
        send(self.kept.get_mut(), method, path, "", body);
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.kept.read_line(&mut line).expect("there is an answer");
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("it is a number");
            }
        }
        let mut body = vec![0; length];
        self.kept.read_exact(&mut body).expect("the answer is whole");
        String::from_utf8(body).expect("it is UTF-8")
    }
}

fn send(stream: &mut UnixStream, method: &str, path: &str, headers: &str, body: &str) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n{headers}Content-Length: \
         {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the request can be sent");
}

/// The server, as a client starts it.
struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dexec-mcp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let stdin = child.stdin.take().expect("it is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut server = Self { child, stdin, stdout };
        let params =
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}"#;
        server.write(&format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#
        ));
        server.read();
        server.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        server
    }

    fn exec(&mut self) {
        let params = format!(r#"{{"name":"exec","arguments":{{"container":"{CONTAINER}","command":["true"]}}}}"#);
        self.write(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#
        ));
        let answer = self.read();
        assert!(answer.contains("\"exitCode\":0"), "{answer}");
    }

    fn write(&mut self, message: &str) {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .expect("the server reads");
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the server answers");
        line
    }

    fn resident(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap_or_default().trim().trim_end_matches(" kB").to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
