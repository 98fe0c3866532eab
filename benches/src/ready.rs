//! An engine that has every answer ready, Docker's, and runs nothing. Before it a client takes its own time alone, which
//! before a real engine is lost in the engine's.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::Engine;

const ID: &str = "7d5a3b0f2c9e4d1886a1f0c3e5b7924d6f8e0a1b2c3d4e5f60718293a4b5c6d7";

const HEADERS: &str = "Api-Version: 1.41\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/20.10.24+dfsg1 \
                       (linux)\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n";

/// One byte of output, and its end.
const OUTPUT: &[u8] = b"\x01\0\0\0\0\0\0\x01\n";

/// Begins it; it ends with this program.
pub(crate) fn engine() -> Engine {
    let socket: PathBuf = std::env::temp_dir().join(format!("dexec-ready-{}", std::process::id()));
    let listener = UnixListener::bind(&socket).expect("a socket can be made");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("clients can be accepted");
            std::thread::spawn(move || serve(BufReader::new(client)));
        }
    });
    Engine {
        name: "ready".to_owned(),
        socket,
        pause: Duration::ZERO,
    }
}

/// A client that goes has had what it wanted.
fn serve(mut client: BufReader<UnixStream>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            (client.read_until(b'\n', &mut head).ok()? > 0).then_some(())?;
        }
        let head = String::from_utf8(head).expect("a head is text").to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("it is a number"));
        client.read_exact(&mut vec![0; length]).ok()?;

        let request = head.lines().next().unwrap_or_default();
        let stream = client.get_mut();
        if request.starts_with("head /_ping") {
            answer(stream, "200 OK", "")?;
        } else if request.starts_with("post") && request.contains("/start ") {
            let upgrade = "Content-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
            write!(stream, "HTTP/1.1 101 UPGRADED\r\n{upgrade}{HEADERS}\r\n").ok()?;
            stream.write_all(OUTPUT).ok()?;
            return stream.shutdown(Shutdown::Both).ok();
        } else if request.starts_with("post") {
            answer(stream, "201 Created", &format!(r#"{{"Id":"{ID}"}}"#))?;
        } else if request.contains("/exec/") {
            let state = format!(r#"{{"ID":"{ID}","Running":false,"ExitCode":0,"ContainerID":"{ID}","Pid":4711}}"#);
            answer(stream, "200 OK", &state)?;
        } else {
            let container = format!(r#"{{"Id":"{ID}","Name":"/ready","State":{{"Status":"running","Running":true}}}}"#);
            answer(stream, "200 OK", &container)?;
        }
    }
}

fn answer(stream: &mut UnixStream, status: &str, body: &str) -> Option<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{HEADERS}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).ok()
}
