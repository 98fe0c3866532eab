//! What all clients of one server share.

use std::sync::Arc;
use std::time::Duration;

use dexec::{CancellationToken, Endpoint, Engine};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::calls::Room;
use crate::policy::Policy;

/// A listing can be large, and is soon made.
const MAX_LISTINGS: usize = 4;

/// What the operator has set.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) default_compact: bool,
    /// `None`: a command may run for ever.
    pub(crate) default_timeout: Option<Duration>,
    /// How many characters of each stream the text of an answer has.
    pub(crate) default_limit: usize,
    pub(crate) max_concurrent: usize,
    pub(crate) policy: Policy,
    pub(crate) audit: Option<Audit>,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) settings: Settings,
    /// A place for each command that may run at the same time.
    pub(crate) places: Arc<Semaphore>,
    /// A place for each listing of containers, which waits for no command.
    pub(crate) listings: Semaphore,
    /// Room for what clients have sent and is not answered.
    pub(crate) room: Room,
    /// Somebody has asked the process to end.
    pub(crate) interrupted: CancellationToken,
    /// All that runs is to be stopped: the server is interrupted, or its only client has gone.
    pub(crate) end: CancellationToken,
    /// Calls under way. They live on when whoever waits for them has gone, until their commands are stopped.
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

    /// Stops all that runs, and waits until it is.
    pub(crate) async fn finish(&self) {
        self.end.cancel();
        self.calls.close();
        self.calls.wait().await;
        for failure in self.engine.shutdown().await {
            log!("{failure}");
        }
    }
}
