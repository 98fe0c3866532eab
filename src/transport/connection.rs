//! A connection to an engine, whatever it runs over.

use std::fmt;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// Shut down, it tells the engine that no more input comes, and the engine's output still arrives. A named pipe can't be
/// half closed: over it a command does not learn of its input's end.
pub(crate) type Connection = Box<dyn ByteStream>;

/// A stream of bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin> ByteStream for T {}

/// The connection of an answer that upgraded it to a stream.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) connection: Connection,
    /// What came after the head of the answer, and was read with it.
    pub(crate) read_ahead: Bytes,
}
