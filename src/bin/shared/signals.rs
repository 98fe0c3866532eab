//! The signals that ask a program to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dexec::CancellationToken;

/// Signals that come within this time of the first say no more than it.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Cancels what runs at the first signal, and ends the process at the second.
#[derive(Debug)]
pub(crate) struct Signals {
    cancel: CancellationToken,
    /// The number of the first one; 0 before it.
    first: Arc<AtomicI64>,
}

impl Signals {
    /// At the first signal `prepare` is called before anything is cancelled.
    pub(crate) fn listen(prepare: fn()) -> Self {
        let signals = Self {
            cancel: CancellationToken::new(),
            first: Arc::default(),
        };
        let (cancel, first) = (signals.cancel.clone(), Arc::clone(&signals.first));
        tokio::spawn(async move {
            // Without a listener the signals keep their usual effect.
            let Ok(mut source) = Source::new() else { return };
            first.store(source.next().await, Ordering::Relaxed);
            prepare();
            cancel.cancel();
            // One wish to end often comes as several signals: from the terminal and from a supervisor, or as TERM and HUP.
            tokio::select! {
                () = async { loop { source.next().await; } } => {}
                () = tokio::time::sleep(ONE_WISH) => {}
            }
            let second = source.next().await;
            std::process::exit(128 + i32::try_from(second).unwrap_or_default());
        });
        signals
    }

    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The exit code that names the signal, when one came.
    pub(crate) fn exit_code(&self) -> Option<i64> {
        match self.first.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(128 + signal),
        }
    }
}

#[cfg(unix)]
struct Source {
    interrupt: Listener,
    terminate: Listener,
    hangup: Listener,
    quit: Listener,
}

/// `None` for a signal that dexec was started to ignore, as nohup(1) does.
#[cfg(unix)]
type Listener = Option<tokio::signal::unix::Signal>;

#[cfg(unix)]
impl Source {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let listen = |kind: SignalKind| -> std::io::Result<Listener> {
            if is_ignored(kind) {
                Ok(None)
            } else {
                signal(kind).map(Some)
            }
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            quit: listen(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> i64 {
        async fn come(listener: &mut Listener) {
            match listener {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = come(&mut self.interrupt) => 2,
            () = come(&mut self.terminate) => 15,
            () = come(&mut self.hangup) => 1,
            () = come(&mut self.quit) => 3,
        }
    }
}

/// Whether this process was started to ignore a signal for which it does not listen yet; not known where there is no
/// `/proc`.
#[cfg(unix)]
pub(crate) fn is_ignored(kind: tokio::signal::unix::SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // One bit for each signal, from the lowest for signal 1.
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or_default() >> (kind.as_raw_value() - 1) & 1 == 1
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
