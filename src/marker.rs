//! The variable by which a command's processes are known.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// The one variable that dexec adds to a command's environment.
const NAME: &str = "DEXEC_ID";

/// `DEXEC_ID=VALUE`, with a value of its own for each command.
#[derive(Clone, Debug)]
pub(crate) struct Marker(String);

impl Marker {
    /// The value ends with the command's grace in milliseconds, so that a dexec that is itself run by dexec can know in
    /// what time it has to be done.
    pub(crate) fn new(grace: Option<Duration>) -> Self {
        // Every state has random keys: what it makes of nothing is a random number.
        let number = RandomState::new().build_hasher().finish();
        let grace = grace.map_or(String::new(), |grace| format!("-{}", grace.as_millis()));
        Self(format!("{NAME}={number:016x}{grace}"))
    }

    /// The grace of the command that has this value.
    pub(crate) fn grace_of(value: &str) -> Option<Duration> {
        let (_, grace) = value.split_once('-')?;
        grace.parse().ok().map(Duration::from_millis)
    }

    /// The whole entry of the environment.
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
    fn every_command_has_a_marker_of_its_own() {
        let grace = Some(Duration::from_secs(2));
        let (one, other) = (Marker::new(grace), Marker::new(grace));
        assert_ne!(one.entry(), other.entry());
        assert_eq!(one.entry(), format!("DEXEC_ID={}", one.value()));
        assert_eq!(one.value().len(), 16 + "-2000".len());
        assert_eq!(Marker::new(None).value().len(), 16);
    }
}
