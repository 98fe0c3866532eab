//! Commands that are being stopped in the background, because nobody waits for their end any more.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::error::{Error, ErrorKind};

#[derive(Debug, Default)]
pub(super) struct StopTracker {
    tracker: TaskTracker,
    failures: std::sync::Arc<Mutex<Vec<Error>>>,
}

impl StopTracker {
    /// Starts to stop a command. `stopping` returns the reason if a process of it may be left.
    pub(super) fn spawn(&self, stopping: impl Future<Output = Option<String>> + Send + 'static, container: &str) {
        let container = container.to_owned();
        let failures = std::sync::Arc::clone(&self.failures);
        let note = move |reason: &str| {
            let message = format!("a command in the container `{container}` may still be running: {reason}");
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(Error::new(ErrorKind::Interrupted, message));
        };
        match Handle::try_current() {
            Ok(runtime) => {
                let task = self.tracker.track_future(async move {
                    if let Some(reason) = stopping.await {
                        note(&reason);
                    }
                });
                drop(runtime.spawn(task));
            }
            Err(_) => note("its future was dropped outside of a tokio runtime"),
        }
    }

    /// Waits until all commands are stopped. Returns an error for each of which a process may be left.
    pub(super) async fn wait(&self) -> Vec<Error> {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
