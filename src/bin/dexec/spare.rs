//! A thread that is created before the command starts, so that its output can be written even if the system allows no
//! more threads by then.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// Sends work to the spare thread; `None` after the thread was used.
static SPARE: Mutex<Option<mpsc::Sender<Work>>> = Mutex::new(None);

/// Creates the thread.
pub(crate) fn make() -> io::Result<()> {
    let (give, taken) = mpsc::channel::<Work>();
    thread::Builder::new().spawn(move || {
        if let Ok(work) = taken.recv() {
            work();
        }
    })?;
    *lock() = Some(give);
    Ok(())
}

/// Runs `work` on the thread, or on a new one if the thread was already used.
pub(crate) fn run(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let spare = lock().take();
    match spare {
        // The thread is waiting for this message, so it can be sent.
        Some(spare) => drop(spare.send(Box::new(work))),
        None => drop(thread::Builder::new().spawn(work)?),
    }
    Ok(())
}

fn lock() -> MutexGuard<'static, Option<mpsc::Sender<Work>>> {
    // No code can panic while it holds the lock and leave the value inconsistent.
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}
