//! From what ran before and what the files say now to what runs next.
//!
//! Pure. The rules are design invariants 4 and 5: a broken document keeps its object as it was, the same object in two places
//! changes nothing, and only a trusted listing that lacks an object removes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::reading::FileReading;
use crate::manifest::{ObjectKey, Objects, Origin, Problem, Severity, Stored};

/// What is known about a file of the store.
#[derive(Debug, Clone)]
pub(super) enum FileState {
    /// It was read whole.
    Read(Arc<FileReading>),
    /// It is there but can't be used: the problem says why. What it provided stays.
    Unreadable(Problem),
    /// It is being written and was never read. What it provided (before a restart) stays.
    Pending,
}

/// Every file of the store that may hold manifests, by its path as the user would name it. (Paths compare slowly: no tree.)
pub(super) type Files = HashMap<Arc<Path>, FileState>;

/// Whether what the files lack is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removals {
    /// The listing is complete, successful and settled.
    Believed,
    /// It isn't: everything stays.
    Held,
}

/// What runs next, and why it differs from what the files say.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The good objects.
    pub(super) objects: Objects,
    /// Problems of the files and between them, in file order.
    pub(super) problems: Vec<Problem>,
    /// What ran before and no file provides or claims: removed, or kept where removals are held.
    pub(super) absent: BTreeSet<ObjectKey>,
    /// What a file says it has while no good form of it is known. It may run all the same, so it is not gone.
    pub(super) unusable: BTreeSet<ObjectKey>,
}

/// One place that says it has a certain object.
enum Claim<'a> {
    Good(&'a Arc<Stored>),
    Refused(&'a Arc<Path>),
}

impl Claim<'_> {
    fn file(&self) -> &Path {
        self.place().0
    }

    /// The file and the line; no line is known of a refused document.
    fn place(&self) -> (&Path, u32) {
        match self {
            Claim::Good(stored) => (&stored.origin.file, stored.origin.line),
            Claim::Refused(file) => (file, 0),
        }
    }
}

/// Merges what the files say into what ran before.
pub(super) fn merge(previous: &Objects, files: &Files, removals: Removals) -> Merged {
    let mut claims: BTreeMap<ObjectKey, Vec<Claim<'_>>> = BTreeMap::new();
    let mut problems = Vec::new();
    for (file, state) in files {
        match state {
            FileState::Read(reading) => {
                problems.extend(reading.problems.iter().cloned());
                for stored in &reading.objects {
                    claims.entry(stored.object.key()).or_default().push(Claim::Good(stored));
                }
                for key in &reading.refused {
                    claims.entry(key.clone()).or_default().push(Claim::Refused(file));
                }
            }
            FileState::Unreadable(problem) => problems.push(problem.clone()),
            FileState::Pending => {}
        }
    }

    let mut merged = Merged::default();
    for (key, stored) in &previous.0 {
        if claims.contains_key(key) {
            continue;
        }
        let absent = match files.get(&stored.origin.file) {
            None => true,
            Some(FileState::Read(reading)) => !reading.refused_unidentified,
            Some(FileState::Unreadable(_) | FileState::Pending) => false,
        };
        if absent {
            merged.absent.insert(key.clone());
        }
        if !absent || removals == Removals::Held {
            merged.objects.0.insert(key.clone(), Arc::clone(stored));
        }
    }
    for (key, mut claims) in claims {
        claims.sort_by(|a, b| a.place().cmp(&b.place()));
        let before = previous.0.get(&key);
        let chosen = match claims.as_slice() {
            [Claim::Good(stored)] => Some(*stored),
            [Claim::Refused(_)] => before,
            several => {
                problems.extend(conflict(&key, several, before));
                keep(several, before)
            }
        };
        if let Some(chosen) = chosen {
            merged.objects.0.insert(key, Arc::clone(chosen));
        } else {
            merged.unusable.insert(key);
        }
    }
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    merged.problems = problems;
    merged
}

/// Who wins where several places claim an object: the file that provided what runs, else nobody new.
fn keep<'a>(claims: &[Claim<'a>], before: Option<&'a Arc<Stored>>) -> Option<&'a Arc<Stored>> {
    let before = before?;
    let mut own = claims.iter().filter(|claim| *claim.file() == *before.origin.file);
    match (own.next(), own.next()) {
        (Some(Claim::Good(stored)), None) => Some(stored),
        _ => Some(before),
    }
}

/// A problem on each of the places. A refused document that is alone in its file already has its own.
fn conflict(key: &ObjectKey, claims: &[Claim<'_>], before: Option<&Arc<Stored>>) -> Vec<Problem> {
    let remedy = match before {
        Some(stored) => {
            format!("what came from {} stays in use; remove the others", stored.origin.file.display())
        }
        None => "none of them is used; remove all but one".to_owned(),
    };
    claims
        .iter()
        .enumerate()
        .filter_map(|(index, claim)| {
            let Claim::Good(stored) = claim else { return None };
            let others: Vec<String> = claims
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(_, other)| match other {
                    Claim::Good(stored) => place(&stored.origin),
                    Claim::Refused(file) => file.display().to_string(),
                })
                .collect();
            Some(Problem {
                severity: Severity::Error,
                file: Arc::clone(&stored.origin.file),
                line: stored.origin.line,
                field: String::new(),
                message: format!("{key} is also in {}: {remedy}", others.join(", ")),
                object: Some(key.clone()),
            })
        })
        .collect()
}

fn place(origin: &Origin) -> String {
    format!("{}:{}", origin.file.display(), origin.line)
}

#[cfg(test)]
mod tests;
