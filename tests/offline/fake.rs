//! A scripted engine for faults and hostile bytes. What an engine does when all is well is tested on real ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const EXEC_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What the engine sends on each call; an empty text closes the connection.
#[derive(Clone)]
pub struct Script {
    pub create: Vec<u8>,
    pub start: Vec<u8>,
    pub inspect: Vec<u8>,
    pub container: Vec<u8>,
}

impl Default for Script {
    /// An engine on which a command prints `x` and ends with 0.
    fn default() -> Self {
        Self {
            create: json("201 Created", &format!("{{\"Id\":\"{EXEC_ID}\"}}")),
            start: stream(&[frame(1, b"x")]),
            inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":0,\"Pid\":7}"),
            container: json("200 OK", "{\"State\":{\"Status\":\"running\",\"Running\":true}}"),
        }
    }
}

pub fn json(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short");
    [&[kind, 0, 0, 0][..], &length.to_be_bytes(), payload].concat()
}

/// The answer to a start, and the stream after it.
pub fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    let head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\
                 Upgrade: tcp\r\n\r\n";
    [&head[..], &frames.concat()].concat()
}

pub struct Fake {
    _directory: tempfile::TempDir,
    pub host: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub fn start(script: Script) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("it can be listened to");
        let connections = Arc::new(AtomicUsize::new(0));
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (count, seen) = (Arc::clone(&connections), Arc::clone(&requests));
        thread::spawn(move || {
            for client in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (script, seen) = (script.clone(), Arc::clone(&seen));
                thread::spawn(move || serve(client.expect("it can be accepted"), &script, &seen));
            }
        });
        Self {
            host: format!("unix://{}", path.display()),
            _directory: directory,
            connections,
            requests,
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panics").clone()
    }
}

fn serve(client: UnixStream, script: &Script, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().expect("it can be shared"));
    let mut client = client;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => head.push(line.trim_end().to_owned()),
            }
        }
        let length = head
            .iter()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0_usize);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let request = head.first().cloned().unwrap_or_default();
        seen.lock().expect("nobody panics").push(request.clone());
        let is_start = request.contains("/start ");
        let answer = match request.as_str() {
            _ if is_start => &script.start,
            text if text.starts_with("POST /containers/") => &script.create,
            text if text.starts_with("GET /exec/") => &script.inspect,
            text if text.starts_with("GET /containers/json") => {
                &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_vec()
            }
            _ => &script.container,
        };
        if client.write_all(answer).is_err() || answer.is_empty() || is_start {
            return;
        }
    }
}
