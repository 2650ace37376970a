//! What must be remembered of each DaemonSet across restarts: its instance, generations and the incarnation counter.
//!
//! One small JSON file a DaemonSet below `<rootDir>/daemonsets`. The ledger itself only says what is to be written; its owner brings
//! that to the disk.
//! A counter that was raised for a pod that never came to be leaves a gap and does no harm; a counter used twice would give two pods one
//! UID, so it is never lowered. A file that can't be read is refused with its reason and rebuilt from the pods that are known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Override, RevisionHash};
use crate::atomic_file::{AtomicFileError, Replacement};
use crate::hex::hex;
use crate::manifest::DaemonSetKey;
use crate::pod::identity::Incarnation;

const FORMAT: u32 = 1;

/// What went wrong with the ledger.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The folder can't be listed or made.
    #[error("open the ledger of DaemonSets in {dir}")]
    Open {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry can't be written; the node's state stays as it was.
    #[error("write the ledger entry of DaemonSet {key}")]
    Write {
        /// Whose entry.
        key: DaemonSetKey,
        /// Why.
        source: AtomicFileError,
    },
}

/// An entry that can't be understood. What it said is rebuilt; the file is overwritten when the DaemonSet next changes.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// What is remembered of one DaemonSet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    format: u32,
    namespace: String,
    name: String,
    /// How often a DaemonSet of this name has come into the store, counted from 1.
    instance: u64,
    /// When this instance was first seen.
    pub created: Timestamp,
    /// `metadata.generation`: rises with each change of the spec.
    pub generation: i64,
    /// Rises with each change of the template.
    pub template_generation: i64,
    /// The hash of the current template.
    pub revision: RevisionHash,
    spec_digest: String,
    incarnation: Incarnation,
    /// The template that stands in for the store's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stand_in: Option<Override>,
    /// The newest revision of which a pod has been available here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_available: Option<RevisionHash>,
    /// Whether the DaemonSet was in the store when last seen.
    present: bool,
}

impl Entry {
    /// The DaemonSet's `metadata.uid`: another one for each time that it comes into the store.
    pub fn uid(&self) -> String {
        let mut digest = Sha256::new_with_prefix(b"daemonlet/daemonset/1");
        for part in [&self.namespace, &self.name, &self.instance.to_string()] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        crate::pod::identity::uuid_text(&digest.finalize().into())
    }

    /// When this instance was first seen, as the API has it.
    pub fn creation_timestamp(&self) -> Time {
        Time(self.created)
    }
}

/// The ledger of this node.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    entries: BTreeMap<DaemonSetKey, Entry>,
    /// Those whose last change is not on disk.
    unsaved: BTreeSet<DaemonSetKey>,
}

