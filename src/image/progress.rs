//! How far a pull is, from what the runtime says that it is receiving.
//!
//! Pure. A blob that is no longer being received counts as whole. The size of a blob is only known once its turn has come, so what is still
//! to come may grow.

use std::collections::BTreeMap;
use std::fmt;

/// How far a pull is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullProgress {
    blobs: BTreeMap<String, Blob>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    received: u64,
    size: u64,
}

/// Goes between an image's name and how far its pull is, in a waiting message.
const SO_FAR: &str = ": received ";

impl PullProgress {
    /// Takes what is being received now: name, bytes received and size of each blob.
    pub fn note(&mut self, receiving: impl IntoIterator<Item = (String, u64, u64)>) {
        for blob in self.blobs.values_mut() {
            blob.received = blob.size;
        }
        for (name, received, size) in receiving {
            self.blobs.insert(name, Blob { received, size: size.max(received) });
        }
    }

    /// Whether nothing was received yet.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// What a container that waits for this pull shows as its waiting message.
    pub fn message(&self, image: &str) -> String {
        format!("Pulling image {image:?}{SO_FAR}{self}")
    }

    /// How far the pull is of which a waiting message tells, if it tells of one.
    pub fn in_message(message: &str) -> Option<&str> {
        let (_, progress) = message.strip_prefix("Pulling image ")?.rsplit_once(SO_FAR)?;
        Some(progress)
    }
}

impl fmt::Display for PullProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |part: fn(&Blob) -> u64| self.blobs.values().map(part).sum::<u64>();
        let (received, size) = (sum(|blob| blob.received), sum(|blob| blob.size));
        write!(f, "{} of {}", Megabytes(received), Megabytes(size))
    }
}

/// Shown to a tenth.
struct Megabytes(u64);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 100_000;
        write!(f, "{}.{} MB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    #[test]
    fn blobs_that_are_no_longer_received_are_whole() {
        let mut progress = PullProgress::default();
        progress.note([("a".to_owned(), MB, 10 * MB), ("b".to_owned(), 0, 5 * MB)]);
        assert_eq!(progress.to_string(), "1.0 MB of 15.0 MB");
        progress.note([("b".to_owned(), 2 * MB + MB / 2, 5 * MB), ("c".to_owned(), MB / 10, MB)]);
        assert_eq!(progress.to_string(), "12.6 MB of 16.0 MB");
        progress.note([]);
        assert_eq!(progress.to_string(), "16.0 MB of 16.0 MB");
    }

    #[test]
    fn a_message_tells_how_far_the_pull_is() {
        let mut progress = PullProgress::default();
        progress.note([("a".to_owned(), MB, 2 * MB)]);
        let message = progress.message("r.example:5000/app:1");
        assert_eq!(message, "Pulling image \"r.example:5000/app:1\": received 1.0 MB of 2.0 MB");
        assert_eq!(PullProgress::in_message(&message), Some("1.0 MB of 2.0 MB"));
        assert_eq!(PullProgress::in_message("back-off 10s restarting failed container"), None);
    }
}
