//! Moves a started command's bytes: its input in, its output out, until the output ends.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, Sleep, sleep};

use crate::api::{Api, ExecId, ExecState};
use crate::output::{Output, Stream};
use crate::request::Stdin;
use crate::terminal::Terminal;
use crate::transport::Upgraded;

use super::detach::Matcher;
use super::frames::{FrameError, Frames};

/// Two of Docker's largest frames. More costs more: it leaves the cache before it is written.
const BUFFER: usize = 64 * 1024;

/// More than is left of what was read: a part of a frame's header.
const REST: usize = 64;

/// How many buffers are kept, beside the one that is read into. A command's output holds those that are not written yet.
const MAX_BUFFERS: usize = 3;

/// More than is typed at once, and less than what is pasted.
const TYPED: usize = 4 * 1024;

/// The runtime's words for a failed start, of which this is more than enough.
const SEEN: usize = 4 * 1024;

/// After what silence the engine is asked whether the command has ended.
const SILENCE: Duration = Duration::from_secs(10);

/// How far the pauses between two questions grow.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// How often the engine is told a terminal's size that it does not take: Podman 5 answers a start before there is a
/// terminal. With pauses that grow from 10 ms to 500 ms these are some 8 s; a command that takes none has mostly ended.
const MAX_RESIZES: u32 = 20;
const MAX_RESIZE_PAUSE: Duration = Duration::from_millis(500);

/// Ctrl-D, by which a terminal's user tells the end of what is typed.
const END_OF_TRANSMISSION: u8 = 0x04;

/// Why nothing more is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The output has ended.
    Ended,
    /// The terminal's detach keys were typed.
    Left,
}

