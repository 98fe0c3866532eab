//! The receiver of a command's output.

use std::future::Future;
use std::io;

use bytes::Bytes;

/// One of a command's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Receives a command's output as it arrives.
pub trait Output: Send {
    /// Called once the command has been started, before any of its output is written or its input is read.
    ///
    /// # Errors
    ///
    /// The output can't be passed on; the command is stopped.
    fn started(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes the next bytes of a stream, in the order in which the engine sent them.
    ///
    /// Nothing more is read from the engine until this completes, so a slow output slows the command down.
    ///
    /// # Errors
    ///
    /// The output can't be passed on; nothing more is written.
    fn write(&mut self, stream: Stream, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Passes on everything written so far. It is called whenever dexec has to wait for more output.
    ///
    /// # Errors
    ///
    /// The same as for [`write`](Self::write).
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Completes when the output accepts no more data. The output may know this before anything is written, so that a
    /// silent command can be stopped too. By default it never completes.
    ///
    /// It is polled while there is nothing to write, and dropped when there is.
    fn closed(&mut self) -> impl Future<Output = io::Error> + Send {
        std::future::pending()
    }
}
