//! Moves a started command's bytes: its input in, its output out, until the output ends.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::time::sleep;

use crate::engine::{Attached, Engine, ExecId, ExecState};
use crate::request::Stdin;

use super::frames::{FrameError, Frames};
use super::output::{Output, Stream};

/// Four of Docker's largest frames.
const BUFFER: usize = 128 * 1024;

/// The runtime's words for a failed start, of which this is more than enough.
const SEEN: usize = 4 * 1024;

/// After what silence the engine is asked whether the command has ended.
const SILENCE: Duration = Duration::from_secs(10);

/// How far the pauses between two questions grow.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Why the output did not come to its proper end.
#[derive(Debug, Error)]
pub(crate) enum Break {
    #[error("{0}")]
    Read(#[source] io::Error),
    #[error("the stream ended in the middle of a frame")]
    CutFrame,
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The output could not be handed on; the others are faults of the connection.
    #[error("{0}")]
    Output(#[source] io::Error),
}

/// The beginning of each stream, by which a failed start is known.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Seen {
    fn note(&mut self, stream: Stream, bytes: &Bytes) {
        let seen = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let room = SEEN - seen.len();
        seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Moves bytes until the output ends. A command that does not read its input to the end does not keep it waiting.
///
/// An engine that does not end the output of a command which has ended is not waited for without end.
pub(crate) async fn pump<O: Output>(
    attached: Attached,
    stdin: Option<Stdin>,
    output: &mut O,
    seen: &mut Seen,
    (engine, id): (&Engine, &ExecId),
) -> Result<(), Break> {
    let takes_input = stdin.is_some();
    let (mut reader, writer) = tokio::io::split(attached.socket);
    let mut bytes = BytesMut::with_capacity(BUFFER);
    bytes.extend_from_slice(&attached.early);

    let deliver = async {
        let mut frames = Frames::default();
        loop {
            while let Some((stream, piece)) = frames.next(&mut bytes)? {
                seen.note(stream, &piece);
                output.write(stream, piece).await.map_err(Break::Output)?;
            }
            output.flush().await.map_err(Break::Output)?;
            bytes.reserve(BUFFER);
            let read = tokio::select! {
                biased;
                read = reader.read_buf(&mut bytes) => read,
                error = output.closed() => return Err(Break::Output(error)),
                () = proven_end(engine, id) => Ok(0),
            };
            match read {
                Ok(0) if frames.is_whole(&bytes) => return Ok(()),
                Ok(0) => return Err(Break::CutFrame),
                Ok(_) => {}
                // An engine that closes the connection before it has read all of our input resets it.
                Err(error) if takes_input && is_reset(&error) && frames.is_whole(&bytes) => return Ok(()),
                Err(error) => return Err(Break::Read(error)),
            }
        }
    };
    tokio::select! {
        biased;
        delivered = deliver => delivered,
        never = feed(stdin, writer) => match never {},
    }
}

/// Comes when the output has been silent for long and the engine says, asked twice, that the command has ended.
///
/// The time in which the output is written does not count: an engine that waits for its reader is silent too.
async fn proven_end(engine: &Engine, id: &ExecId) {
    let mut pause = SILENCE;
    let mut has_ended = false;
    loop {
        sleep(pause).await;
        match engine.inspect_exec(id).await {
            Ok(Some(ExecState { is_running: true, .. })) => has_ended = false,
            Ok(_) if has_ended => return,
            // Its last output may be on the way.
            Ok(_) => {
                has_ended = true;
                pause = SILENCE;
                continue;
            }
            // An engine that does not answer proves nothing.
            Err(_) => {}
        }
        pause = (pause * 2).min(LONGEST_SILENCE);
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

/// Sends the input and then its end, and waits for ever: only the output's end is an end.
async fn feed(stdin: Option<Stdin>, mut writer: impl AsyncWrite + Unpin) -> std::convert::Infallible {
    if let Some(stdin) = stdin {
        let mut stdin = BufReader::with_capacity(BUFFER, stdin);
        // A command that has stopped reading is no fault: what it does next is told by its output and exit code.
        // Input that can't be read has come to its end.
        let _ = tokio::io::copy_buf(&mut stdin, &mut writer).await;
        let _ = writer.shutdown().await;
    }
    pending().await
}
