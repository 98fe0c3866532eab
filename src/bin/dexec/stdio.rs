//! Standard output and error, written on a thread of their own: a slow reader must not keep signals waiting.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};

use bytes::Bytes;
use dexec::{Output, Stream};
use tokio::sync::{mpsc, oneshot};

/// What is written in one go.
type Batch = Vec<(Stream, Bytes)>;

/// Writes bytes in their order over both streams, as they come.
#[derive(Debug)]
pub(crate) struct Writer {
    batch: Batch,
    queue: mpsc::Sender<Batch>,
    /// How the thread ended; taken when that is told.
    end: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let (queue, batches) = mpsc::channel(1);
        let (told, end) = oneshot::channel();
        std::thread::spawn(move || {
            // Nobody is left to be told when dexec is ending.
            let _ = told.send(write_batches(batches));
        });
        Self {
            batch: Batch::new(),
            queue,
            end: Some(end),
        }
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        let Self { queue, end, .. } = self;
        drop(queue);
        told(end).await
    }
}

impl Output for Writer {
    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        self.batch.push((stream, bytes));
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() || self.queue.send(std::mem::take(&mut self.batch)).await.is_ok() {
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
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
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
