//! Whether the system has threads for us, asked before anything begins that would need one later.

use std::io;
use std::thread::{self, Builder};

/// Enough for a thread that does nothing.
const STACK: usize = 64 * 1024;

/// Makes so many threads at once, and ends them. The last of them may count for a moment longer.
///
/// # Errors
///
/// Where the system does not make as many.
pub fn ask_for(count: usize) -> io::Result<()> {
    let threads = (0..count).map(|_| Builder::new().stack_size(STACK).spawn(thread::park));
    for thread in threads.collect::<io::Result<Vec<_>>>()? {
        thread.thread().unpark();
        // It has nothing to panic about.
        let _ = thread.join();
    }
    Ok(())
}

/// What to say where there are none.
#[must_use]
pub fn missing(error: &io::Error) -> String {
    format!(
        "no thread can be made: {error}. Raise the limit of processes: `ulimit -u`, or the pids limit of the container \
         or the service that this runs in"
    )
}
