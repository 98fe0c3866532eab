//! dexec's exit codes for commands that have none of their own, and for signals.

/// The engine, the endpoint or the request failed, and nothing was run. Also used if the detach keys were typed, as
/// with `docker exec`, or the output could not be written.
pub const FAILURE: i64 = 1;

/// The command's timeout expired, as with timeout(1).
pub const TIMED_OUT: i64 = 124;

/// An option was invalid, as with `docker exec`.
pub const USAGE_ERROR: i64 = 125;

/// The caller cancelled the command. A shell reports this code for a command ended by SIGINT.
pub const CANCELLED: i64 = signal(2);

/// The container stopped while the command ran, and the engine reports SIGKILL for the command.
pub const KILLED: i64 = signal(9);

/// The reader of the output is gone. A shell reports this code for a command ended by SIGPIPE.
pub const READER_GONE: i64 = signal(13);

/// The command's own exit code is not known.
pub const UNKNOWN: i64 = 255;

/// Returns the exit code for a command ended by the signal `number`.
#[must_use]
pub const fn signal(number: i64) -> i64 {
    128 + number
}