impl Ledger {
    /// Reads every entry below `dir`, which is made if it isn't there.
    ///
    /// # Errors
    /// When the folder can't be made or listed. Entries that can't be understood are returned beside the ledger.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Refused>), LedgerError> {
        let failed = |source| LedgerError::Open { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let mut entries = BTreeMap::new();
        let mut refused = Vec::new();
        for file in fs::read_dir(dir).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(entry) => {
                    let key = DaemonSetKey { namespace: entry.namespace.clone(), name: entry.name.clone() };
                    entries.insert(key, entry);
                }
                Err(reason) => refused.push(Refused { path, reason }),
            }
        }
        Ok((Self { dir: dir.to_owned(), entries, unsaved: BTreeSet::new() }, refused))
    }

    /// What is remembered of a DaemonSet.
    pub fn get(&self, key: &DaemonSetKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every DaemonSet that was in the store when last seen.
    pub fn present(&self) -> impl Iterator<Item = &DaemonSetKey> {
        self.entries.iter().filter(|(_, entry)| entry.present).map(|(key, _)| key)
    }

    /// Takes note of a DaemonSet that is in the store; [`Ledger::get`] has it from then on.
    pub fn seen(
        &mut self,
        key: &DaemonSetKey,
        daemon_set: &DaemonSet,
        revision: &RevisionHash,
        now: Timestamp,
    ) {
        let digest = spec_digest(daemon_set);
        let next = match self.entries.get(key) {
            Some(entry) if entry.present => {
                let spec_changed = entry.spec_digest != digest;
                let template_changed = entry.revision != *revision;
                Entry {
                    generation: entry.generation + i64::from(spec_changed),
                    template_generation: entry.template_generation + i64::from(template_changed),
                    revision: revision.clone(),
                    spec_digest: digest,
                    ..entry.clone()
                }
            }
            earlier => Entry {
                format: FORMAT,
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                instance: earlier.map_or(0, |entry| entry.instance) + 1,
                created: now,
                generation: 1,
                template_generation: 1,
                revision: revision.clone(),
                spec_digest: digest,
                incarnation: earlier.map_or(Incarnation(0), |entry| entry.incarnation),
                stand_in: None,
                last_available: None,
                present: true,
            },
        };
        self.put(key, next);
    }

    /// The template that stands in for the store's, if one does.
    pub fn stand_in(&self, key: &DaemonSetKey) -> Option<&Override> {
        self.entries.get(key).filter(|entry| entry.present)?.stand_in.as_ref()
    }

    /// Has a template stand in for the store's, or the store's count again.
    pub fn set_stand_in(&mut self, key: &DaemonSetKey, stand_in: Option<Override>) {
        if let Some(entry) = self.entries.get(key).filter(|entry| entry.stand_in != stand_in) {
            let next = Entry { stand_in, ..entry.clone() };
            self.put(key, next);
        }
    }

    /// Takes note that a pod of this revision is available.
    pub fn available(&mut self, key: &DaemonSetKey, revision: &RevisionHash) {
        let is_new = |entry: &&Entry| entry.last_available.as_ref() != Some(revision);
        if let Some(entry) = self.entries.get(key).filter(is_new) {
            let next = Entry { last_available: Some(revision.clone()), ..entry.clone() };
            self.put(key, next);
        }
    }

    /// Takes note that a DaemonSet has left the store: should it come back, it is another one.
    pub fn left(&mut self, key: &DaemonSetKey) {
        if let Some(entry) = self.entries.get(key).filter(|entry| entry.present) {
            let next = Entry { present: false, ..entry.clone() };
            self.put(key, next);
        }
    }

    /// The incarnation that the next pod will have: above the counter, and above `highest_known`.
    pub fn incarnation_after(
        &self,
        key: &DaemonSetKey,
        highest_known: Option<Incarnation>,
    ) -> Option<Incarnation> {
        let last = self.entries.get(key)?.incarnation.max(highest_known.unwrap_or(Incarnation(0)));
        Some(Incarnation(last.0 + 1))
    }

    /// Raises the incarnation counter, also above `highest_known`, and returns it.
    pub fn next_incarnation(
        &mut self,
        key: &DaemonSetKey,
        highest_known: Option<Incarnation>,
    ) -> Option<Incarnation> {
        let raised = self.incarnation_after(key, highest_known)?;
        let next = Entry { incarnation: raised, ..self.entries.get(key)?.clone() };
        self.put(key, next);
        Some(raised)
    }

    /// Every entry whose last change is not on the disk, as it is to be written. They count as saved until [`Ledger::not_saved`].
    pub fn take_unsaved(&mut self) -> Vec<(DaemonSetKey, Replacement)> {
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        unsaved
            .filter_map(|key| {
                let bytes = serde_json::to_vec(self.entries.get(&key)?).unwrap_or_default();
                let file = Replacement { path: self.dir.join(file_name(&key)), bytes, mode: 0o600 };
                Some((key, file))
            })
            .collect()
    }

    /// Takes note that an entry could not be written.
    pub fn not_saved(&mut self, key: &DaemonSetKey) {
        self.unsaved.insert(key.clone());
    }

    fn put(&mut self, key: &DaemonSetKey, next: Entry) {
        if self.entries.get(key) != Some(&next) {
            self.entries.insert(key.clone(), next);
            self.unsaved.insert(key.clone());
        }
    }
}

fn read(path: &Path) -> Result<Entry, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if entry.format == FORMAT {
        Ok(entry)
    } else {
        Err(format!("format {} is not {FORMAT}, the one this release writes", entry.format))
    }
}

/// `<namespace>_<name>.json`; neither part can hold an underscore. Names that would not fit a file name end in a digest instead.
fn file_name(key: &DaemonSetKey) -> String {
    format!("{}.json", file_stem(key))
}

/// What a DaemonSet's files are called, without what tells them apart.
pub(super) fn file_stem(key: &DaemonSetKey) -> String {
    const LONGEST: usize = 180;
    let plain = format!("{}_{}", key.namespace, key.name);
    match plain.get(..LONGEST) {
        None => plain,
        Some(start) => {
            let digest = Sha256::digest(&plain);
            let tail: String = hex(&digest[..8]);
            format!("{start}_{tail}")
        }
    }
}

