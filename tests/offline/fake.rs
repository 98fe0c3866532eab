//! A scripted engine for faults and hostile bytes. The normal behaviour is tested on real engines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub const EXEC_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The version prefix that a request path may have.
pub const VERSION: &str = "/v1.40";

/// The pause before each byte of an [`Answer::ByteByByte`].
const BYTE_PAUSE: Duration = Duration::from_micros(200);

/// How many bytes of an endless answer are written at once.
const BLOCK: usize = 64 * 1024;

/// The id of what dexec itself runs in the container: the agent, or the helper that removes its own file.
const OWN_ID: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

/// What the engine sends in response to one call.
#[derive(Clone)]
pub enum Answer {
    /// These bytes. If there are none, the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, one at a time.
    ByteByByte(Vec<u8>),
    /// The first bytes, then the second ones repeatedly.
    Endless(Vec<u8>, Vec<u8>),
    /// These bytes; then nothing, on a connection that stays open.
    Silent(Vec<u8>),
    /// These bytes; then, for each line received, the answer that the function returns.
    Talk(Vec<u8>, Arc<dyn Fn(&str) -> Answer + Send + Sync>),
}

impl From<Vec<u8>> for Answer {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// What the engine sends in response to each call.
#[derive(Clone)]
pub struct Script {
    pub create: Answer,
    pub start: Answer,
    pub inspect: Answer,
    pub container: Answer,
    pub containers: Answer,
    /// The create of what dexec itself runs in the container, in addition to the command.
    pub own_create: Answer,
    pub own_start: Answer,
    pub image: Answer,
    pub version: Answer,
    /// The `stat` of a directory in the container.
    pub stat: Answer,
    pub archive: Answer,
    pub top: Answer,
    pub kill: Answer,
    pub resize: Answer,
}

impl Default for Script {
    /// An engine on which a command prints `x` and exits with 0, and which does not let an agent start.
    fn default() -> Self {
        let refused = || json("403 Forbidden", "{\"message\":\"nobody may do this\"}").into();
        Self {
            create: created(EXEC_ID).into(),
            start: stream(&[frame(1, b"x")]).into(),
            inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":0,\"Pid\":7}").into(),
            container: json("200 OK", &container()).into(),
            containers: json("200 OK", "[]").into(),
            own_create: created(OWN_ID).into(),
            own_start: refused(),
            image: json("200 OK", "{\"Architecture\":\"amd64\"}").into(),
            version: json("200 OK", "{\"Arch\":\"amd64\"}").into(),
            stat: stat(0o755).into(),
            top: refused(),
            archive: json("200 OK", "").into(),
            kill: refused(),
            resize: json("200 OK", "").into(),
        }
    }
}

impl Script {
    /// Returns the answer to a request; `creates` is the number of exec creates before it.
    fn answer(&self, request: &str, creates: usize) -> &Answer {
        let is_own = request.contains(OWN_ID);
        match request {
            _ if request.contains("/kill?signal=") => &self.kill,
            _ if request.contains("/resize?") => &self.resize,
            _ if request.contains("/start ") && is_own => &self.own_start,
            _ if request.contains("/start ") => &self.start,
            _ if request.starts_with("POST /containers/") && creates > 0 => &self.own_create,
            _ if request.starts_with("POST /containers/") => &self.create,
            _ if request.starts_with("GET /exec/") => &self.inspect,
            _ if request.starts_with("GET /containers/json") => &self.containers,
            _ if request.starts_with("GET /version") || request.starts_with("GET /_ping") => &self.version,
            _ if request.starts_with("GET /images/") => &self.image,
            _ if request.starts_with("HEAD ") => &self.stat,
            _ if request.starts_with("PUT ") => &self.archive,
            _ if request.contains("/top?") => &self.top,
            _ => &self.container,
        }
    }
}

/// A running container.
fn container() -> String {
    format!("{{\"State\":{{\"Status\":\"running\",\"Running\":true}},\"Image\":\"sha256:{EXEC_ID}\"}}")
}

