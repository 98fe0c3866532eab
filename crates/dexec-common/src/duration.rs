//! Durations on a command line.

use std::time::Duration;

/// Parses a number of seconds, or numbers with units.
///
/// # Errors
///
/// Returns a message that says what is wrong and how to write a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    };
    time.map_err(|reason| format!("{reason}: write 90, 1.5, 90s or 2m 30s"))
}