fn spec_digest(daemon_set: &DaemonSet) -> String {
    let spec = serde_json::to_vec(&daemon_set.spec).unwrap_or_default();
    hex(&Sha256::digest(&spec)[..8])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::atomic_file;

    fn key() -> DaemonSetKey {
        DaemonSetKey { namespace: "kube-system".into(), name: "agent".into() }
    }

    fn daemon_set(min_ready: i32) -> DaemonSet {
        serde_json::from_value(json!({"metadata": {"name": "agent"}, "spec": {"minReadySeconds": min_ready, "selector": {}, "template": {}}}))
            .expect("a DaemonSet")
    }

    fn hash(text: &str) -> RevisionHash {
        RevisionHash::from_label(text)
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn open(dir: &Path) -> Ledger {
        let (ledger, refused) = Ledger::open(dir).expect("a ledger");
        assert!(refused.is_empty(), "{refused:?}");
        ledger
    }

    fn save(ledger: &mut Ledger) {
        let files: Vec<_> = ledger.take_unsaved().into_iter().map(|(_, file)| file).collect();
        for written in atomic_file::write_all(&files) {
            written.expect("written");
        }
    }

    #[test]
    fn generations_rise_with_what_they_count() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut ledger = open(dir.path());
        let mut seen = |min_ready, revision| {
            ledger.seen(&key(), &daemon_set(min_ready), &hash(revision), now());
            let entry = ledger.get(&key()).expect("an entry");
            (entry.generation, entry.template_generation)
        };
        assert_eq!(seen(0, "a"), (1, 1));
        assert_eq!(seen(0, "a"), (1, 1));
        assert_eq!(seen(5, "a"), (2, 1));
        assert_eq!(seen(6, "b"), (3, 2));
    }

    #[test]
    fn a_daemon_set_that_returns_is_another_instance_and_its_pods_are_new() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut ledger = open(dir.path());
        ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
        let uid = ledger.get(&key()).map(Entry::uid);
        assert_eq!(ledger.next_incarnation(&key(), None), Some(Incarnation(1)));
        ledger.left(&key());
        assert_eq!(ledger.present().count(), 0);
        ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
        assert_ne!(uid, ledger.get(&key()).map(Entry::uid));
        assert_eq!(ledger.next_incarnation(&key(), None), Some(Incarnation(2)));
    }

    #[test]
    fn everything_is_there_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut ledger = open(dir.path());
        ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
        ledger.next_incarnation(&key(), Some(Incarnation(7)));
        save(&mut ledger);
        assert_eq!(open(dir.path()).get(&key()), ledger.get(&key()));
        assert_eq!(open(dir.path()).next_incarnation(&key(), None), Some(Incarnation(9)));
    }

    #[test]
    fn a_broken_entry_is_refused_with_its_reason_and_the_others_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut ledger = open(dir.path());
        ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
        save(&mut ledger);
        fs::write(dir.path().join("default_x.json"), b"{").expect("written");
        fs::write(dir.path().join("default_y.json"), br#"{"format":99}"#).expect("written");
        let (ledger, refused) = Ledger::open(dir.path()).expect("a ledger");
        assert!(ledger.get(&key()).is_some());
        assert_eq!(refused.len(), 2);
    }

    #[test]
    fn only_what_has_changed_is_to_be_written_and_again_if_it_could_not_be() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut ledger = open(dir.path());
        let keys = |ledger: &mut Ledger| -> Vec<DaemonSetKey> {
            ledger.take_unsaved().into_iter().map(|(key, _)| key).collect()
        };
        ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
        ledger.next_incarnation(&key(), None);
        assert_eq!(keys(&mut ledger), [key()]);
        ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
        assert_eq!(keys(&mut ledger), []);
        ledger.not_saved(&key());
        assert_eq!(keys(&mut ledger), [key()]);
    }

    #[test]
    fn a_very_long_name_has_a_file_of_its_own() {
        let long =
            |end: &str| DaemonSetKey { namespace: "n".repeat(63), name: format!("{}{end}", "a".repeat(252)) };
        let (one, two) = (file_name(&long("x")), file_name(&long("y")));
        assert!(one.len() < 220 && one != two, "{one} {two}");
    }
}