/// Why the output did not come to its proper end.
#[derive(Debug, Error)]
pub(crate) enum StreamError {
    #[error("{0}")]
    Read(#[source] io::Error),
    /// TLS, behind a whole frame: nobody can tell the end that the engine meant from one that was made on the way.
    #[error("the connection was closed without TLS's own end (close_notify)")]
    Unsealed(#[source] io::Error),
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
pub(crate) struct OutputPrefix {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl OutputPrefix {
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
    attached: Upgraded,
    (stdin, terminal): (Option<Stdin>, Option<&Terminal>),
    output: &mut O,
    seen: &mut OutputPrefix,
    (api, id): (&Api, &ExecId),
) -> Result<StreamEnd, StreamError> {
    output.started().map_err(StreamError::Output)?;
    let takes_input = stdin.is_some();
    let (mut reader, writer) = tokio::io::split(attached.connection);
    let mut buffers = Buffers::default();
    let mut bytes = BytesMut::with_capacity(BUFFER + REST);
    bytes.extend_from_slice(&attached.read_ahead);
    let mut alarm = pin!(sleep(SILENCE));

    let deliver = async {
        let mut decoder = match terminal {
            Some(_) => Decoder::Terminal,
            None => Decoder::Frames(Frames::default()),
        };
        loop {
            while let Some((stream, piece)) = decoder.next(&mut bytes)? {
                seen.note(stream, &piece);
                output.write(stream, piece).await.map_err(StreamError::Output)?;
            }
            output.flush().await.map_err(StreamError::Output)?;
            bytes = buffers.next(bytes);
            let read = tokio::select! {
                biased;
                read = reader.read_buf(&mut bytes) => read,
                error = output.closed() => return Err(StreamError::Output(error)),
                () = proven_end(alarm.as_mut(), api, id) => Ok(0),
            };
            match read {
                Ok(0) if decoder.is_whole(&bytes) => return Ok(StreamEnd::Ended),
                Ok(0) => return Err(StreamError::CutFrame),
                Ok(_) => {}
                // An engine that closes the connection before it has read all of our input resets it.
                Err(error) if takes_input && is_reset(&error) && decoder.is_whole(&bytes) => {
                    return Ok(StreamEnd::Ended);
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(if decoder.is_whole(&bytes) {
                        StreamError::Unsealed(error)
                    } else {
                        StreamError::CutFrame
                    });
                }
                Err(error) => return Err(StreamError::Read(error)),
            }
        }
    };
    tokio::select! {
        biased;
        delivered = deliver => delivered,
        finish = feed(stdin, terminal, writer) => Ok(finish),
        never = async {
            match terminal {
                Some(terminal) => Box::pin(follow_size(terminal, api, id)).await,
                None => pending().await,
            }
        } => match never {},
    }
}

/// What was read into before. Memory of this size is dear: each new piece is asked of the system, which fills it with zeros.
#[derive(Default)]
struct Buffers(Vec<BytesMut>);

impl Buffers {
    /// A buffer with these bytes and room for a read: the same, or one of which nobody holds anything any more.
    fn next(&mut self, mut bytes: BytesMut) -> BytesMut {
        if bytes.try_reclaim(BUFFER) {
            return bytes;
        }
        let free = self.0.iter_mut().position(|buffer| buffer.try_reclaim(BUFFER + REST));
        let mut next = match free {
            Some(free) => self.0.swap_remove(free),
            None => BytesMut::with_capacity(BUFFER + REST),
        };
        next.extend_from_slice(&bytes);
        if self.0.len() < MAX_BUFFERS {
            bytes.clear();
            self.0.push(bytes);
        }
        next
    }
}

/// What the engine sends, taken apart as it comes.
enum Decoder {
    Frames(Frames),
    /// A terminal's one stream is sent as it is: whatever its bytes are, they are no frame's header.
    Terminal,
}

impl Decoder {
    fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<(Stream, Bytes)>, FrameError> {
        match self {
            Self::Frames(frames) => frames.next(bytes),
            Self::Terminal if bytes.is_empty() => Ok(None),
            Self::Terminal => Ok(Some((Stream::Stdout, bytes.split().freeze()))),
        }
    }

    fn is_whole(&self, rest: &BytesMut) -> bool {
        match self {
            Self::Frames(frames) => frames.is_whole(rest),
            Self::Terminal => true,
        }
    }
}

/// Comes when the output has been silent for long and the engine says, asked twice, that the command has ended.
///
/// The time in which the output is written does not count: an engine that waits for its reader is silent too. The alarm is
/// kept from one silence to the next, as to set one takes longer than most silences.
async fn proven_end(mut alarm: Pin<&mut Sleep>, api: &Api, id: &ExecId) {
    let mut pause = SILENCE;
    let mut question = Instant::now() + pause;
    let mut has_ended = false;
    loop {
        // What it was set for may be an earlier silence.
        if alarm.is_elapsed() || alarm.deadline() > question {
            alarm.as_mut().reset(question);
        }
        alarm.as_mut().await;
        if alarm.deadline() < question {
            continue;
        }
        pause = match api.inspect_exec(id).await {
            Ok(Some(ExecState { is_running: true, .. })) => {
                has_ended = false;
                pause * 2
            }
            Ok(_) if has_ended => return,
            // Its last output may be on the way.
            Ok(_) => {
                has_ended = true;
                SILENCE
            }
            // An engine that does not answer proves nothing.
            Err(_) => pause * 2,
        };
        pause = pause.min(MAX_SILENCE);
        question = Instant::now() + pause;
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

/// Sends the input and then its end. It comes when the input asks to leave the command, and never otherwise: the
/// output's end is the only other end.
async fn feed(stdin: Option<Stdin>, terminal: Option<&Terminal>, mut writer: impl AsyncWrite + Unpin) -> StreamEnd {
    // A command that has stopped reading is no fault: what it does next is told by its output and exit code.
    // Input that can't be read has come to its end.
    match (stdin, terminal) {
        (Some(stdin), Some(terminal)) => match Box::pin(type_in(stdin, terminal, &mut writer)).await {
            Ok(true) => StreamEnd::Left,
            _ => pending().await,
        },
        (Some(stdin), None) => {
            let mut stdin = BufReader::with_capacity(BUFFER, stdin);
            let _ = tokio::io::copy_buf(&mut stdin, &mut writer).await;
            let _ = writer.shutdown().await;
            pending().await
        }
        (None, _) => pending().await,
    }
}

/// Sends what is typed, each key at once, to its end or to the detach keys; whether those came. A terminal's input is
/// never shut down: Docker would end the output with it.
async fn type_in(mut stdin: Stdin, terminal: &Terminal, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<bool> {
    let mut matcher = terminal.detach_keys.as_ref().map(|keys| Matcher::new(keys.as_bytes()));
    let mut typed = BytesMut::with_capacity(TYPED);
    let mut passed = Vec::new();
    let mut last = b'\n';
    while stdin.read_buf(&mut typed).await.is_ok_and(|count| count > 0) {
        let is_left = if let Some(matcher) = &mut matcher {
            matcher.push(&typed, &mut passed)
        } else {
            passed.extend_from_slice(&typed);
            false
        };
        last = passed.last().copied().unwrap_or(last);
        writer.write_all(&passed).await?;
        writer.flush().await?;
        if is_left {
            return Ok(true);
        }
        typed.clear();
        passed.clear();
    }
    passed = matcher.map(Matcher::finish).unwrap_or_default();
    last = passed.last().copied().unwrap_or(last);
    if !matches!(last, b'\n' | b'\r' | END_OF_TRANSMISSION) {
        // Within a line the first one only hands the line on.
        passed.push(END_OF_TRANSMISSION);
    }
    passed.push(END_OF_TRANSMISSION);
    writer.write_all(&passed).await?;
    writer.flush().await?;
    Ok(false)
}

/// Tells the engine the size of the terminal, now and whenever it has changed.
async fn follow_size(terminal: &Terminal, api: &Api, id: &ExecId) -> Infallible {
    let mut sizes = terminal.sizes.clone();
    loop {
        for count in 0..MAX_RESIZES {
            let size = *sizes.borrow_and_update();
            match size {
                Some(size) if !api.resize_exec(id, size).await => {
                    sleep(Duration::from_millis(10 << count).min(MAX_RESIZE_PAUSE)).await;
                }
                _ => break,
            }
        }
        if sizes.changed().await.is_err() {
            return pending().await;
        }
    }
}
