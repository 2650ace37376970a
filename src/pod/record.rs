//! What is on disk about each pod: the pod as it was made, so that it can be found, watched and stopped after any restart.
//!
//! One JSON file a pod below `<rootDir>/records`, written before the runtime hears of the pod and removed when nothing is left of it. It holds
//! the whole pod, because the template it was made from may be gone from the store by then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::disruption::Disruption;
use super::failure::FailureNote;
use super::identity::{Incarnation, PodUid};
use crate::atomic_file::{self, AtomicFileError, Replacement};
use crate::manifest::DaemonSetKey;
use crate::rollout::RevisionHash;

const FORMAT: u32 = 1;

/// One pod of this node, as it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    format: u32,
    /// The pod's UID, which is also the file's name.
    pub uid: PodUid,
    /// The DaemonSet it belongs to.
    pub daemon_set: DaemonSetKey,
    /// The template it was made from.
    pub revision: RevisionHash,
    /// The canonical form that `revision` was computed from.
    pub hash_version: u32,
    /// Which pod of its DaemonSet on this node it is.
    pub incarnation: Incarnation,
    /// When it was made.
    pub created: Timestamp,
    /// The pod, defaults filled in, without its status.
    pub pod: Arc<Pod>,
    /// That it was told to stop, once it was: a stop is finished after a restart, never forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndingNote>,
    /// That it has failed, once it has: it never runs again, and stays until it is told to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<FailureNote>>,
    /// How it was, for as long as a new agent can't find out by itself.
    #[serde(default, skip_serializing_if = "Standing::is_nothing")]
    pub standing: Standing,
}

/// How a pod was when an agent last saw it. Its probes take a while to tell a new agent; until then it still stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "WrittenStanding")]
pub struct Standing {
    /// Its conditions, as far as it matters since when they are as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionStanding>,
    /// What the probes said, by the container's name; containers that were neither started nor ready may be left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub containers: BTreeMap<String, ContainerStanding>,
}

/// One of a pod's conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionStanding {
    /// `Ready`, `Initialized` …
    #[serde(rename = "type")]
    pub type_: String,
    /// `True` or `False`.
    pub status: String,
    /// Since when it is so.
    pub since: Timestamp,
}

/// What the probes said about one instance of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStanding {
    /// The runtime's id of the instance.
    pub id: String,
    /// Whether it had started up.
    pub started: bool,
    /// Whether it was ready.
    pub ready: bool,
}

/// A [`Standing`] as it may be on disk.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WrittenStanding {
    conditions: Vec<ConditionStanding>,
    /// What the first records had in place of the conditions.
    ready_since: Option<Timestamp>,
    containers: BTreeMap<String, ContainerStanding>,
}

impl From<WrittenStanding> for Standing {
    fn from(written: WrittenStanding) -> Self {
        let WrittenStanding { mut conditions, ready_since, containers } = written;
        if let Some(since) = ready_since.filter(|_| conditions.is_empty()) {
            conditions.push(ConditionStanding {
                type_: "Ready".to_owned(),
                status: "True".to_owned(),
                since,
            });
        }
        Self { conditions, containers }
    }
}

impl Standing {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// That a pod was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndingNote {
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What it is ended for before its time, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<Disruption>,
}

/// What went wrong with the records.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The folder can't be listed or made.
    #[error("open the pod records in {dir}")]
    Open {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record can't be written; the pod must not be started, or its stop not be relied upon.
    #[error("write the record of pod {uid}")]
    Write {
        /// Whose.
        uid: PodUid,
        /// Why.
        source: AtomicFileError,
    },
    /// A record can't be removed; the pod is gone all the same.
    #[error("remove the record of pod {uid}")]
    Remove {
        /// Whose.
        uid: PodUid,
        /// Why.
        source: io::Error,
    },
}

