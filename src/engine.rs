//! What users of the library call.

use tokio_util::sync::CancellationToken;

use crate::api::{Api, EngineInfo};
use crate::container::{Container, ContainerDetails};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::exec::Executor;
use crate::exec_stream::ExecStream;
use crate::outcome::{End, Outcome};
use crate::output::{Capture, Output};
use crate::request::{ContainerName, Request};

/// A container engine at an [`Endpoint`].
///
/// Nothing is sent before the first call. It needs a tokio runtime with time and I/O enabled. A clone shares its
/// connections.
#[derive(Clone, Debug)]
pub struct Engine {
    executor: Executor,
}

impl Engine {
    /// An engine at this endpoint. No connection is made yet.
    #[must_use]
    pub fn connect(endpoint: &Endpoint) -> Self {
        Self {
            executor: Executor::new(Api::new(endpoint)),
        }
    }

    fn api(&self) -> &Api {
        self.executor.api()
    }

    /// The endpoint at which the engine is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.api().endpoint()
    }

    /// Runs a command and keeps what it writes, up to [`CAPTURE_LIMIT`](crate::CAPTURE_LIMIT) bytes of each stream.
    ///
    /// There is always an outcome; see [`exec_to`](Self::exec_to).
    pub async fn exec(&self, request: Request, cancel: &CancellationToken) -> Outcome {
        let mut capture = Capture::default();
        let end = self.exec_to(request, &mut capture, cancel).await;
        let (stdout, stderr) = capture.finish();
        Outcome { end, stdout, stderr }
    }

    /// Runs a command and hands its output on while it comes.
    ///
    /// It takes three requests: create, start, and an inspect for the exit code when the output has ended. The exit
    /// code is the command's own; where it can't be had the [`End`] says so.
    ///
    /// When `cancel` is cancelled, when the request's time is over, or when the output takes no more, the command is
    /// stopped: all its processes in the container are sent SIGTERM, and after
    /// [`kill_after`](crate::RequestBuilder::kill_after) SIGKILL. The end is then [`End::Stopped`], and it comes when
    /// nothing of the command is left, or says why something may be.
    ///
    /// Dropping the future is the emergency way to do the same: see [`shutdown`](Self::shutdown).
    pub async fn exec_to<O: Output>(&self, request: Request, output: &mut O, cancel: &CancellationToken) -> End {
        self.executor.exec_to(request, output, cancel).await
    }

    /// Runs a command and gives its output and its end as a [`Stream`](futures_core::Stream) of events.
    ///
    /// The last event is [`ExecEvent::End`](crate::ExecEvent::End), and it always comes. Nothing is sent before the stream is
    /// polled first. The engine is read from only as fast as events are taken, so a slow reader holds the command back.
    ///
    /// The promises are those of [`exec_to`](Self::exec_to), for `cancel` and the request's timeout too. A stream that is
    /// dropped before its end stops the command, as a dropped future of `exec_to` does.
    pub fn exec_stream(&self, request: Request, cancel: &CancellationToken) -> ExecStream {
        let (engine, cancel) = (self.clone(), cancel.clone());
        ExecStream::new(|mut output| async move { engine.exec_to(request, &mut output, &cancel).await })
    }

    /// Waits for the commands whose futures were dropped before their end: each is being stopped.
    ///
    /// Gives an error for each of which a process may be left. The engine can be used on.
    pub async fn shutdown(&self) -> Vec<Error> {
        self.executor.shutdown().await
    }

    /// Every container of the engine, running or not.
    ///
    /// # Errors
    ///
    /// The engine can't be reached, or refuses.
    pub async fn containers(&self) -> Result<Vec<Container>, Error> {
        self.api().containers().await
    }

    /// The container of this name, id, or beginning of an id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) when `container` is neither a name nor an id;
    /// there is no such container, or more than one; the engine can't be reached, or refuses.
    pub async fn container(&self, container: &str) -> Result<ContainerDetails, Error> {
        self.api().container(&ContainerName::parse(container)?).await
    }

    /// Asks the engine about itself.
    ///
    /// # Errors
    ///
    /// The engine can't be reached, is none, or refuses.
    pub async fn info(&self) -> Result<EngineInfo, Error> {
        self.api().info().await
    }
}
