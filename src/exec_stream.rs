//! A command's output and end, as a stream.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::outcome::End;
use crate::output::{Output, Stream};

/// An event of a command; see [`Engine::exec_stream`](crate::Engine::exec_stream).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExecEvent {
    /// The command wrote these bytes to standard output.
    Stdout(Bytes),
    /// The command wrote these bytes to standard error.
    Stderr(Bytes),
    /// The command ended. This is the last event.
    End(End),
}

/// The events of one command; returned by [`Engine::exec_stream`](crate::Engine::exec_stream).
#[must_use = "a stream does nothing unless it is polled"]
pub struct ExecStream {
    /// The future that runs the command; `None` once it has completed.
    running: Option<Pin<Box<dyn Future<Output = End> + Send>>>,
    output: mpsc::Receiver<ExecEvent>,
    /// How the command ended, to be returned after its output.
    end: Option<End>,
}

impl ExecStream {
    /// Creates the stream of the command that `run` runs, which is passed the output to write to.
    pub(crate) fn new<F>(run: impl FnOnce(ChannelOutput) -> F) -> Self
    where
        F: Future<Output = End> + Send + 'static,
    {
        // The capacity is one event so that the engine is read only as fast as events are consumed.
        let (sender, output) = mpsc::channel(1);
        Self {
            running: Some(Box::pin(run(ChannelOutput(sender)))),
            output,
            end: None,
        }
    }
}

impl futures_core::Stream for ExecStream {
    type Item = ExecEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ExecEvent>> {
        if let Poll::Ready(Some(event)) = self.output.poll_recv(context) {
            return Poll::Ready(Some(event));
        }
        if let Some(running) = &mut self.running
            && let Poll::Ready(end) = running.as_mut().poll(context)
        {
            self.running = None;
            self.end = Some(end);
        }
        match self.output.poll_recv(context) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(event)),
            // The sender was dropped with the future that ran the command.
            Poll::Ready(None) => Poll::Ready(self.end.take().map(ExecEvent::End)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl fmt::Debug for ExecStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecStream")
            .field("is_running", &self.running.is_some())
            .finish_non_exhaustive()
    }
}

/// Sends a command's output to its stream.
#[derive(Debug)]
pub(crate) struct ChannelOutput(mpsc::Sender<ExecEvent>);

impl Output for ChannelOutput {
    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        let event = match stream {
            Stream::Stdout => ExecEvent::Stdout(bytes),
            Stream::Stderr => ExecEvent::Stderr(bytes),
        };
        // This does not happen in practice: the receiver is dropped together with the future that calls this.
        self.0
            .send(event)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
