//! Messages as lines. Each is checked against the limits before it is stored, and every request gets an answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rmcp::ErrorData;
use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::transport::{StdioReader, StdioWriter, Transport, stdio_pipes};
use serde::Deserialize;
use serde_json::error::Category;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{Mutex, Notify};

use crate::calls::{self, Ids};
use crate::message::Scan;
use crate::server::Server;

/// If the client has not read this many bytes of answers, no more of its messages are read.
const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// A line buffer up to this size is reused for the next line.
const USUAL_LINE: usize = 64 * 1024;

/// Some clients send it first, and JSON parsers may ignore it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) struct Lines {
    server: Arc<Server>,
    ids: Ids,
    input: BufReader<StdioReader>,
    line: Vec<u8>,
    scan: Scan,
    /// Why the current line is discarded.
    fault: Option<ErrorData>,
    output: Arc<Output>,
}

/// The client's side of the output.
struct Output {
    to: Mutex<Option<StdioWriter>>,
    unread: AtomicUsize,
    is_read: Notify,
}

impl Lines {
    pub(super) fn new(server: Arc<Server>) -> Self {
        let (input, output) = stdio_pipes();
        Self {
            server,
            ids: Ids::default(),
            input: BufReader::with_capacity(USUAL_LINE, input),
            line: Vec::new(),
            scan: Scan::default(),
            fault: None,
            output: Arc::new(Output {
                to: Mutex::new(Some(output)),
                unread: AtomicUsize::new(0),
                is_read: Notify::new(),
            }),
        }
    }

    /// Reads to the end of a line or of the input. It is cancel safe: the next call continues where this one stopped.
    async fn read(&mut self) -> Option<()> {
        loop {
            let bytes = self.input.fill_buf().await.ok()?;
            if bytes.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            match self.scan.feed(part) {
                Ok(()) => self.line.extend_from_slice(part),
                Err(fault) => {
                    self.line = Vec::new();
                    self.fault = Some(fault);
                }
            }
            let taken = part.len() + usize::from(end.is_some());
            self.input.consume(taken);
            if end.is_some() {
                return Some(());
            }
        }
    }

    /// Returns the message in the line that was read, or the answer to an invalid line.
    fn message(&mut self) -> Result<Option<ClientJsonRpcMessage>, Box<ServerJsonRpcMessage>> {
        let (scan, mut line) = (std::mem::take(&mut self.scan), std::mem::take(&mut self.line));
        if let Some(fault) = self.fault.take() {
            return Err(refusal(fault, scan.id()));
        }
        let json = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line).trim_ascii();
        if json.is_empty() {
            return Ok(None);
        }
        let mut message = match serde_json::from_slice::<ClientJsonRpcMessage>(json) {
            Ok(message) => message,
            Err(error) => return unknown(json, &scan, error.classify()),
        };
        if line.capacity() <= USUAL_LINE {
            line.clear();
            self.line = line;
        } else {
            drop(line);
        }
        let room = || self.server.room.take(scan.length()).map(Some);
        match calls::begin(&mut message, &self.ids, room) {
            Ok(()) => Ok(Some(message)),
            Err(error) => Err(refusal(error, scan.id())),
        }
    }
}

/// Handles a line that is not a message of the protocol. Unknown notifications are ignored; a line that is not JSON
/// may be a log line of the client, or an echo of an error.
fn unknown(
    json: &[u8],
    scan: &Scan,
    fault: Category,
) -> Result<Option<ClientJsonRpcMessage>, Box<ServerJsonRpcMessage>> {
    #[derive(Deserialize)]
    struct Head {
        method: Option<String>,
    }

    if matches!(fault, Category::Syntax | Category::Eof) {
        return Ok(None);
    }
    let has_method = serde_json::from_slice::<Head>(json).is_ok_and(|head| head.method.is_some());
    if has_method && !scan.has_id() {
        return Ok(None);
    }
    let error = ErrorData::new(
        ErrorCode::INVALID_REQUEST,
        "this is not a message of the Model Context Protocol",
        None,
    );
    Err(refusal(error, scan.id().filter(|_| has_method)))
}

fn refusal(error: ErrorData, id: Option<RequestId>) -> Box<ServerJsonRpcMessage> {
    Box::new(JsonRpcMessage::error(error, id))
}

impl Output {
    /// Writes a message. It is serialized at once, so that it takes no more memory than on the wire.
    fn write(self: &Arc<Self>, message: &ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + use<> {
        let output = Arc::clone(self);
        let line = serde_json::to_vec(message).map(|mut line| {
            line.push(b'\n');
            output.unread.fetch_add(line.len(), Ordering::Relaxed);
            line
        });
        async move {
            let line = line?;
            let mut to = output.to.lock().await;
            let written = match to.as_mut() {
                Some(to) => match to.write_all(&line).await {
                    Ok(()) => to.flush().await,
                    failed => failed,
                },
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            output.unread.fetch_sub(line.len(), Ordering::Relaxed);
            output.is_read.notify_one();
            written
        }
    }

    async fn wait_for_reader(&self) {
        while self.unread.load(Ordering::Relaxed) > MAX_UNREAD {
            self.is_read.notified().await;
        }
    }
}

impl Transport<RoleServer> for Lines {
    type Error = io::Error;

    fn send(&mut self, mut message: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let number = self.ids.send(&mut message);
        // The request is finished for the server, so its id is free.
        if let Ok(Some(number)) = number {
            self.ids.answered(number);
        }
        let writing = number.is_ok().then(|| self.output.write(&message));
        async move {
            match writing {
                Some(writing) => writing.await,
                None => Ok(()),
            }
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            self.output.wait_for_reader().await;
            self.read().await?;
            match self.message() {
                Ok(Some(mut message)) => {
                    self.ids.receive(&mut message);
                    return Some(message);
                }
                Ok(None) => {}
                // In its own task, because this future may be dropped at any time.
                Err(refusal) => drop(tokio::spawn(self.output.write(&refusal))),
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.to.lock().await.take();
        Ok(())
    }
}
