//! Compares the local clock with the clock of the machine on which the container runs.

/// `USER_HZ`, the unit of the start times that the kernel reports, on every architecture that engines run on.
const TICKS_PER_SECOND: i64 = 100;

const MICROSECONDS_PER_TICK: i64 = 1_000_000 / TICKS_PER_SECOND;

/// Two clocks may drift apart by one part in this many: 500 in a million, the most that time synchronisation corrects.
const DRIFT: i64 = 2000;

/// A moment on the local clock, in microseconds since an arbitrary one. The clock continues while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::exec) struct Moment(i64);

impl Moment {
    #[cfg(unix)]
    pub(in crate::exec) fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};

        // On other systems, the monotonic clock continues during sleep.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = ClockId::Monotonic;
        let time = clock_gettime(clock);
        Self(
            time.tv_sec
                .saturating_mul(1_000_000)
                .saturating_add(time.tv_nsec / 1000),
        )
    }

    #[cfg(not(unix))]
    pub(in crate::exec) fn now() -> Self {
        use std::sync::OnceLock;
        use std::time::Instant;

        static FIRST: OnceLock<Instant> = OnceLock::new();
        let elapsed = FIRST.get_or_init(Instant::now).elapsed().as_micros();
        Self(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }
}

/// By how many microseconds the other machine's clock is ahead of the local one, at least and at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct EngineClock {
    least: i64,
    most: i64,
}

impl EngineClock {
    pub(super) const UNKNOWN: Self = Self {
        least: i64::MIN,
        most: i64::MAX,
    };

    /// Adds a reading of the other clock, in microseconds since boot, that was made between two moments.
    pub(super) fn read(&mut self, asked: Moment, answered: Moment, reading: u64) {
        let reading = i64::try_from(reading).unwrap_or(i64::MAX);
        self.least = self.least.max(reading.saturating_sub(answered.0));
        self.most = self.most.min(reading.saturating_sub(asked.0));
    }

    /// Returns the earliest start tick of a process that started at `moment` or later. The time since `moment`, until
    /// `now`, limits how far the clocks may have drifted apart.
    pub(super) fn earliest(&self, moment: Moment, now: Moment) -> u64 {
        let drift = now.0.saturating_sub(moment.0).max(0) / DRIFT;
        tick(moment.0.saturating_add(self.least).saturating_sub(drift))
    }

    /// Returns the latest tick that `moment` may be.
    pub(super) fn latest(&self, moment: Moment) -> u64 {
        tick(moment.0.saturating_add(self.most))
    }
}

fn tick(microseconds: i64) -> u64 {
    u64::try_from(microseconds / MICROSECONDS_PER_TICK).unwrap_or(0)
}

/// Returns the age in seconds, at the tick `now`, of a process that started at the tick `start`.
pub(super) fn age(start: u64, now: u64) -> u64 {
    now.saturating_sub(start) / TICKS_PER_SECOND.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_readings_improve_the_clock_estimate() {
        let mut clock = EngineClock::UNKNOWN;
        clock.read(Moment(1_000_000), Moment(1_300_000), 51_200_000);
        clock.read(Moment(2_000_000), Moment(2_004_000), 52_001_000);
        // The other clock is between 49.997 and 50.001 s ahead.
        assert_eq!(clock.earliest(Moment(500_000), Moment(500_000)), 5049);
        assert_eq!(clock.latest(Moment(500_000)), 5050);
        assert!(Moment::now() <= Moment::now());
    }

    #[test]
    fn old_readings_allow_for_clock_drift() {
        let mut clock = EngineClock::UNKNOWN;
        clock.read(Moment(0), Moment(0), 100_000_000);
        assert_eq!(clock.earliest(Moment(0), Moment(0)), 10_000);
        assert_eq!(clock.earliest(Moment(0), Moment(4_000_000_000)), 9_800);
    }

    #[test]
    fn extreme_readings_do_not_panic() {
        let mut clock = EngineClock::UNKNOWN;
        assert_eq!(clock.earliest(Moment(0), Moment(0)), 0);
        clock.read(Moment(i64::MIN), Moment(i64::MAX), u64::MAX);
        let _ = (
            clock.earliest(Moment(i64::MIN), Moment(i64::MAX)),
            clock.latest(Moment(i64::MAX)),
        );
        assert_eq!(age(5, 3), 0);
    }
}
