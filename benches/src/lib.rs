//! The requests that one command takes, made by hand over a unix socket, and nothing else: the floor.
#![expect(clippy::missing_panics_doc, reason = "a benchmark that can't be run ends here")]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::{Value, json};

const HEADER: usize = 8;

const BUFFER: usize = 128 * 1024;

/// One connection that is kept for questions; each command's streams get their own.
#[derive(Debug)]
pub struct Api {
    socket: PathBuf,
    kept: BufReader<UnixStream>,
}

impl Api {
    #[must_use]
    pub fn connect(socket: PathBuf) -> Self {
        let kept = BufReader::new(UnixStream::connect(&socket).expect("the engine answers"));
        Self { socket, kept }
    }

    pub fn create(&mut self, container: &str, command: &[String], has_stdin: bool) -> String {
        let body = json!({"AttachStdin": has_stdin, "AttachStdout": true, "AttachStderr": true, "Cmd": command});
        let created = self.call("POST", &format!("/containers/{container}/exec"), &body.to_string());
        created["Id"].as_str().expect("there is an id").to_owned()
    }

    /// The connection over which the command's streams go.
    #[must_use]
    pub fn start(&self, id: &str) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(&self.socket).expect("the engine answers");
        let mut stream = BufReader::with_capacity(BUFFER, stream);
        let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
        let path = format!("/exec/{id}/start");
        send(
            stream.get_mut(),
            "POST",
            &path,
            upgrade,
            r#"{"Detach":false,"Tty":false}"#,
        );
        read_head(&mut stream);
        stream
    }

    pub fn exit_code(&mut self, id: &str) -> i64 {
        let state = self.call("GET", &format!("/exec/{id}/json"), "");
        state["ExitCode"].as_i64().expect("the command has ended")
    }

    /// One `true`, from the first request to the last answer.
    pub fn exec_true(&mut self, container: &str) {
        let id = self.create(container, &["true".to_owned()], false);
        let mut stream = self.start(&id);
        stream.read_to_end(&mut Vec::new()).expect("it ends");
        assert_eq!(self.exit_code(&id), 0);
    }

    /// The version that the engine says it has.
    #[must_use]
    pub fn version(&mut self) -> String {
        let version = self.call("GET", "/version", "");
        version["Version"].as_str().unwrap_or("unknown").to_owned()
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Value {
        send(self.kept.get_mut(), method, path, "", body);
        let mut body = vec![0; read_head(&mut self.kept)];
        self.kept.read_exact(&mut body).expect("the answer is whole");
        serde_json::from_slice(&body).expect("the answer is JSON")
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

/// Reads to the end of the head of an answer, and gives the length of what follows.
fn read_head(stream: &mut BufReader<UnixStream>) -> usize {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("there is an answer");
        if line.trim().is_empty() {
            return length;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("it is a number");
        }
    }
}

/// Sends input, then its end.
pub fn feed(mut stdin: impl Read, mut stream: &UnixStream) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = stdin.read(&mut buffer).expect("the input can be read");
        if read == 0 {
            stream.shutdown(Shutdown::Write).expect("the engine is there");
            return;
        }
        stream.write_all(&buffer[..read]).expect("the engine reads");
    }
}

/// Takes both streams apart until they end.
pub fn deliver(mut stream: BufReader<UnixStream>, mut stdout: impl Write, mut stderr: impl Write) {
    while !stream.fill_buf().expect("the engine answers").is_empty() {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).expect("a frame has a header");
        let [kind, _, _, _, length @ ..] = header;
        let mut left = u32::from_be_bytes(length) as usize;
        while left > 0 {
            let piece = stream.fill_buf().expect("the engine answers");
            let piece = &piece[..piece.len().min(left)];
            assert!(!piece.is_empty(), "a frame is whole");
            let written = match kind {
                2 => stderr.write_all(piece),
                _ => stdout.write_all(piece),
            };
            written.expect("the output can be written");
            let length = piece.len();
            left -= length;
            stream.consume(length);
        }
    }
}
