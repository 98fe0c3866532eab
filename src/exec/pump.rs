//! Transfers a started command's input and output, until the output ends.

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

/// Twice Docker's largest frame. A larger buffer is slower: the data leaves the cache before it is written.
const READ_BUFFER_SIZE: usize = 64 * 1024;

/// The minimum free space for a read: a part of a frame's header may remain from the read before.
const HEADER_ROOM: usize = 64;

/// The maximum number of spare buffers. A buffer can be used again once its output is written.
const MAX_BUFFERS: usize = 3;

/// Enough for typed keys; pasted text takes several reads.
const KEY_BUFFER_SIZE: usize = 4 * 1024;

/// How much of each stream is kept. This is more than enough for the runtime's message about a failed start.
const MAX_PREFIX_SIZE: usize = 4 * 1024;

/// How long the output may be silent before the engine is asked whether the command has ended.
const FIRST_CHECK_AFTER: Duration = Duration::from_secs(10);

/// The longest pause between two such requests.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How many times a rejected terminal size is sent again: Podman 5 responds to a start before the terminal
/// exists. With pauses that grow from 10 ms to 500 ms, this takes about 8 s. A command whose terminal has no size by
/// then has usually ended.
const MAX_RESIZES: u32 = 20;
const MAX_RESIZE_PAUSE: Duration = Duration::from_millis(500);

/// Ctrl-D, with which the user of a terminal ends the input.
const END_OF_TRANSMISSION: u8 = 0x04;

/// Why the transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The output has ended.
    Ended,
    /// The user typed the terminal's detach keys.
    Detached,
}

/// Why the output did not end properly.
#[derive(Debug, Error)]
pub(crate) enum StreamError {
    #[error("{0}")]
    Read(#[source] io::Error),
    /// The TLS connection was closed improperly after a whole frame: the engine's end of the output can't be
    /// distinguished from a connection cut on the way.
    #[error("the connection was closed without a TLS close_notify alert")]
    Unsealed(#[source] io::Error),
    #[error("the stream ended in the middle of a frame")]
    CutFrame,
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The output could not be passed on. All other variants are errors of the connection.
    #[error("{0}")]
    Output(#[source] io::Error),
}

/// The beginning of each stream, which shows whether a start failed.
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
        let room = MAX_PREFIX_SIZE - seen.len();
        seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Transfers data until the output ends, even if the command does not read its input to the end.
///
/// If the command has ended but the engine keeps the output open, the transfer still ends.
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
    let mut bytes = BytesMut::with_capacity(READ_BUFFER_SIZE + HEADER_ROOM);
    bytes.extend_from_slice(&attached.read_ahead);
    let mut alarm = pin!(sleep(FIRST_CHECK_AFTER));

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
                // An engine that closes the connection before it has read all of the input resets it.
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

/// Buffers to reuse. Allocating buffers of this size is slow: the system provides the memory and fills it with zeros.
#[derive(Default)]
struct Buffers(Vec<BytesMut>);

impl Buffers {
    /// Returns a buffer with these bytes and room for a read. It is the same buffer, or one that is no longer in use,
    /// or a new one.
    fn next(&mut self, mut bytes: BytesMut) -> BytesMut {
        if bytes.try_reclaim(READ_BUFFER_SIZE) {
            return bytes;
        }
        let free = self
            .0
            .iter_mut()
            .position(|buffer| buffer.try_reclaim(READ_BUFFER_SIZE + HEADER_ROOM));
        let mut next = match free {
            Some(free) => self.0.swap_remove(free),
            None => BytesMut::with_capacity(READ_BUFFER_SIZE + HEADER_ROOM),
        };
        next.extend_from_slice(&bytes);
        if self.0.len() < MAX_BUFFERS {
            bytes.clear();
            self.0.push(bytes);
        }
        next
    }
}

/// Decodes what the engine sends as it arrives.
enum Decoder {
    Frames(Frames),
    /// A terminal's only stream is sent without frames: none of its bytes is a frame's header.
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

/// Resolves when the output has been silent for a long time and the engine, asked twice, reports that the command has
/// ended.
///
/// The time in which the output is written does not count: an engine that waits for its reader is silent too. The timer
/// is kept from one silence to the next, because setting it takes longer than most silences.
async fn proven_end(mut alarm: Pin<&mut Sleep>, api: &Api, id: &ExecId) {
    let mut pause = FIRST_CHECK_AFTER;
    let mut question = Instant::now() + pause;
    let mut has_ended = false;
    loop {
        // The timer may have been set for an earlier silence.
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
            // The last output may still be in transit.
            Ok(_) => {
                has_ended = true;
                FIRST_CHECK_AFTER
            }
            // An engine that does not respond proves nothing.
            Err(_) => pause * 2,
        };
        pause = pause.min(MAX_CHECK_INTERVAL);
        question = Instant::now() + pause;
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

/// Sends the input and then its end. Resolves only if the detach keys are typed: otherwise the transfer ends with the
/// output.
async fn feed(stdin: Option<Stdin>, terminal: Option<&Terminal>, mut writer: impl AsyncWrite + Unpin) -> StreamEnd {
    // It is no error if the command has stopped reading: its output and exit code show what it does next. Input that
    // can't be read is treated as ended.
    match (stdin, terminal) {
        (Some(stdin), Some(terminal)) => match Box::pin(type_in(stdin, terminal, &mut writer)).await {
            Ok(true) => StreamEnd::Detached,
            _ => pending().await,
        },
        (Some(stdin), None) => {
            let mut stdin = BufReader::with_capacity(READ_BUFFER_SIZE, stdin);
            let _ = tokio::io::copy_buf(&mut stdin, &mut writer).await;
            let _ = writer.shutdown().await;
            pending().await
        }
        (None, _) => pending().await,
    }
}

/// Sends each key at once when it is typed, until the input ends or the detach keys are typed. Returns whether they
/// were. A terminal's input is never shut down, because Docker would then end the output as well.
async fn type_in(mut stdin: Stdin, terminal: &Terminal, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<bool> {
    let mut matcher = terminal.detach_keys.as_ref().map(|keys| Matcher::new(keys.as_bytes()));
    let mut typed = BytesMut::with_capacity(KEY_BUFFER_SIZE);
    let mut passed = Vec::new();
    let mut last = b'\n';
    while stdin.read_buf(&mut typed).await.is_ok_and(|count| count > 0) {
        let is_detached = if let Some(matcher) = &mut matcher {
            matcher.push(&typed, &mut passed)
        } else {
            passed.extend_from_slice(&typed);
            false
        };
        last = passed.last().copied().unwrap_or(last);
        writer.write_all(&passed).await?;
        writer.flush().await?;
        if is_detached {
            return Ok(true);
        }
        typed.clear();
        passed.clear();
    }
    passed = matcher.map(Matcher::finish).unwrap_or_default();
    last = passed.last().copied().unwrap_or(last);
    if !matches!(last, b'\n' | b'\r' | END_OF_TRANSMISSION) {
        // Within a line, the first Ctrl-D only submits the line.
        passed.push(END_OF_TRANSMISSION);
    }
    passed.push(END_OF_TRANSMISSION);
    writer.write_all(&passed).await?;
    writer.flush().await?;
    Ok(false)
}

/// Sends the terminal's size to the engine, now and whenever it changes.
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