/// A record that can't be used.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// What the place of a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Absent,
    /// A record that can be understood.
    Usable,
    /// A record that is whole and that this release doesn't understand, and why: another release has written it.
    Unknown(String),
    /// Nothing that could ever be understood, and why.
    Broken(String),
    /// It can't be known: the disk doesn't give it.
    Unreadable(String),
}

/// The folder of records. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Records {
    dir: PathBuf,
}

impl PodRecord {
    /// A record of a pod that is about to be made.
    pub fn new(
        uid: PodUid,
        daemon_set: DaemonSetKey,
        (revision, hash_version): (RevisionHash, u32),
        incarnation: Incarnation,
        created: Timestamp,
        pod: Pod,
    ) -> Self {
        Self {
            format: FORMAT,
            uid,
            daemon_set,
            revision,
            hash_version,
            incarnation,
            created,
            pod: Arc::new(pod),
            ending: None,
            failure: None,
            standing: Standing::default(),
        }
    }
}

impl Records {
    /// Opens the folder, making it if it isn't there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(dir: &Path) -> Result<Self, RecordError> {
        let failed = |source| RecordError::Open { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Every record, and those that can't be understood.
    ///
    /// # Errors
    /// When the folder can't be listed.
    pub fn load(&self) -> Result<(Vec<PodRecord>, Vec<Refused>), RecordError> {
        let failed = |source| RecordError::Open { dir: self.dir.clone(), source };
        let mut records = Vec::new();
        let mut refused = Vec::new();
        for file in fs::read_dir(&self.dir).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(record) => records.push(record),
                Err(unusable) => {
                    let reason = unusable.reason();
                    refused.push(Refused { path, reason });
                }
            }
        }
        records.sort_by(|a, b| (&a.daemon_set, a.incarnation).cmp(&(&b.daemon_set, b.incarnation)));
        Ok((records, refused))
    }

    /// Writes a record; on disk when this returns.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, record: &PodRecord) -> Result<(), RecordError> {
        let failed = |source| RecordError::Write { uid: record.uid.clone(), source };
        let Replacement { path, bytes, mode } = self.replacement(record);
        atomic_file::write(&path, &bytes, mode).map_err(failed)
    }

    /// A new record as it is to be placed.
    pub fn replacement(&self, record: &PodRecord) -> Replacement {
        let bytes = serde_json::to_vec(record).unwrap_or_default();
        Replacement { path: self.path(&record.uid), bytes, mode: 0o600 }
    }

    /// The record of one pod, if there is one that can be understood.
    pub fn get(&self, uid: &PodUid) -> Option<PodRecord> {
        read(&self.path(uid)).ok()
    }

    /// The UIDs that files are named after, whatever is in them.
    ///
    /// # Errors
    /// When the folder can't be listed.
    pub fn names(&self) -> Result<Vec<String>, RecordError> {
        let failed = |source| RecordError::Open { dir: self.dir.clone(), source };
        let mut names = Vec::new();
        for file in fs::read_dir(&self.dir).map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        Ok(names)
    }

    /// What is known of one pod.
    pub fn condition(&self, uid: &PodUid) -> Condition {
        match read(&self.path(uid)) {
            Ok(_) => Condition::Usable,
            Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => Condition::Absent,
            Err(unusable @ Unusable::Io(_)) => Condition::Unreadable(unusable.reason()),
            Err(Unusable::Unknown(reason)) => Condition::Unknown(reason),
            Err(Unusable::Broken(reason)) => Condition::Broken(reason),
        }
    }

    /// Removes a record; one that isn't there counts as removed.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub fn remove(&self, uid: &PodUid) -> Result<(), RecordError> {
        match fs::remove_file(self.path(uid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RecordError::Remove { uid: uid.clone(), source: error })
            }
            _ => Ok(()),
        }
    }

    fn path(&self, uid: &PodUid) -> PathBuf {
        self.dir.join(format!("{uid}.json"))
    }
}

/// Why a record can't be used.
enum Unusable {
    Io(io::Error),
    Unknown(String),
    Broken(String),
}

