//! Standard streams, and detection of whether standard output still has a reader.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use dexec::{CancellationToken, Capture, End, Outcome, Output, Stream};
use tokio::io::{AsyncRead, ReadBuf, Stdin};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

/// How long a command runs before the reader of dexec's output is watched.
const UNWATCHED_TIMEOUT: Duration = Duration::from_millis(100);

/// Standard input. Waits for data even if a process that shares it has made it non-blocking.
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

/// Collects the output for a response, as long as standard output has a reader.
#[derive(Debug)]
pub(crate) struct JsonOutput {
    capture: Capture,
    reader: ReaderWatch,
}

impl JsonOutput {
    pub(crate) fn new() -> Self {
        Self {
            capture: Capture::default(),
            reader: ReaderWatch::new(),
        }
    }

    pub(crate) fn into_outcome(self, end: End) -> Outcome {
        let (stdout, stderr) = self.capture.finish();
        Outcome::new(end, stdout, stderr)
    }
}

impl Output for JsonOutput {
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

/// Detects when the reader of dexec's standard output is gone.
#[derive(Debug)]
pub(crate) struct ReaderWatch {
    begun: Instant,
    gone: Option<CancellationToken>,
}

impl ReaderWatch {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            gone: None,
        }
    }

    /// Completes when standard output has no reader any more.
    pub(crate) async fn gone(&mut self) -> io::Error {
        if self.gone.is_none() {
            // Most commands end before this, and need no watcher.
            tokio::time::sleep_until(self.begun + UNWATCHED_TIMEOUT).await;
        }
        self.watch().cancelled().await;
        io::ErrorKind::BrokenPipe.into()
    }

    /// Like `gone`, but without waiting, for a command whose output never pauses.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        if self.begun.elapsed() > UNWATCHED_TIMEOUT && self.watch().is_cancelled() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn watch(&mut self) -> &CancellationToken {
        self.gone.get_or_insert_with(|| {
            let gone = CancellationToken::new();
            let tell = gone.clone();
            // If no thread can be created, the reader is not watched; the next write fails if it is gone.
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

/// The event to wait for on a stream.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    /// It can be written to.
    Room,
    /// It has data or is at its end.
    Input,
    /// It has no reader any more. For a stream without a reader, such as a file, the wait never ends.
    ReaderGone,
}

#[cfg(unix)]
pub(crate) fn wait_for(file: &File, event: Wait) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};

    let flags = match event {
        Wait::Room => PollFlags::OUT,
        Wait::Input => PollFlags::IN,
        // poll(2) always reports errors and hang-ups.
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
pub(crate) fn wait_for(_: &File, _: Wait) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits for room even if a process that shares the stream has made it non-blocking.
#[derive(Debug)]
pub(crate) struct BlockingIo<F>(pub(crate) F);

impl<F: Borrow<File>> io::Write for BlockingIo<F> {
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

/// Standard output without the line buffer of [`io::stdout`].
pub(crate) fn stdout() -> io::Result<File> {
    file(&io::stdout())
}

/// Standard error, as a file.
pub(crate) fn stderr() -> io::Result<File> {
    file(&io::stderr())
}

#[cfg(unix)]
fn file(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn file(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}
