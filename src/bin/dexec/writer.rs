//! Writes standard output and error as they arrive. A slow reader must not delay the handling of signals.

use std::collections::VecDeque;
use std::fs::File;
use std::future::pending;
use std::io::{self, IoSlice, Write as _};

use bytes::Bytes;
use dexec::{Output, Stream};
use tokio::sync::{mpsc, oneshot};

use crate::spare;
use crate::stdio::{self, BlockingIo, ReaderWatch};
use crate::terminal;

/// Output to be written, in order.
type Batch = VecDeque<(Stream, Bytes)>;

/// Writes bytes to both streams as they arrive, in order.
#[derive(Debug)]
pub(crate) struct Writer {
    batch: Batch,
    /// Chosen at the first output, because many commands have no output.
    way: Option<WriteStrategy>,
    reader: ReaderWatch,
    takes_terminal: bool,
    ends_line: bool,
}

#[derive(Debug)]
enum WriteStrategy {
    #[cfg(target_os = "linux")]
    Direct(direct::Direct),
    Thread(Thread),
}

impl Writer {
    pub(crate) fn new(takes_terminal: bool) -> Self {
        Self {
            batch: Batch::new(),
            way: None,
            reader: ReaderWatch::new(),
            takes_terminal,
            ends_line: true,
        }
    }

    /// Whether the command uses the user's terminal.
    pub(crate) fn takes_terminal(&self) -> bool {
        self.takes_terminal
    }

    /// Whether the output is empty or ends with a line break.
    pub(crate) fn ends_line(&self) -> bool {
        self.ends_line
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        self.write_batch().await?;
        match self.way {
            Some(WriteStrategy::Thread(Thread { queue, end })) => {
                drop(queue);
                told(end).await
            }
            _ => Ok(()),
        }
    }

    /// Writes the batch or passes it to the writer thread. If the future is dropped, unwritten bytes stay in the batch.
    async fn write_batch(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let way = self.way.get_or_insert_with(WriteStrategy::choose);
        #[cfg(target_os = "linux")]
        if let WriteStrategy::Direct(direct) = way {
            match direct.write(&mut self.batch).await {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    *way = WriteStrategy::Thread(Thread::begin());
                }
                written => return written,
            }
        }
        #[cfg_attr(not(target_os = "linux"), expect(irrefutable_let_patterns))]
        if let WriteStrategy::Thread(thread) = way {
            // Reserved first, so that the batch is kept if this future is dropped while the queue is full.
            let Ok(place) = thread.queue.reserve().await else {
                return told(thread.end.take()).await;
            };
            place.send(std::mem::take(&mut self.batch));
        }
        Ok(())
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
        self.batch.push_back((stream, bytes));
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.reader.check()?;
        self.write_batch().await
    }

    async fn closed(&mut self) -> io::Error {
        let failed = async {
            if let Some(WriteStrategy::Thread(thread)) = &mut self.way
                && let Some(end) = &mut thread.end
                && let Ok(Err(error)) = end.await
            {
                thread.end = None;
                return error;
            }
            pending().await
        };
        tokio::select! {
            error = failed => error,
            error = self.reader.gone() => error,
        }
    }
}

impl WriteStrategy {
    fn choose() -> Self {
        #[cfg(target_os = "linux")]
        if let Ok(direct) = direct::Direct::new() {
            return Self::Direct(direct);
        }
        Self::Thread(Thread::begin())
    }
}

/// Writes batches on a separate thread, because the writes may block.
#[derive(Debug)]
struct Thread {
    queue: mpsc::Sender<Batch>,
    /// Receives the thread's result; `None` after it was received.
    end: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Thread {
    fn begin() -> Self {
        let (queue, batches) = mpsc::channel(1);
        let (told, end) = oneshot::channel();
        // If no thread can be created, the next write finds the queue closed. The result has no receiver if dexec is
        // exiting.
        let _ = spare::run(move || drop(told.send(write_batches(batches))));
        Self { queue, end: Some(end) }
    }
}

async fn told(end: Option<oneshot::Receiver<io::Result<()>>>) -> io::Result<()> {
    match end {
        Some(end) => end.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
        None => Ok(()),
    }
}

fn write_batches(mut batches: mpsc::Receiver<Batch>) -> io::Result<()> {
    let (mut stdout, mut stderr) = (stdio::stdout()?, stdio::stderr()?);
    while let Some(mut batch) = batches.blocking_recv() {
        for run in batch.make_contiguous().chunk_by(|(one, _), (next, _)| one == next) {
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
        match BlockingIo(&*file).write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Non-blocking writes to pipes and sockets; only the kernel knows which ones support them. They avoid passing each
/// piece to another thread, which costs as much as writing it.
#[cfg(target_os = "linux")]
mod direct {
    use std::fs::File;
    use std::io::{self, IoSlice};
    use std::os::unix::fs::FileTypeExt as _;
    use std::sync::Arc;

    use bytes::Buf as _;
    use dexec::Stream;
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    use tokio::task::spawn_blocking;

    use super::Batch;
    use crate::stdio::{self, Wait, wait_for};

    /// More pieces than one read returns.
    const MAX_PIECES: usize = 64;

    /// The offset for files without a position, such as pipes.
    const AS_IT_COMES: u64 = u64::MAX;

    #[derive(Debug)]
    pub(super) struct Direct {
        stdout: Arc<File>,
        /// `None` if it is neither a pipe nor a socket. Most commands write nothing to it.
        stderr: Option<Arc<File>>,
    }

    impl Direct {
        /// Returns an error unless standard output is a pipe or a socket: poll(2) always reports a regular file as
        /// writable.
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                stdout: waitable(stdio::stdout()?)?,
                stderr: waitable(stdio::stderr()?).ok(),
            })
        }

        /// Writes the whole batch. After an error, or if the future is dropped, unwritten bytes stay in the batch.
        ///
        /// # Errors
        ///
        /// [`io::ErrorKind::Unsupported`] if the stream supports only blocking writes; otherwise the error of the
        /// write.
        pub(super) async fn write(&self, batch: &mut Batch) -> io::Result<()> {
            while let Some(&(stream, _)) = batch.front() {
                let file = match stream {
                    Stream::Stdout => &self.stdout,
                    Stream::Stderr => self.stderr.as_ref().ok_or(io::ErrorKind::Unsupported)?,
                };
                let run = batch.iter().take_while(|(of, _)| *of == stream).take(MAX_PIECES);
                let slices: Vec<IoSlice<'_>> = run.map(|(_, bytes)| IoSlice::new(bytes)).collect();
                match write_now(file, &slices) {
                    Ok(written) => advance(batch, written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let file = Arc::clone(file);
                        spawn_blocking(move || wait_for(&file, Wait::Room)).await??;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        }
    }

    fn waitable(file: File) -> io::Result<Arc<File>> {
        let kind = file.metadata()?.file_type();
        if kind.is_fifo() || kind.is_socket() {
            Ok(Arc::new(file))
        } else {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn write_now(file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match pwritev2(file, slices, AS_IT_COMES, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Err(io::ErrorKind::Unsupported.into()),
                written => return Ok(written?),
            }
        }
    }

    fn advance(batch: &mut Batch, mut written: usize) {
        while let Some((_, bytes)) = batch.front_mut() {
            if written < bytes.len() {
                bytes.advance(written);
                return;
            }
            written -= bytes.len();
            batch.pop_front();
        }
    }
}
