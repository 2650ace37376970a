//! Who a pod is. Its UID and name follow from what it is for, so that finding it again is a look-up and not memory.
//!
//! A pod is one *incarnation* of one revision of one DaemonSet on one node. The incarnation is a counter kept on disk by
//! `rollout::ledger`: a DaemonSet that is deleted and created again, or a pod that was deleted, comes back as another pod.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::manifest::DaemonSetKey;
use crate::rollout::RevisionHash;

/// A pod's `metadata.uid`, in the form of a UUID (RFC 9562, version 8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodUid(String);

impl PodUid {
    /// Takes a UID found on disk or in the runtime's labels. It names directories, so only what cannot leave one is taken.
    pub fn parse(text: &str) -> Option<Self> {
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (!text.is_empty() && text.len() <= 63 && text.chars().all(safe)).then(|| Self(text.to_owned()))
    }

    /// Whether it has the form of those that [`derive`] gives: a UUID of version 8. An API server gives version 4, a kubelet's static pods
    /// have 32 digits without a dash.
    pub fn is_derived(&self) -> bool {
        let lengths = [8, 4, 4, 4, 12];
        let parts: Vec<&str> = self.0.split('-').collect();
        let is_hex = |part: &&str| part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        parts.iter().map(|part| part.len()).eq(lengths)
            && parts.iter().all(is_hex)
            && parts[2].starts_with('8')
            && parts[3].starts_with(['8', '9', 'a', 'b'])
    }

    /// The UID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many pods of a DaemonSet this node has had before, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// What a pod is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.uid`
    pub uid: PodUid,
    /// `metadata.name`: the DaemonSet's name, a dash and five characters, at most 63 in all.
    pub name: String,
}

/// The characters of generated names: no vowels and nothing that reads like another (apimachinery `util/rand`).
const NAME_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// What the API server leaves of a long base name before the five characters (apiserver `names.SimpleNameGenerator`).
const MAX_BASE: usize = 58;

/// Derives a pod's identity.
pub fn derive(
    node: &str,
    daemon_set: &DaemonSetKey,
    revision: &RevisionHash,
    incarnation: Incarnation,
) -> Identity {
    let incarnation = incarnation.0.to_string();
    let parts = [node, &daemon_set.namespace, &daemon_set.name, revision.as_str(), &incarnation];
    let mut digest = Sha256::new_with_prefix(b"daemonlet/pod/1");
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();

    let base = format!("{}-", daemon_set.name);
    let base = base.get(..MAX_BASE).unwrap_or(&base);
    let suffix: String = digest[16..21]
        .iter()
        .map(|byte| char::from(NAME_ALPHABET[usize::from(*byte) % NAME_ALPHABET.len()]))
        .collect();
    Identity { uid: PodUid(uuid_text(&digest)), name: format!("{base}{suffix}") }
}

/// The first 128 bits of a digest as a UUID of version 8.
pub(crate) fn uuid_text(digest: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let parts = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]];
    parts.map(hex).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> DaemonSetKey {
        DaemonSetKey { namespace: "kube-system".into(), name: name.into() }
    }

    fn of(name: &str, incarnation: u64) -> Identity {
        derive("node-1", &key(name), &RevisionHash::from_label("5d9c7b"), Incarnation(incarnation))
    }

    #[test]
    fn the_same_pod_is_found_again_across_releases() {
        let found = of("node-exporter", 1);
        assert_eq!(found.uid.as_str(), "1eb05e03-b18a-8825-a4c5-308eb9c9b453");
        assert_eq!(found.name, "node-exporter-c2r6f");
    }

    #[test]
    fn the_next_incarnation_is_another_pod() {
        let (first, second) = (of("node-exporter", 1), of("node-exporter", 2));
        assert_ne!(first.uid, second.uid);
        assert_ne!(first.name, second.name);
    }

    #[test]
    fn a_uid_is_a_uuid() {
        let uid = of("x", 1).uid;
        let lengths: Vec<usize> = uid.as_str().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(PodUid::parse(uid.as_str()).is_some());
    }

    #[test]
    fn ours_are_told_from_those_of_an_api_server_and_of_static_pods() {
        let is_derived = |uid: &str| PodUid::parse(uid).is_some_and(|uid| uid.is_derived());
        assert!((1..200).all(|incarnation| of("x", incarnation).uid.is_derived()));
        for other in [
            "1eb05e03-b18a-4825-a4c5-308eb9c9b453",
            "1eb05e03b18a8825a4c5308eb9c9b453",
            "1eb05e03-b18a-8825-c4c5-308eb9c9b453",
            "1eb05e03-b18a-8825-a4c5-308eb9c9b45",
            "1EB05E03-b18a-8825-a4c5-308eb9c9b453",
            "lost-and-8ound",
        ] {
            assert!(!is_derived(other), "{other}");
        }
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        let one = derive(
            "n",
            &DaemonSetKey { namespace: "ab".into(), name: "c".into() },
            &RevisionHash::from_label("1"),
            Incarnation(1),
        );
        let two = derive(
            "n",
            &DaemonSetKey { namespace: "a".into(), name: "bc".into() },
            &RevisionHash::from_label("1"),
            Incarnation(1),
        );
        assert_ne!(one.uid, two.uid);
    }

    #[test]
    fn a_long_name_is_cut_to_63_characters() {
        let name = of(&"a".repeat(80), 1).name;
        assert_eq!(name.len(), 63);
        assert!(name.starts_with(&"a".repeat(58)));
    }

    #[test]
    fn a_uid_that_could_leave_its_directory_is_refused() {
        for bad in ["", "..", "a/b", "a_b", "a\0b"] {
            assert_eq!(PodUid::parse(bad), None, "{bad:?}");
        }
    }
}
