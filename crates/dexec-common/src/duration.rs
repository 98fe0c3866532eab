//! Durations on a command line.

use std::time::Duration;

/// Parses a number of seconds, or numbers with units.
///
/// # Errors
///
/// Returns a message that says what is wrong and how to write a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.ok_or_else(|| "not a duration: write seconds, as 90 or 1.5, or units, as 90s or 2m 30s".to_owned())
}
