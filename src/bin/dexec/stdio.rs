//! Standard output and error, written on a thread of their own: a slow reader must not keep signals waiting.

use std::fs::File;
use std::io::{self, Write as _};

use bytes::Bytes;
use dexec::{Output, Stream};
use tokio::sync::{mpsc, oneshot};

/// Writes bytes in their order over both streams, as they come.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<(Stream, Bytes)>,
    /// How the thread ended; taken when that is told.
    end: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let (queue, pieces) = mpsc::channel(1);
        let (told, end) = oneshot::channel();
        std::thread::spawn(move || {
            // Nobody is left to be told when dexec is ending.
            let _ = told.send(write_all(pieces));
        });
        Self { queue, end: Some(end) }
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        let Self { queue, end } = self;
        drop(queue);
        told(end).await
    }
}

impl Output for Writer {
    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        if self.queue.send((stream, bytes)).await.is_ok() {
            return Ok(());
        }
        told(self.end.take()).await
    }
}

async fn told(end: Option<oneshot::Receiver<io::Result<()>>>) -> io::Result<()> {
    match end {
        Some(end) => end.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
        None => Ok(()),
    }
}

fn write_all(mut pieces: mpsc::Receiver<(Stream, Bytes)>) -> io::Result<()> {
    let (mut stdout, mut stderr) = (stdout()?, file(&io::stderr())?);
    while let Some((stream, bytes)) = pieces.blocking_recv() {
        match stream {
            Stream::Stdout => stdout.write_all(&bytes),
            Stream::Stderr => stderr.write_all(&bytes),
        }?;
    }
    Ok(())
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
