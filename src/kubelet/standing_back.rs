//! What is on disk about having stepped back for a kubelet: why, how far, and which files the kubelet was given.
//!
//! One JSON file below the state directory. While it is there, no agent looks after the node's pods, whatever restarts; `takeover` removes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::atomic_file::{self, AtomicFileError};
use crate::hex::hex;
use crate::manifest::DaemonSetKey;
use crate::state_dir::StateEntry;

const FORMAT: u32 = 1;

/// How far it has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Pods are left as they are.
    Yielded,
    /// DaemonSets are being handed over one by one.
    HandingOver,
    /// Every DaemonSet that can be is the kubelet's now.
    HandedOver,
}

/// What the kubelet's start of a static pod means for the DaemonSets after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// Nothing: no pod of ours ended for it, or nobody is there to start it yet.
    #[default]
    NotAwaited,
    /// No pod of ours that runs is ended before the kubelet has started this one.
    Awaited,
    /// The kubelet has started it.
    Seen {
        /// When that was noticed.
        at: Timestamp,
    },
}

/// Whether one DaemonSet waits for the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pace {
    /// All are handed over at once: there is no kubelet yet that could start one.
    #[default]
    AtOnce,
    /// The next goes when the kubelet has started the one before.
    AfterEachStart,
}

/// A static pod that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// What it was made of.
    pub daemon_set: DaemonSetKey,
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub sha256: String,
    /// When it was written; earlier releases didn't note that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether the kubelet has started it.
    #[serde(default)]
    pub start: Start,
}

/// A DaemonSet that is being handed over: its pods end, and then this file is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Which.
    pub daemon_set: DaemonSetKey,
    /// The file.
    pub path: PathBuf,
    /// What will be in it.
    pub text: String,
    /// Whether the kubelet's start of it is waited for.
    #[serde(default)]
    pub start: Start,
}

/// That daemonlet has stepped back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SteppedBack {
    format: u32,
    /// How far it has gone.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Why, for people.
    pub why: String,
    /// Where static pods go.
    pub static_pod_path: PathBuf,
    /// Whether one DaemonSet waits for the other.
    #[serde(default)]
    pub pace: Pace,
    /// The one that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Those that were written.
    pub written: Vec<Written>,
    /// The DaemonSets that could not be handed over, each with its reasons.
    #[serde(default)]
    pub refused: Vec<(DaemonSetKey, Vec<String>)>,
}

/// What went wrong with the note.
#[derive(Debug, Error)]
pub enum NoteError {
    /// It can't be read: whether a kubelet has this node can't be known.
    #[error("read {path}, which says whether a kubelet has this node")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can't be understood.
    #[error("understand {path}, which says whether a kubelet has this node: {reason}")]
    Understand {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It can't be written.
    #[error("take note of a kubelet on this node")]
    Write(#[source] AtomicFileError),
    /// It can't be removed.
    #[error("remove {path}")]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SteppedBack {
    /// Nothing is handed over yet.
    pub fn new(stage: Stage, since: Timestamp, why: String, static_pod_path: PathBuf) -> Self {
        Self {
            format: FORMAT,
            stage,
            since,
            why,
            static_pod_path,
            pace: Pace::default(),
            pending: None,
            written: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The note below this state directory, if there is one.
    ///
    /// # Errors
    /// When there is one that can't be read: then nobody may look after pods.
    pub fn read(root_dir: &Path) -> Result<Option<Self>, NoteError> {
        let path = StateEntry::SteppedBack.below(root_dir);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(NoteError::Read { path, source }),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(note) if note.format == FORMAT => Ok(Some(note)),
            Ok(note) => {
                let reason = format!("format {} is not {FORMAT}, the one this release reads", note.format);
                Err(NoteError::Understand { path, reason })
            }
            Err(error) => Err(NoteError::Understand { path, reason: error.to_string() }),
        }
    }

    /// Writes it; on disk when this returns.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, root_dir: &Path) -> Result<(), NoteError> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        atomic_file::write(&StateEntry::SteppedBack.below(root_dir), &bytes, 0o600).map_err(NoteError::Write)
    }

    /// Removes it.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn remove(root_dir: &Path) -> Result<(), NoteError> {
        let path = StateEntry::SteppedBack.below(root_dir);
        fs::remove_file(&path).map_err(|source| NoteError::Remove { path, source })
    }

    /// The static pods whose start is waited for.
    pub fn awaited(&self) -> impl Iterator<Item = &Written> {
        self.written.iter().filter(|written| written.start == Start::Awaited)
    }

    /// The state in one sentence.
    pub fn describe(&self) -> String {
        let files = self.written.len();
        let how = match self.stage {
            Stage::Yielded => "pods are left to it".to_owned(),
            Stage::HandingOver => {
                let mut how = format!("DaemonSets are being handed over to it, {files} so far");
                for (index, written) in self.awaited().enumerate() {
                    how.push_str(if index == 0 { "; it is to start " } else { ", " });
                    how.push_str(&written.daemon_set.to_string());
                }
                how
            }
            Stage::HandedOver => format!(
                "{files} DaemonSets are static pods in {} now, {} could not be handed over",
                self.static_pod_path.display(),
                self.refused.len()
            ),
        };
        format!("{}; {how}; once it is gone for good, `daemonlet takeover` is the way back", self.why)
    }
}

/// What a file's content is known by.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_one_that_cannot_be_understood_is_no_absence() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(SteppedBack::read(root).unwrap(), None);
        let mut note =
            SteppedBack::new(Stage::HandedOver, Timestamp::UNIX_EPOCH, "a kubelet".into(), "/pods".into());
        note.written.push(Written {
            daemon_set: DaemonSetKey { namespace: "a".into(), name: "b".into() },
            path: "/pods/x.yaml".into(),
            sha256: digest(b""),
            at: Some(Timestamp::UNIX_EPOCH),
            start: Start::Awaited,
        });
        note.write(root).unwrap();
        assert_eq!(SteppedBack::read(root).unwrap(), Some(note.clone()));
        assert!(note.describe().contains("1 DaemonSets are static pods in /pods now"), "{}", note.describe());
        for broken in ["", "{", "{\"format\": 2}"] {
            fs::write(StateEntry::SteppedBack.below(root), broken).unwrap();
            assert!(SteppedBack::read(root).is_err(), "{broken}");
        }
        SteppedBack::remove(root).unwrap();
        assert_eq!(SteppedBack::read(root).unwrap(), None);
    }

    #[test]
    fn a_note_of_an_earlier_release_is_read_and_waits_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let earlier = r#"{"format": 1, "stage": "handingOver", "since": "2026-01-02T03:04:05Z", "why": "a kubelet",
            "staticPodPath": "/pods", "written": [{"daemonSet": {"namespace": "a", "name": "b"}, "path": "/pods/x", "sha256": ""}]}"#;
        fs::write(StateEntry::SteppedBack.below(folder.path()), earlier).unwrap();
        let note = SteppedBack::read(folder.path()).unwrap().unwrap();
        assert_eq!((note.pace, note.awaited().count()), (Pace::AtOnce, 0));
        assert_eq!((note.written[0].at, note.written[0].start), (None, Start::NotAwaited));
    }
}
