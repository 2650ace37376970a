//! Durations as Go prints them (`10s`, `1m20s`, `1.5s`, `250ms`): the kubelet's messages carry them, so ours do.
//!
//! Pure. Rule: `time.Duration.String` of Go's standard library.

use std::fmt;
use std::time::Duration;

/// Displays a [`Duration`] the way Go does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    /// The same duration cut down to whole milliseconds, as the kubelet prints the time a pull took.
    pub fn truncated_to_millis(duration: Duration) -> Self {
        Self(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.subsec_nanos();
        let seconds = self.0.as_secs();
        if seconds == 0 {
            return match nanos {
                0 => f.write_str("0s"),
                1..1_000 => write!(f, "{nanos}ns"),
                1_000..1_000_000 => decimal(f, u64::from(nanos), 1_000, "µs"),
                _ => decimal(f, u64::from(nanos), 1_000_000, "ms"),
            };
        }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        decimal(f, seconds % 60 * 1_000_000_000 + u64::from(nanos), 1_000_000_000, "s")
    }
}

/// Writes `value / unit` with its fraction, without trailing zeros.
fn decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, suffix: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    let fraction = value % unit;
    if fraction > 0 {
        let width = unit.ilog10() as usize;
        let digits = format!("{fraction:0width$}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        for (duration, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(7), "7ns"),
            (Duration::from_nanos(1_100), "1.1µs"),
            (Duration::from_millis(250), "250ms"),
            (Duration::from_micros(2_005), "2.005ms"),
            (Duration::from_secs(10), "10s"),
            (Duration::from_millis(1_500), "1.5s"),
            (Duration::from_secs(80), "1m20s"),
            (Duration::from_secs(160), "2m40s"),
            (Duration::from_secs(300), "5m0s"),
            (Duration::from_secs(3_600), "1h0m0s"),
            (Duration::from_nanos(3_661_000_000_001), "1h1m1.000000001s"),
        ] {
            assert_eq!(GoDuration(duration).to_string(), text);
        }
    }

    #[test]
    fn the_time_of_a_pull_is_cut_to_milliseconds() {
        assert_eq!(
            GoDuration::truncated_to_millis(Duration::from_nanos(1_234_987_654)).to_string(),
            "1.234s"
        );
    }
}
