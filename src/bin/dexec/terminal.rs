//! The user's terminal: raw while a command uses it, and restored to its original modes on every exit path.

use std::io::{self, IsTerminal as _};

use dexec::{DetachKeys, Error, ErrorKind, Terminal};
#[cfg(unix)]
pub(crate) use unix::{restore, take};

/// docker's error for `-it` if standard input is not a terminal.
const NO_TERMINAL: &str = "the input device is not a TTY";

/// Whether standard input is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The error for `-it` if standard input is not a terminal.
pub(crate) fn missing() -> Error {
    let reason = "-it needs a terminal, and standard input is not a terminal: omit -t to send piped input, or omit -i \
                  for a command that reads nothing";
    Error::new(ErrorKind::InvalidRequest, reason).with_docker_text(NO_TERMINAL)
}

/// The error for an operating system on which dexec can't make a terminal raw.
pub(crate) fn unsupported() -> Error {
    let reason = "dexec can't set a terminal to raw mode on this system: omit -i or -t";
    Error::new(ErrorKind::InvalidRequest, reason)
}

/// A terminal for the command. On Unix it follows the size of the terminal on standard output.
pub(crate) fn for_command(keys: DetachKeys) -> Terminal {
    sized().detach_keys(keys)
}

#[cfg(unix)]
fn sized() -> Terminal {
    Terminal::following(unix::sizes())
}

#[cfg(not(unix))]
fn sized() -> Terminal {
    Terminal::new(None)
}

/// Does nothing, because [`take`] always fails here.
#[cfg(not(unix))]
pub(crate) fn restore() {}

#[cfg(not(unix))]
pub(crate) fn take() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::panic;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use dexec::TerminalSize;
    use rustix::process::{Signal, getpid, kill_process};
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::sync::watch;

    use dexec_common::signals::Ignored;

    /// The state of this process's terminal. A process has only one, and takes it at most once.
    static TAKEN: Mutex<Taken> = Mutex::new(Taken::NotYet);

    enum Taken {
        NotYet,
        Raw {
            terminal: OwnedFd,
            found: Termios,
        },
        /// It was restored, or must not be taken any more.
        Over,
    }

    /// Makes the terminal on standard input raw, so that every key is passed on unchanged, until it is restored.
    pub(crate) fn take() -> io::Result<()> {
        take_from(&io::stdin())
    }

    fn take_from(terminal: &impl AsFd) -> io::Result<()> {
        let mut taken = lock();
        if !matches!(*taken, Taken::NotYet) {
            return Ok(());
        }
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let found = tcgetattr(&terminal)?;
        set_raw(&terminal, &found)?;
        *taken = Taken::Raw { terminal, found };
        drop(taken);
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            usual(panic);
        }));
        Ok(())
    }

    /// Restores the terminal's original modes. After this it can't be taken.
    pub(crate) fn restore() {
        let mut taken = lock();
        if let Taken::Raw { terminal, found } = std::mem::replace(&mut *taken, Taken::Over) {
            set(&terminal, &found);
        }
    }

    fn set_raw(terminal: &OwnedFd, found: &Termios) -> io::Result<()> {
        let mut raw = found.clone();
        raw.make_raw();
        Ok(tcsetattr(terminal, OptionalActions::Now, &raw)?)
    }

    fn set(terminal: &OwnedFd, modes: &Termios) {
        // It fails if the terminal has hung up, and then nobody uses the modes.
        let _ = tcsetattr(terminal, OptionalActions::Now, modes);
    }

    fn lock() -> MutexGuard<'static, Taken> {
        // No code can panic while it holds the lock and leave the value inconsistent.
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of the terminal on standard output, updated when it changes. Before the process is suspended, the
    /// terminal is restored; when the process continues, it is made raw again.
    pub(crate) fn sizes() -> watch::Receiver<Option<TerminalSize>> {
        let (sizes, receiver) = watch::channel(size());
        let is_suspendable = !Ignored::at_start().has(SignalKind::from_raw(Signal::TSTP.as_raw()));
        tokio::spawn(async move {
            let signals = (
                signal(SignalKind::window_change()),
                signal(SignalKind::from_raw(Signal::TSTP.as_raw())),
                signal(SignalKind::from_raw(Signal::CONT.as_raw())),
            );
            // Without a listener, signals keep their default effect.
            let (Ok(mut resized), Ok(mut suspended), Ok(mut continued)) = signals else {
                return;
            };
            loop {
                tokio::select! {
                    _ = resized.recv() => {}
                    _ = suspended.recv(), if is_suspendable => suspend(),
                    _ = continued.recv() => go_on(),
                }
                let size = size();
                sizes.send_if_modified(|known| std::mem::replace(known, size) != size);
            }
        });
        receiver
    }

    fn size() -> Option<TerminalSize> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        let size = TerminalSize {
            rows: size.ws_row,
            columns: size.ws_col,
        };
        // Some terminals report no size: 0 rows and 0 columns.
        (size.rows > 0 || size.columns > 0).then_some(size)
    }

    fn suspend() {
        if let Taken::Raw { terminal, found } = &*lock() {
            set(terminal, found);
        }
        // SIGTTIN stops the process as SIGTSTP does by default: not in an orphaned process group, where no shell could
        // continue it. A process may always send itself a signal.
        let _ = kill_process(getpid(), Signal::TTIN);
        go_on();
    }

    fn go_on() {
        if let Taken::Raw { terminal, found } = &*lock() {
            // If the terminal has hung up, the next read reports it.
            let _ = set_raw(terminal, found);
        }
    }

    #[cfg(test)]
    #[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    mod tests {
        use super::*;

        /// The terminal's modes, which differ between its original state and raw mode, as text.
        fn modes(terminal: &impl AsFd) -> String {
            let modes = tcgetattr(terminal).unwrap();
            format!("{modes:?}")
        }

        #[test]
        fn panic_restores_the_terminal() {
            let controller =
                rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
            rustix::pty::grantpt(&controller).unwrap();
            rustix::pty::unlockpt(&controller).unwrap();
            let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap();
            let terminal = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap();
            let found = modes(&terminal);
            take_from(&terminal).unwrap();
            assert_ne!(modes(&terminal), found);
            let panicked = std::thread::spawn(|| panic!("on purpose")).join();
            assert!(panicked.is_err());
            assert_eq!(modes(&terminal), found);
            take_from(&terminal).unwrap();
            assert_eq!(modes(&terminal), found, "it is not taken again");
        }
    }
}
