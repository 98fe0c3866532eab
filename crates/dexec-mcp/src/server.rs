//! The state that all clients of a server share.

use std::sync::Arc;
use std::time::Duration;

use dexec::{CancellationToken, Endpoint, Engine};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::answer::Answers;
use crate::audit::Audit;
use crate::calls::Room;
use crate::policy::Policy;

/// A listing may need much memory, but takes little time.
const MAX_LISTINGS: usize = 4;

/// The operator's settings.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) answers: Answers,
    pub(crate) default_compact: bool,
    /// If `None`, a command may run forever.
    pub(crate) default_timeout: Option<Duration>,
    /// How many characters of each stream an answer contains if the call has no limit.
    pub(crate) default_limit: usize,
    pub(crate) max_concurrent: usize,
    pub(crate) policy: Policy,
    pub(crate) audit: Option<Audit>,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) settings: Settings,
    /// One permit for each command that may run at the same time.
    pub(crate) places: Arc<Semaphore>,
    /// One permit for each concurrent listing of containers, which does not wait for commands.
    pub(crate) listings: Semaphore,
    /// Room for requests that are not answered yet.
    pub(crate) room: Room,
    /// Cancelled when a signal asks the process to end.
    pub(crate) interrupted: CancellationToken,
    /// Cancelled when everything must be stopped: the server was interrupted, or its only client has disconnected.
    pub(crate) end: CancellationToken,
    /// The running calls. They continue after their clients have disconnected, until their commands are stopped.
    pub(crate) calls: TaskTracker,
}

impl Server {
    pub(crate) fn new(settings: Settings, interrupted: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            engine: Engine::connect(&settings.endpoint),
            places: Arc::new(Semaphore::new(settings.max_concurrent)),
            listings: Semaphore::new(MAX_LISTINGS),
            room: Room::new(settings.max_concurrent),
            settings,
            end: interrupted.child_token(),
            interrupted,
            calls: TaskTracker::new(),
        })
    }

    /// Stops everything that runs, and waits for it to end.
    pub(crate) async fn finish(&self) {
        self.end.cancel();
        self.calls.close();
        self.calls.wait().await;
        for failure in self.engine.shutdown().await {
            log!("{failure}");
        }
    }
}
