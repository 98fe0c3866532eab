//! The signals that ask dexec to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dexec::{CancellationToken, ErrorKind, Response};

/// Cancels the command at the first signal, and ends the process at the second.
#[derive(Debug)]
pub(crate) struct Signals {
    cancel: CancellationToken,
    /// The number of the first one; 0 before it.
    first: Arc<AtomicI64>,
}

impl Signals {
    pub(crate) fn listen() -> Self {
        let signals = Self {
            cancel: CancellationToken::new(),
            first: Arc::default(),
        };
        let (cancel, first) = (signals.cancel.clone(), Arc::clone(&signals.first));
        tokio::spawn(async move {
            // Without a listener the signals keep their usual effect.
            let Ok(mut source) = Source::new() else { return };
            first.store(source.next().await, Ordering::Relaxed);
            cancel.cancel();
            let second = source.next().await;
            std::process::exit(128 + i32::try_from(second).unwrap_or_default());
        });
        signals
    }

    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Gives a response to an interrupted command the exit code that names the signal.
    pub(crate) fn note(&self, response: &mut Response) {
        if response.error_kind == Some(ErrorKind::Interrupted) {
            response.exit_code = 128 + self.first.load(Ordering::Relaxed);
        }
    }
}

#[cfg(unix)]
struct Source {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> i64 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
            _ = self.hangup.recv() => 1,
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i64 {
        let _ = tokio::signal::ctrl_c().await;
        2
    }
}
