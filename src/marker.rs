//! The environment variable that identifies a command's processes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// The only variable that dexec adds to a command's environment.
const NAME: &str = "DEXEC_ID";

/// `DEXEC_ID=VALUE`, with a unique value for each command.
#[derive(Clone, Debug)]
pub(crate) struct Marker(String);

impl Marker {
    /// The value ends with the command's grace period in milliseconds, if there is one. A dexec that is itself run by
    /// dexec learns from it how soon it must finish.
    pub(crate) fn new(grace: Option<Duration>) -> Self {
        // Each `RandomState` has random keys, so the hash of no data is a random number.
        let number = RandomState::new().build_hasher().finish();
        let grace = grace.map_or(String::new(), |grace| format!("-{}", grace.as_millis()));
        Self(format!("{NAME}={number:016x}{grace}"))
    }

    /// Returns the grace period of the command that has this value.
    pub(crate) fn grace_of(value: &str) -> Option<Duration> {
        let (_, grace) = value.split_once('-')?;
        grace.parse().ok().map(Duration::from_millis)
    }

    /// The whole entry, as in the environment.
    pub(crate) fn entry(&self) -> &str {
        &self.0
    }

    pub(crate) fn value(&self) -> &str {
        &self.0[NAME.len() + 1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_unique_marker() {
        let grace = Some(Duration::from_secs(2));
        let (one, other) = (Marker::new(grace), Marker::new(grace));
        assert_ne!(one.entry(), other.entry());
        assert_eq!(one.entry(), format!("DEXEC_ID={}", one.value()));
        assert_eq!(one.value().len(), 16 + "-2000".len());
        assert_eq!(Marker::new(None).value().len(), 16);
    }
}
