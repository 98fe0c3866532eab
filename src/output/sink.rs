//! What takes a command's output.

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

/// Takes a command's output while it comes.
pub trait Output: Send {
    /// Is told that the command was started, before any of its output is written and of its input read.
    ///
    /// # Errors
    ///
    /// The output can't be handed on: the command is stopped.
    fn started(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Takes the next bytes of a stream, in the order in which the engine sent them.
    ///
    /// The engine is not read from until this is done: a slow output holds the command back.
    ///
    /// # Errors
    ///
    /// The output can't be handed on; nothing more is written then.
    fn write(&mut self, stream: Stream, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Sees to it that everything taken so far is on its way. It is called whenever more output has to be waited for.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write).
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        async { Ok(()) }
    }

    /// Comes when the output will take no more, which it may know before anything is written: a command that is silent
    /// has to be stopped all the same. By default it never comes.
    ///
    /// It is waited for while there is nothing to write, and dropped when there is.
    fn closed(&mut self) -> impl Future<Output = io::Error> + Send {
        std::future::pending()
    }
}
