//! Messages as lines. Each is bounded before it is kept, and no request is dropped without an answer.

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

/// With so many bytes of answers that the client does not read, no more of its messages are read.
const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// The room for a line that is kept for the next one.
const USUAL_LINE: usize = 64 * 1024;

/// What some clients begin with, and JSON may.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) struct Lines {
    server: Arc<Server>,
    ids: Ids,
    input: BufReader<StdioReader>,
    line: Vec<u8>,
    scan: Scan,
    /// Why the line that is being read is not kept.
    fault: Option<ErrorData>,
    output: Arc<Output>,
}

/// What the client reads.
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

    /// Reads to the end of a line, or to the client's. It may be dropped at any time, and goes on where it was.
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

    /// The message in the line that was read; or what to answer to a line that is none.
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

/// What is no message of the protocol: others' notifications say nothing here, and what is no JSON may be the client's
/// log, or an echo of an error.
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
    let error = ErrorData::new(ErrorCode::INVALID_REQUEST, "this is no message of the protocol", None);
    Err(refusal(error, scan.id().filter(|_| has_method)))
}

fn refusal(error: ErrorData, id: Option<RequestId>) -> Box<ServerJsonRpcMessage> {
    Box::new(JsonRpcMessage::error(error, id))
}

impl Output {
    /// Writes a message. It is as it is sent from now on, so that it takes no more room.
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

    fn send(&mut self, message: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        // From now on nothing but the client knows the request.
        if let Some(id) = calls::answered_by(&message) {
            self.ids.answered(&id);
        }
        self.output.write(&message)
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            self.output.wait_for_reader().await;
            self.read().await?;
            match self.message() {
                Ok(Some(message)) => {
                    self.ids.heard(&message);
                    return Some(message);
                }
                Ok(None) => {}
                // This future may be dropped at any time, and the refusal is written all the same.
                Err(refusal) => drop(tokio::spawn(self.output.write(&refusal))),
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.to.lock().await.take();
        Ok(())
    }
}
