//! Stands between a client and an engine, and counts what is asked.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const REQUEST_END: &[u8] = b" HTTP/1.1\r\n";

pub(crate) struct Proxy {
    socket: PathBuf,
    /// What came over each connection.
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Proxy {
    pub(crate) fn before(engine: &Path) -> Self {
        let socket = std::env::temp_dir().join(format!("dexec-bench-{}", std::process::id()));
        let listener = UnixListener::bind(&socket).expect("a socket can be made");
        let asked = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let proxy = Self {
            socket,
            asked: Arc::clone(&asked),
        };
        let engine = engine.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("clients can be accepted");
                let engine = UnixStream::connect(&engine).expect("the engine answers");
                let (from, to) = (twin(&engine), twin(&client));
                std::thread::spawn(move || pass(from, to, |_| ()));
                let number = {
                    let mut asked = asked.lock().expect("nobody panics");
                    asked.push(Vec::new());
                    asked.len() - 1
                };
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || {
                    pass(client, engine, |bytes| {
                        asked.lock().expect("nobody panics")[number].extend_from_slice(bytes);
                    });
                });
            }
        });
        proxy
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// How many requests came, and over how many connections, since this was asked last.
    pub(crate) fn count(&self) -> (usize, usize) {
        let asked = std::mem::take(&mut *self.asked.lock().expect("nobody panics"));
        let requests = |bytes: &Vec<u8>| {
            bytes
                .windows(REQUEST_END.len())
                .filter(|part| *part == REQUEST_END)
                .count()
        };
        (asked.iter().map(requests).sum(), asked.len())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn twin(stream: &UnixStream) -> UnixStream {
    stream.try_clone().expect("there is a descriptor to be had")
}

/// One direction, up to its end. A connection that breaks has ended.
fn pass(mut from: UnixStream, mut to: UnixStream, note: impl Fn(&[u8])) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        note(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