/// The answer for a directory with this mode.
pub fn stat(mode: u32) -> Vec<u8> {
    let json = format!("{{\"mode\":{mode}}}");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, json);
    format!("HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: {encoded}\r\n\r\n").into_bytes()
}

fn created(id: &str) -> Vec<u8> {
    json("201 Created", &format!("{{\"Id\":\"{id}\"}}"))
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

/// The answer to a start, followed by the stream.
pub fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    let head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\
                 Upgrade: tcp\r\n\r\n";
    [&head[..], &frames.concat()].concat()
}

pub struct Fake {
    _directory: tempfile::TempDir,
    pub host: String,
    connections: Arc<AtomicUsize>,
    /// The lines of each request's head.
    heads: Arc<Mutex<Vec<Vec<String>>>>,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub fn start(script: Script) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("it can be listened to");
        let connections = Arc::new(AtomicUsize::new(0));
        let heads: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
        let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
        let (count, seen, kept) = (Arc::clone(&connections), Arc::clone(&heads), Arc::clone(&bodies));
        thread::spawn(move || {
            for client in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (script, seen, kept) = (script.clone(), Arc::clone(&seen), Arc::clone(&kept));
                thread::spawn(move || serve(client.expect("it can be accepted"), &script, &seen, &kept));
            }
        });
        Self {
            host: format!("unix://{}", path.display()),
            _directory: directory,
            connections,
            heads,
            bodies,
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<String> {
        self.heads().into_iter().map(|head| head[0].clone()).collect()
    }

    /// The body of each request, as text.
    pub fn bodies(&self) -> Vec<String> {
        self.bodies.lock().expect("no thread panics").clone()
    }

    pub fn heads(&self) -> Vec<Vec<String>> {
        self.heads.lock().expect("no thread panics").clone()
    }
}

fn serve(client: UnixStream, script: &Script, seen: &Mutex<Vec<Vec<String>>>, kept: &Mutex<Vec<String>>) {
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
        let request = head.first().expect("a request has a first line").replace(VERSION, "");
        let creates = {
            let mut seen = seen.lock().expect("no thread panics");
            let is_create = |head: &&Vec<String>| head[0].replace(VERSION, "").starts_with("POST /containers/");
            let creates = seen.iter().filter(is_create).count();
            seen.push(head);
            kept.lock()
                .expect("no thread panics")
                .push(String::from_utf8_lossy(&body).into_owned());
            creates
        };
        let answer = script.answer(&request, creates);
        if !send(answer, &mut client, &mut reader) || request.contains("/start ") {
            return;
        }
    }
}

/// Sends an answer. Returns `false` if the connection is to be closed.
fn send(answer: &Answer, client: &mut UnixStream, reader: &mut BufReader<UnixStream>) -> bool {
    match answer {
        Answer::Bytes(bytes) => !bytes.is_empty() && client.write_all(bytes).is_ok(),
        Answer::ByteByByte(bytes) => bytes.iter().all(|byte| {
            thread::sleep(BYTE_PAUSE);
            client.write_all(&[*byte]).is_ok()
        }),
        Answer::Endless(first, again) => {
            let block = again.repeat(BLOCK.div_ceil(again.len()));
            let mut sent = client.write_all(first);
            while sent.is_ok() {
                sent = client.write_all(&block);
            }
            false
        }
        Answer::Silent(bytes) => {
            // Until the client closes the connection.
            let _ = client
                .write_all(bytes)
                .and_then(|()| std::io::copy(reader, &mut std::io::sink()));
            false
        }
        Answer::Talk(hello, reply) => {
            let mut goes_on = client.write_all(hello).is_ok();
            while goes_on {
                let mut line = String::new();
                goes_on = reader.read_line(&mut line).is_ok_and(|length| length > 0)
                    && send(&reply(line.trim_end()), client, reader);
            }
            false
        }
    }
}
