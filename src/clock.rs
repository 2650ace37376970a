//! Two clocks, kept apart: a monotonic one for every duration, and the wall's for what people read.
//!
//! The wall clock may jump (a node that boots without NTP starts years ago), so no back-off, probe or deadline is computed from it. Where
//! only a wall time is to be had, as for a container that ended while the agent was away, [`Clock::ago`] bounds what it can do.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// Where the monotonic clock starts: far enough from zero that what ended before the agent started still has a time.
const ORIGIN: Duration = Duration::from_secs(86_400);

/// The agent's clocks. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    wall: Wall,
}

#[derive(Debug, Clone, Copy)]
enum Wall {
    System,
    /// As if it had been this late at this instant, and then gone on with tokio's time.
    #[cfg(feature = "testing")]
    Simulated(Timestamp, Instant),
}

impl Clock {
    /// Starts the monotonic clock.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), wall: Wall::System }
    }

    /// Starts clocks that both follow tokio's time, which a test may have paused: it was `wall` o'clock at `at`.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn simulated(wall: Timestamp, at: Instant) -> Self {
        Self { start: Instant::now(), wall: Wall::Simulated(wall, at) }
    }

    /// Time since a fixed origin before the start; stands still for nobody and never jumps.
    pub fn monotonic(&self) -> Duration {
        ORIGIN + self.start.elapsed()
    }

    /// The wall clock.
    pub fn wall(&self) -> Timestamp {
        match self.wall {
            Wall::System => Timestamp::now(),
            #[cfg(feature = "testing")]
            Wall::Simulated(wall, at) => wall + at.elapsed(),
        }
    }

    /// The wall clock in whole seconds, as the API writes times.
    pub fn wall_seconds(&self) -> Timestamp {
        let now = self.wall();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// How long ago a wall time was, at most `limit`; zero for a time in the future.
    pub fn ago(&self, at: Timestamp, limit: Duration) -> Duration {
        let elapsed = Duration::try_from(self.wall().duration_since(at)).unwrap_or(Duration::ZERO);
        elapsed.min(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn monotonic_time_follows_the_runtime() {
        let clock = Clock::start();
        let before = clock.monotonic();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.monotonic() - before, Duration::from_secs(7));
    }

    #[tokio::test]
    async fn a_wall_time_is_never_further_away_than_the_limit() {
        let clock = Clock::start();
        let limit = Duration::from_secs(300);
        let year_1970 = Timestamp::UNIX_EPOCH;
        let next_year = clock.wall() + Duration::from_secs(365 * 86_400);
        assert_eq!(clock.ago(year_1970, limit), limit);
        assert_eq!(clock.ago(next_year, limit), Duration::ZERO);
    }
}
