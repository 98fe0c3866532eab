//! Standard input, and who reads standard output.

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

/// How long a silent command runs before the reader of our output is watched.
const UNWATCHED_TIMEOUT: Duration = Duration::from_millis(100);

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

/// Keeps the output for a response, while there is somebody to give it to.
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

/// Watches for the reader of our standard output to go.
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

    /// Comes when nobody reads any more.
    pub(crate) async fn gone(&mut self) -> io::Error {
        if self.gone.is_none() {
            // Most commands have ended by then, and need no watch.
            tokio::time::sleep_until(self.begun + UNWATCHED_TIMEOUT).await;
        }
        self.watch().cancelled().await;
        io::ErrorKind::BrokenPipe.into()
    }

    /// The same for a command that never leaves time to wait.
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
pub(crate) enum Wait {
    /// It takes more.
    Room,
    /// It has more, or has come to its end.
    Input,
    /// Nobody reads it any more. What has no reader, such as a file, keeps one waiting for ever.
    ReaderGone,
}

#[cfg(unix)]
pub(crate) fn wait_for(file: &File, event: Wait) -> io::Result<()> {
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
pub(crate) fn wait_for(_: &File, _: Wait) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits for room where whoever shares the stream has set it not to wait.
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

/// Standard output without the line buffer of Rust's own.
pub(crate) fn stdout() -> io::Result<File> {
    file(&io::stdout())
}

/// Standard error, the same.
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
