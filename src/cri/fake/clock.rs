//! The fake runtime's clock: the wall's time at the start plus what tokio says has passed since.
//!
//! So a test that pauses tokio's time sees containers whose times agree with its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Clock {
    wall: Duration,
    start: Instant,
    last: i64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall, start: Instant::now(), last: 0 }
    }

    /// What o'clock it was when the runtime started, and when that was by tokio's clock.
    pub(super) fn origin(&self) -> (Duration, Instant) {
        (self.wall, self.start)
    }

    /// Nanoseconds since the Unix epoch; no two readings are equal, as on a real machine.
    pub(super) fn now(&mut self) -> i64 {
        let now = self.wall + self.start.elapsed();
        self.last = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX).max(self.last + 1);
        self.last
    }
}
