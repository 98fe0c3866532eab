//! A connection to an engine over any transport.

use std::fmt;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// Shutting it down tells the engine that there is no more input; the engine's output still arrives. A named pipe
/// can't be half closed, so over a pipe a command is not notified of the end of its input.
pub(crate) type Connection = Box<dyn ByteStream>;

/// A stream of bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin> ByteStream for T {}

/// The connection of a response that upgraded it to a stream.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) connection: Connection,
    /// Bytes after the head of the response that were read together with it.
    pub(crate) read_ahead: Bytes,
}
