//! The exit codes with which dexec answers where a command has none of its own, and those that name a signal.

/// The engine, the endpoint or the request was at fault, and nothing was run; or the detach keys were typed, as with
/// `docker exec`; or the output could not be written.
pub const FAILURE: i64 = 1;

/// The command's timeout expired, as with timeout(1).
pub const TIMED_OUT: i64 = 124;

/// An option was wrong, as with `docker exec`.
pub const USAGE_ERROR: i64 = 125;

/// The caller cancelled the command: what a shell reports for a command that SIGINT has ended.
pub const CANCELLED: i64 = signal(2);

/// The container ended while the command ran, and the engine reports SIGKILL for the command.
pub const KILLED: i64 = signal(9);

/// Nobody reads the output any more: what a shell reports for a command that SIGPIPE has ended.
pub const READER_GONE: i64 = signal(13);

/// The command's own exit code is not known.
pub const UNKNOWN: i64 = 255;

/// The exit code that stands for the end by a signal.
#[must_use]
pub const fn signal(number: i64) -> i64 {
    128 + number
}
