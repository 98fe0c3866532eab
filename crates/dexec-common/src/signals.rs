//! The signals that ask a program to exit.

#[cfg(unix)]
use std::future::poll_fn;
#[cfg(unix)]
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
#[cfg(unix)]
use std::task::Poll;
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Signals within this time after the first one count as the same request.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Cancels the running work at the first signal, and exits the process at the second.
#[derive(Debug)]
pub struct Signals {
    cancel: CancellationToken,
    /// The number of the first signal; 0 until one arrives.
    first: Arc<AtomicI64>,
    exit_code: fn(i64) -> i64,
}

impl Signals {
    /// Starts to listen. At the first signal, `prepare` is called before anything is cancelled. `exit_code` returns the
    /// exit code for a signal.
    pub fn listen(prepare: fn(), exit_code: fn(i64) -> i64) -> Self {
        let signals = Self {
            cancel: CancellationToken::new(),
            first: Arc::default(),
            exit_code,
        };
        // Created here, not in the task: a signal may arrive before the task runs. Without a listener, signals keep
        // their default effect.
        let Ok(mut source) = Source::new() else {
            return signals;
        };
        let (cancel, first) = (signals.cancel.clone(), Arc::clone(&signals.first));
        tokio::spawn(async move {
            first.store(source.next().await, Ordering::Relaxed);
            prepare();
            cancel.cancel();
            // One request to exit often arrives as several signals: from the terminal and from a supervisor, or as TERM
            // and HUP.
            tokio::select! {
                () = async { loop { source.next().await; } } => {}
                () = tokio::time::sleep(ONE_WISH) => {}
            }
            let second = source.next().await;
            std::process::exit(i32::try_from(exit_code(second)).unwrap_or(1));
        });
        signals
    }

    /// The token that is cancelled at the first signal.
    #[must_use]
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The exit code for the first signal, if one arrived.
    #[must_use]
    pub fn exit_code(&self) -> Option<i64> {
        match self.first.load(Ordering::Relaxed) {
            0 => None,
            signal => Some((self.exit_code)(signal)),
        }
    }
}

/// The signals that end a program and that other processes send it, by kill(1) or from a terminal. The rest report
/// errors in the program itself.
#[cfg(unix)]
const ENDING: [SignalKind; 7] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
    SignalKind::quit(),
    SignalKind::alarm(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
];

#[cfg(unix)]
struct Source(Vec<(SignalKind, Signal)>);

#[cfg(unix)]
impl Source {
    fn new() -> std::io::Result<Self> {
        let ignored = Ignored::at_start();
        let heard = ENDING.into_iter().filter(|kind| !ignored.has(*kind));
        let listeners: std::io::Result<_> = heard.map(|kind| Ok((kind, signal(kind)?))).collect();
        listeners.map(Self)
    }

    async fn next(&mut self) -> i64 {
        poll_fn(|context| {
            for (kind, listener) in &mut self.0 {
                if listener.poll_recv(context).is_ready() {
                    return Poll::Ready(kind.as_raw_value().into());
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The signals that were ignored when this process started, as under nohup(1); none if there is no `/proc`. Known only
/// until the process listens for them.
#[cfg(unix)]
#[derive(Debug)]
pub struct Ignored(u64);

#[cfg(unix)]
impl Ignored {
    /// Must be called before anything listens for signals.
    #[must_use]
    pub fn at_start() -> Self {
        // The file is shorter than this, and one read returns all of it.
        let mut status = [0; 4096];
        let read = std::fs::File::open("/proc/self/status").and_then(|mut file| file.read(&mut status));
        let status = std::str::from_utf8(&status[..read.unwrap_or_default()]).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Self(mask.unwrap_or_default())
    }

    /// Whether this signal is ignored.
    #[must_use]
    pub fn has(&self, kind: SignalKind) -> bool {
        // One bit for each signal; signal 1 has the lowest.
        self.0 >> (kind.as_raw_value() - 1) & 1 == 1
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