impl Unusable {
    fn reason(self) -> String {
        match self {
            Self::Io(error) => error.to_string(),
            Self::Unknown(reason) | Self::Broken(reason) => reason,
        }
    }
}

fn read(path: &Path) -> Result<PodRecord, Unusable> {
    understand(&fs::read(path).map_err(Unusable::Io)?)
}

fn understand(bytes: &[u8]) -> Result<PodRecord, Unusable> {
    let record: PodRecord = serde_json::from_slice(bytes).map_err(|error| {
        // What is whole and says something else was written on purpose, by a release that knows more.
        let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        let reason = error.to_string();
        if is_whole { Unusable::Unknown(reason) } else { Unusable::Broken(reason) }
    })?;
    if record.format != FORMAT {
        return Err(Unusable::Unknown(format!(
            "format {} is not {FORMAT}, the one this release reads",
            record.format
        )));
    }
    if PodUid::parse(record.uid.as_str()).is_none() {
        return Err(Unusable::Broken(format!("{:?} is no pod UID", record.uid.as_str())));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(uid: &str, incarnation: u64) -> PodRecord {
        PodRecord::new(
            PodUid::parse(uid).expect("a uid"),
            DaemonSetKey { namespace: "default".into(), name: "a".into() },
            (RevisionHash::from_label("r"), 1),
            Incarnation(incarnation),
            Timestamp::UNIX_EPOCH,
            Pod::default(),
        )
    }

    #[test]
    fn an_older_record_still_tells_since_when_its_pod_is_ready() {
        let mut older = serde_json::to_value(record("a", 1)).expect("a record");
        older["standing"] = serde_json::json!({"readySince": "2026-01-01T00:00:00Z"});
        let read: PodRecord = serde_json::from_value(older).expect("it is understood");
        let since = "2026-01-01T00:00:00Z".parse().expect("a time");
        let ready = ConditionStanding { type_: "Ready".into(), status: "True".into(), since };
        assert_eq!(read.standing.conditions, [ready]);
        let written = serde_json::to_value(&read).expect("a record");
        let again: PodRecord = serde_json::from_value(written).expect("it is understood");
        assert_eq!(again, read);
    }

    #[test]
    fn records_come_back_in_order_and_broken_ones_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let records = Records::open(&dir.path().join("records")).expect("records");
        let (second, mut first) = (record("b", 2), record("c", 1));
        first.ending = Some(EndingNote {
            reason: "why".into(),
            at: Timestamp::UNIX_EPOCH,
            disruption: Some(Disruption::PreemptionByScheduler),
        });
        records.write(&second).expect("written");
        records.write(&first).expect("written");
        fs::write(dir.path().join("records/x.json"), b"{").expect("written");
        let (found, refused) = records.load().expect("loaded");
        assert_eq!(found, [first.clone(), second]);
        assert_eq!(refused.len(), 1);
        let condition = |uid: &str| records.condition(&PodUid::parse(uid).expect("a uid"));
        assert!(matches!(condition("x"), Condition::Broken(_)));
        assert_eq!((condition("b"), condition("y")), (Condition::Usable, Condition::Absent));
        // What a release writes that knows more is not broken, and what can't be read may be whole.
        fs::write(dir.path().join("records/n.json"), br#"{"format":2,"uid":"n"}"#).expect("written");
        assert!(matches!(condition("n"), Condition::Unknown(_)));
        fs::remove_file(dir.path().join("records/n.json")).expect("removed");
        fs::create_dir(dir.path().join("records/d.json")).expect("made");
        assert!(matches!(condition("d"), Condition::Unreadable(_)));
        fs::remove_dir(dir.path().join("records/d.json")).expect("removed");
        let mut names = records.names().expect("listed");
        names.sort();
        assert_eq!(names, ["b", "c", "x"]);

        records.remove(&first.uid).expect("removed");
        records.remove(&first.uid).expect("removing twice is no error");
        assert_eq!(records.load().expect("loaded").0.len(), 1);
    }
}
