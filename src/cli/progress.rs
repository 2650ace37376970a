//! A bar that grows on a terminal, and nothing anywhere else: a log must not be filled with it.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const WIDTH: u64 = 30;
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// How far something has come.
#[derive(Debug)]
pub(super) struct Progress {
    label: String,
    total: u64,
    done: u64,
    drawn_at: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// A bar for so many bytes, on standard error if that is a terminal.
    pub(super) fn new(label: impl Into<String>, total: u64) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self { label: label.into(), total, done: 0, drawn_at: None, is_shown }
    }

    /// So many bytes more are done.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes).min(self.total);
        let is_due = self.drawn_at.is_none_or(|drawn| drawn.elapsed() >= AT_MOST_EVERY);
        if self.is_shown && is_due {
            self.drawn_at = Some(Instant::now());
            // A terminal that is gone needs no bar.
            let _ = write!(std::io::stderr(), "\r{}", line(&self.label, self.done, self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn_at.is_some() {
            // What is said next takes its line.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(label: &str, done: u64, total: u64) -> String {
    let filled = done.saturating_mul(WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    let mut line = format!("{label} [");
    for place in 0..WIDTH {
        line.push(if place < filled { '#' } else { ' ' });
    }
    // Writing to a String can't fail.
    let _ = write!(line, "] {} of {}", size(done), size(total));
    line
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1024, 0);
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&"TiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024 * 1024, "10.0 MiB"),
            (3 << 30, "3.0 GiB"),
            (5 << 40, "5.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn the_bar_grows_from_nothing_to_full() {
        for (done, hashes) in [(0, 0), (50, 15), (100, 30)] {
            let line = line("a.tar", done, 100);
            assert_eq!(line.matches('#').count(), hashes, "{line}");
        }
        assert_eq!(line("a.tar", 0, 0).matches('#').count(), 30);
    }
}
