//! Checks whether the system allows more threads, before work begins that would need one later.

use std::io;
use std::thread::{self, Builder};

/// Enough for a thread that does nothing.
const STACK: usize = 64 * 1024;

/// Creates `count` threads at the same time, and ends them. The system may count the last of them for a moment longer.
///
/// # Errors
///
/// Returns the system's error if it does not allow that many.
pub fn ask_for(count: usize) -> io::Result<()> {
    let threads = (0..count).map(|_| Builder::new().stack_size(STACK).spawn(thread::park));
    for thread in threads.collect::<io::Result<Vec<_>>>()? {
        thread.thread().unpark();
        // The thread can't panic.
        let _ = thread.join();
    }
    Ok(())
}

/// The message for a system that allows no more threads.
#[must_use]
pub fn missing(error: &io::Error) -> String {
    format!(
        "failed to create a thread: {error}. Raise the limit on processes: `ulimit -u`, or the pids limit of the \
         container or the service in which this program runs"
    )
}
