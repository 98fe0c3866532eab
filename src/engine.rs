//! The entry point of the library.

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
/// Nothing is sent before the first call. The engine needs a tokio runtime with time and I/O enabled. Clones share
/// connections.
#[derive(Clone, Debug)]
pub struct Engine {
    executor: Executor,
}

impl Engine {
    /// Creates an engine for this endpoint, without connecting to it.
    #[must_use]
    pub fn connect(endpoint: &Endpoint) -> Self {
        Self {
            executor: Executor::new(Api::new(endpoint)),
        }
    }

    fn api(&self) -> &Api {
        self.executor.api()
    }

    /// The endpoint of the engine.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.api().endpoint()
    }

    /// Runs a command and captures its output, up to [`CAPTURE_LIMIT`](crate::CAPTURE_LIMIT) bytes of each stream.
    ///
    /// This always returns an outcome; see [`exec_to`](Self::exec_to).
    pub async fn exec(&self, request: Request, cancel: &CancellationToken) -> Outcome {
        let mut capture = Capture::default();
        let end = self.exec_to(request, &mut capture, cancel).await;
        let (stdout, stderr) = capture.finish();
        Outcome { end, stdout, stderr }
    }

    /// Runs a command and passes its output on as it arrives.
    ///
    /// This takes three requests: create, start, and, after the output has ended, inspect for the exit code. The exit
    /// code is the command's own; if it can't be determined, the [`End`] says so.
    ///
    /// If `cancel` is cancelled, the request's timeout expires, or the output accepts no more data, the command is
    /// stopped: all its processes in the container are sent SIGTERM, and SIGKILL after
    /// [`kill_after`](crate::RequestBuilder::kill_after). This then returns [`End::Stopped`] once no process of the
    /// command is left, or with the reason why one may be.
    ///
    /// Dropping the future also stops the command, but should be a last resort: see [`shutdown`](Self::shutdown).
    pub async fn exec_to<O: Output>(&self, request: Request, output: &mut O, cancel: &CancellationToken) -> End {
        self.executor.exec_to(request, output, cancel).await
    }

    /// Runs a command and returns its output and its end as a [`Stream`](futures_core::Stream) of events.
    ///
    /// The last event is always [`ExecEvent::End`](crate::ExecEvent::End). Nothing is sent before the stream is first
    /// polled. The engine is read only as fast as events are consumed, so a slow reader slows the command down.
    ///
    /// Otherwise this behaves like [`exec_to`](Self::exec_to), including `cancel` and the request's timeout. Dropping
    /// the stream before its end stops the command, like dropping the future of `exec_to`.
    pub fn exec_stream(&self, request: Request, cancel: &CancellationToken) -> ExecStream {
        let (engine, cancel) = (self.clone(), cancel.clone());
        ExecStream::new(|mut output| async move { engine.exec_to(request, &mut output, &cancel).await })
    }

    /// Waits until the commands whose futures were dropped early have been stopped.
    ///
    /// Returns an error for each command that may have left a process running. The engine can still be used
    /// afterwards.
    pub async fn shutdown(&self) -> Vec<Error> {
        self.executor.shutdown().await
    }

    /// Returns all containers of the engine, running or not.
    ///
    /// # Errors
    ///
    /// The engine can't be reached, or refuses the request.
    pub async fn containers(&self) -> Result<Vec<Container>, Error> {
        self.api().containers().await
    }

    /// Returns the container with this name, id, or prefix of an id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if `container` is neither a name nor an id.
    /// Other errors: no container or more than one matches; the engine can't be reached, or refuses the request.
    pub async fn container(&self, container: &str) -> Result<ContainerDetails, Error> {
        self.api().container(&ContainerName::parse(container)?).await
    }

    /// Asks the engine for information about itself.
    ///
    /// # Errors
    ///
    /// The engine can't be reached or refuses the request, or the endpoint is not an engine.
    pub async fn info(&self) -> Result<EngineInfo, Error> {
        self.api().info().await
    }
}
