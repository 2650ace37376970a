//! What must be remembered of each DaemonSet across restarts: its instance, generations and the incarnation counter.
//!
//! One small JSON file a DaemonSet below `<rootDir>/daemonsets`. The ledger itself only says what is to be written; its owner brings
//! that to the disk.
//! A counter that was raised for a pod that never came to be leaves a gap and does no harm; a counter used twice would give two pods one
//! UID, so it is never lowered. A file that can't be read is refused with its reason and rebuilt from the pods that are known.
//!
//! What has left the store is remembered as well, for as long as its name may come back: that is for ever, as UIDs of pods that are long gone live
//! on in logs and metrics. To stay small all the same, an agent that starts keeps only the last 64 of them one by one; of the others the highest
//! counters are kept (`floor`), above which every DaemonSet begins that nothing is remembered of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::floor::Floor;
use super::{Override, RevisionHash};
use crate::atomic_file::{AtomicFileError, Replacement};
use crate::error_chain::error_chain;
use crate::hex::hex;
use crate::manifest::DaemonSetKey;
use crate::pod::identity::Incarnation;

const FORMAT: u32 = 1;
/// So many DaemonSets that have left are remembered one by one.
const REMEMBERED: usize = 64;

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
    /// When it left the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<Timestamp>,
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

    /// The incarnation that the next pod will have, also above `highest_known`.
    pub fn incarnation_after(&self, highest_known: Option<Incarnation>) -> Incarnation {
        Incarnation(self.incarnation.max(highest_known.unwrap_or(Incarnation(0))).0 + 1)
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
    /// Above this every DaemonSet begins that nothing is remembered of.
    floor: Floor,
    entries: BTreeMap<DaemonSetKey, Entry>,
    /// Those whose last change is not on disk.
    unsaved: BTreeSet<DaemonSetKey>,
}

impl Ledger {
    /// Reads every entry below `dir`, which is made if it isn't there, and forgets those that have left longest ago if they are many.
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
            if path.extension().is_none_or(|extension| extension != "json") || Floor::is_at(&path) {
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
        let mut floor = match Floor::read(dir) {
            Ok(floor) => floor,
            Err(problem) => {
                refused.push(Refused { path: Floor::path(dir), reason: problem });
                // Not known any more, so at least above all that is.
                let known = entries.values().map(|entry| (entry.instance, entry.incarnation));
                known.fold(Floor::default(), |floor, (instance, incarnation)| {
                    floor.above(instance, incarnation)
                })
            }
        };
        if let Err(problem) = forget_oldest(dir, &mut floor, &mut entries) {
            refused.push(problem);
        }
        Ok((Self { dir: dir.to_owned(), floor, entries, unsaved: BTreeSet::new() }, refused))
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
                instance: earlier.map_or(self.floor.instance, |entry| entry.instance) + 1,
                created: now,
                generation: 1,
                template_generation: 1,
                revision: revision.clone(),
                spec_digest: digest,
                incarnation: earlier.map_or(self.floor.incarnation, |entry| entry.incarnation),
                stand_in: None,
                last_available: None,
                present: true,
                left: None,
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
    pub fn left(&mut self, key: &DaemonSetKey, now: Timestamp) {
        if let Some(entry) = self.entries.get(key).filter(|entry| entry.present) {
            let next = Entry { present: false, left: Some(now), ..entry.clone() };
            self.put(key, next);
        }
    }

    /// Raises the incarnation counter, also above `highest_known`, and returns it.
    pub fn next_incarnation(
        &mut self,
        key: &DaemonSetKey,
        highest_known: Option<Incarnation>,
    ) -> Option<Incarnation> {
        let entry = self.entries.get(key)?;
        let next = Entry { incarnation: entry.incarnation_after(highest_known), ..entry.clone() };
        let raised = next.incarnation;
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

/// Forgets the DaemonSets that have left longest ago, but for [`REMEMBERED`] of them: the floor is raised above their counters, and on the disk
/// before anything of them is removed.
fn forget_oldest(
    dir: &Path,
    floor: &mut Floor,
    entries: &mut BTreeMap<DaemonSetKey, Entry>,
) -> Result<(), Refused> {
    let mut absent: Vec<&DaemonSetKey> =
        entries.iter().filter(|(_, entry)| !entry.present).map(|(key, _)| key).collect();
    // The wall's time may be wrong; then another is forgotten, which the floor allows for.
    absent.sort_by_key(|key| entries.get(*key).and_then(|entry| entry.left));
    let surplus = absent.len().saturating_sub(REMEMBERED);
    let forgotten: Vec<DaemonSetKey> = absent.into_iter().take(surplus).cloned().collect();
    if forgotten.is_empty() {
        return Ok(());
    }
    let counters = forgotten.iter().filter_map(|key| entries.get(key));
    let raised = counters.fold(*floor, |floor, entry| floor.above(entry.instance, entry.incarnation));
    raised.write(dir).map_err(|error| Refused { path: Floor::path(dir), reason: error_chain(&error) })?;
    *floor = raised;
    for key in forgotten {
        entries.remove(&key);
        // One that stays is forgotten next time.
        let _ = fs::remove_file(dir.join(file_name(&key)));
    }
    Ok(())
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
mod tests;
