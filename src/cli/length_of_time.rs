//! Lengths of time as kubectl's flags take them: a duration as Go writes it. A plain number is taken, too, and counts in seconds.

use std::time::Duration;

use crate::config::duration;

/// Reads `90s`, `1m30s`, `90` or `0`.
///
/// # Errors
/// When the text is neither a duration nor a whole number of seconds, with what would have been right.
pub(super) fn length_of_time(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_of_go_s_counts_and_so_does_a_number_of_seconds() {
        for (text, seconds) in [("90s", 90), ("1m30s", 90), ("90", 90), ("0", 0), ("0s", 0)] {
            assert_eq!(length_of_time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "-1", "-1s", "1.5", "soon"] {
            assert!(length_of_time(text).is_err(), "{text}");
        }
    }
}
