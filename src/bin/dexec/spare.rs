//! A thread that is made before the command begins, so that what it writes can be written whatever the system gives then.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

type Work = Box<dyn FnOnce() + Send>;

/// The thread that waits for its work, until it has some.
static SPARE: Mutex<Option<mpsc::Sender<Work>>> = Mutex::new(None);

/// Makes the thread.
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

/// Does work on the thread, or on a new one where that has its work.
pub(crate) fn run(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let spare = lock().take();
    match spare {
        // It waits for nothing else.
        Some(spare) => drop(spare.send(Box::new(work))),
        None => drop(thread::Builder::new().spawn(work)?),
    }
    Ok(())
}

fn lock() -> MutexGuard<'static, Option<mpsc::Sender<Work>>> {
    // No code that holds the lock can leave it half changed.
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}
