//! Standard input; standard output and error, written on a thread of their own: a slow reader must not keep signals
//! waiting.

use std::borrow::Borrow;
use std::fs::File;
use std::future::pending;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use dexec::{CancellationToken, Capture, End, Outcome, Output, Stream};
use tokio::io::{AsyncRead, ReadBuf, Stdin};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::terminal;

/// How long a silent command runs before the reader of our output is watched.
const UNWATCHED_TIME: Duration = Duration::from_millis(100);

/// What is written in one go.
type Batch = Vec<(Stream, Bytes)>;

/// Standard input, which waits for more where whoever shares it has set it not to wait.
#[derive(Debug)]
pub(crate) struct Input {
    stdin: Stdin,
    waiting: Option<JoinHandle<io::Result<()>>>,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self {
            stdin: tokio::io::stdin(),
            waiting: None,
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let input = self.get_mut();
        loop {
            if let Some(waiting) = &mut input.waiting {
                let waited = ready!(Pin::new(waiting).poll(context));
                input.waiting = None;
                waited??;
            }
            match ready!(Pin::new(&mut input.stdin).poll_read(context, buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    input.waiting = Some(spawn_blocking(|| wait_for(&file(&io::stdin())?, Wait::Input)));
                }
                read => return Poll::Ready(read),
            }
        }
    }
}

/// Writes bytes in their order over both streams, as they come.
#[derive(Debug)]
pub(crate) struct Writer {
    batch: Batch,
    queue: mpsc::Sender<Batch>,
    /// How the thread ended; taken when that is told.
    end: Option<oneshot::Receiver<io::Result<()>>>,
    reader: Reader,
    takes_terminal: bool,
    ends_line: bool,
}

impl Writer {
    pub(crate) fn new(takes_terminal: bool) -> Self {
        let (queue, batches) = mpsc::channel(1);
        let (told, end) = oneshot::channel();
        // Where there is no thread to be had the output is found closed.
        let _ = std::thread::Builder::new().spawn(move || {
            // Nobody is left to be told when dexec is ending.
            let _ = told.send(write_batches(batches));
        });
        Self {
            batch: Batch::new(),
            queue,
            end: Some(end),
            reader: Reader::new(),
            takes_terminal,
            ends_line: true,
        }
    }

    /// Whether the user's terminal is taken for the command.
    pub(crate) fn takes_terminal(&self) -> bool {
        self.takes_terminal
    }

    /// Whether nothing was written behind the end of a line.
    pub(crate) fn ends_line(&self) -> bool {
        self.ends_line
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        let Self { batch, queue, end, .. } = self;
        // Where the thread has ended, it tells why.
        let _ = queue.send(batch).await;
        drop(queue);
        told(end).await
    }
}

impl Output for Writer {
    fn started(&mut self) -> io::Result<()> {
        if self.takes_terminal {
            terminal::take()?;
        }
        Ok(())
    }

    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        self.ends_line = bytes.last().is_none_or(|last| *last == b'\n');
        self.batch.push((stream, bytes));
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.reader.check()?;
        if self.batch.is_empty() {
            return Ok(());
        }
        // A batch is given away only when there is room for it: this wait may be dropped.
        let Ok(place) = self.queue.reserve().await else {
            return told(self.end.take()).await;
        };
        place.send(std::mem::take(&mut self.batch));
        Ok(())
    }

    async fn closed(&mut self) -> io::Error {
        let failed = async {
            if let Some(end) = &mut self.end
                && let Ok(Err(error)) = end.await
            {
                return error;
            }
            pending().await
        };
        let error = tokio::select! {
            error = failed => error,
            error = self.reader.gone() => return error,
        };
        self.end = None;
        error
    }
}

/// Keeps the output for a response, while there is somebody to give it to.
#[derive(Debug)]
pub(crate) struct Kept {
    capture: Capture,
    reader: Reader,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self {
            capture: Capture::default(),
            reader: Reader::new(),
        }
    }

    pub(crate) fn into_outcome(self, end: End) -> Outcome {
        let (stdout, stderr) = self.capture.finish();
        Outcome::new(end, stdout, stderr)
    }
}

impl Output for Kept {
    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        self.capture.write(stream, bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.reader.check()
    }

    async fn closed(&mut self) -> io::Error {
        self.reader.gone().await
    }
}

/// Watches for the reader of our standard output to go.
#[derive(Debug)]
pub(crate) struct Reader {
    begun: Instant,
    gone: Option<CancellationToken>,
}

impl Reader {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            gone: None,
        }
    }

    /// Comes when nobody reads any more.
    async fn gone(&mut self) -> io::Error {
        // Most commands have ended by then, and need no watch.
        tokio::time::sleep_until(self.begun + UNWATCHED_TIME).await;
        self.watch().cancelled().await;
        io::ErrorKind::BrokenPipe.into()
    }

    /// The same for a command that never leaves time to wait.
    fn check(&mut self) -> io::Result<()> {
        if self.begun.elapsed() > UNWATCHED_TIME && self.watch().is_cancelled() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn watch(&mut self) -> &CancellationToken {
        self.gone.get_or_insert_with(|| {
            let gone = CancellationToken::new();
            let tell = gone.clone();
            // Where there is no thread to be had the reader is not watched, and found missing at the next write.
            let _ = std::thread::Builder::new().spawn(move || {
                if wait_for_reader_s_end().is_ok() {
                    tell.cancel();
                }
            });
            gone
        })
    }
}

fn wait_for_reader_s_end() -> io::Result<()> {
    wait_for(&stdout()?, Wait::ReaderGone)
}

/// What to wait for on a stream.
#[derive(Clone, Copy)]
enum Wait {
    /// It takes more.
    Room,
    /// It has more, or has come to its end.
    Input,
    /// Nobody reads it any more. What has no reader, such as a file, keeps one waiting for ever.
    ReaderGone,
}

#[cfg(unix)]
fn wait_for(file: &File, event: Wait) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};

    let flags = match event {
        Wait::Room => PollFlags::OUT,
        Wait::Input => PollFlags::IN,
        // An error or a hang-up is told without being asked for.
        Wait::ReaderGone => PollFlags::empty(),
    };
    loop {
        match poll(&mut [PollFd::new(file, flags)], None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(unix))]
fn wait_for(_: &File, _: Wait) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

async fn told(end: Option<oneshot::Receiver<io::Result<()>>>) -> io::Result<()> {
    match end {
        Some(end) => end.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
        None => Ok(()),
    }
}

fn write_batches(mut batches: mpsc::Receiver<Batch>) -> io::Result<()> {
    let (mut stdout, mut stderr) = (stdout()?, file(&io::stderr())?);
    while let Some(batch) = batches.blocking_recv() {
        for run in batch.chunk_by(|(one, _), (next, _)| one == next) {
            let mut slices: Vec<IoSlice<'_>> = run.iter().map(|(_, bytes)| IoSlice::new(bytes)).collect();
            match run.first() {
                Some((Stream::Stdout, _)) => write_all(&mut stdout, &mut slices)?,
                _ => write_all(&mut stderr, &mut slices)?,
            }
        }
    }
    Ok(())
}

fn write_all(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match Patient(&*file).write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for room where whoever shares the stream has set it not to wait.
#[derive(Debug)]
pub(crate) struct Patient<F>(pub(crate) F);

impl<F: Borrow<File>> io::Write for Patient<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut file: &File = self.0.borrow();
        loop {
            match file.write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(file, Wait::Room)?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output without the line buffer of Rust's own.
pub(crate) fn stdout() -> io::Result<File> {
    file(&io::stdout())
}

#[cfg(unix)]
fn file(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn file(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}
