//! The revisions of each DaemonSet's template, numbered as the controller numbers them, and kept on disk.
//!
//! One file a revision below `<rootDir>/revisions`: the ControllerRevision as the API shows it. In memory there is only what is needed to
//! number and prune; a template is read when somebody asks for it. Losing a file loses a way back, never a pod. Rules: `constructHistory`,
//! `dedupCurHistories` and `cleanupHistory` of `pkg/controller/daemon/update.go`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::RevisionHash;
use crate::atomic_file::Replacement;
use crate::manifest::DaemonSetKey;
use crate::pod::blueprint::REVISION_HASH_LABEL;

/// How many old revisions are kept where a DaemonSet doesn't say (`revisionHistoryLimit`).
const DEFAULT_LIMIT: i32 = 10;

/// What is kept in mind of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    hash: RevisionHash,
    number: i64,
}

/// The revisions of this node's DaemonSets.
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    kept: BTreeMap<DaemonSetKey, Vec<Kept>>,
    unsaved: BTreeMap<(DaemonSetKey, RevisionHash), ControllerRevision>,
}

/// A DaemonSet as it is now, with what only this node knows of it.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// Which.
    pub key: &'a DaemonSetKey,
    /// Itself.
    pub daemon_set: &'a DaemonSet,
    /// Its UID on this node.
    pub uid: &'a str,
    /// The revision of its template.
    pub revision: &'a RevisionHash,
}

impl History {
    /// Reads what is below `dir`, which is made if it isn't there. Files that can't be understood are returned beside it, with the reason.
    ///
    /// # Errors
    /// When the folder can't be made or listed.
    pub fn open(dir: &Path) -> io::Result<(Self, Vec<(PathBuf, String)>)> {
        fs::create_dir_all(dir)?;
        let mut history = Self { dir: dir.to_owned(), kept: BTreeMap::new(), unsaved: BTreeMap::new() };
        let mut refused = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(revision) => match owner_and_hash(&revision) {
                    Some((key, hash)) => {
                        history.kept.entry(key).or_default().push(Kept { hash, number: revision.revision });
                    }
                    None => refused.push((path, "it does not say whose revision it is".to_owned())),
                },
                Err(reason) => refused.push((path, reason)),
            }
        }
        Ok((history, refused))
    }

    /// Takes note of a DaemonSet's present template. One that was there before gets the highest number, and else stays what it was: its cause
    /// is that of the change that made it, not of the one that has gone back to it.
    pub fn note(&mut self, current: Current<'_>, now: Timestamp) {
        let kept = self.kept.entry(current.key.clone()).or_default();
        let others = kept.iter().filter(|kept| kept.hash != *current.revision).map(|kept| kept.number);
        let number = others.max().unwrap_or(0) + 1;
        if kept.iter().any(|kept| kept.hash == *current.revision && kept.number >= number) {
            return;
        }
        kept.retain(|kept| kept.hash != *current.revision);
        kept.push(Kept { hash: current.revision.clone(), number });
        let mut revision = controller_revision(current, number, now);
        if let Some(before) = self.controller_revision(current.key, current.revision) {
            revision.metadata.annotations = before.metadata.annotations;
            revision.metadata.creation_timestamp = before.metadata.creation_timestamp;
        }
        self.unsaved.insert((current.key.clone(), current.revision.clone()), revision);
    }

    /// Forgets the oldest revisions beyond the DaemonSet's limit, but none that a pod is made of: these count, and stay. Returns the files to
    /// remove.
    pub fn prune(&mut self, current: Current<'_>, is_in_use: impl Fn(&RevisionHash) -> bool) -> Vec<PathBuf> {
        let limit = current.daemon_set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let limit = usize::try_from(limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or_default();
        let Some(kept) = self.kept.get_mut(current.key) else { return Vec::new() };
        if kept.len() <= limit {
            return Vec::new();
        }
        kept.sort_by_key(|kept| kept.number);
        let is_old = |kept: &Kept| kept.hash != *current.revision;
        let mut surplus = kept.iter().filter(|kept| is_old(kept)).count().saturating_sub(limit);
        let mut gone = Vec::new();
        kept.retain(|kept| {
            let goes = surplus > 0 && is_old(kept) && !is_in_use(&kept.hash);
            surplus -= usize::from(goes);
            if goes {
                gone.push(kept.hash.clone());
            }
            !goes
        });
        self.files_of(current.key, &gone)
    }

    /// Forgets a DaemonSet that has gone. Returns the files to remove.
    pub fn forget(&mut self, key: &DaemonSetKey) -> Vec<PathBuf> {
        let gone = self.kept.remove(key).unwrap_or_default();
        let gone: Vec<_> = gone.into_iter().map(|kept| kept.hash).collect();
        self.files_of(key, &gone)
    }

    /// The template of a revision, if its file is there.
    pub fn template(&self, key: &DaemonSetKey, hash: &RevisionHash) -> Option<PodTemplateSpec> {
        template_of(&self.controller_revision(key, hash)?)
    }

    /// The templates of all revisions of a DaemonSet whose files are there.
    pub fn templates(&self, key: &DaemonSetKey) -> impl Iterator<Item = PodTemplateSpec> {
        let kept = self.kept.get(key).map(Vec::as_slice).unwrap_or_default();
        kept.iter().filter_map(|kept| self.template(key, &kept.hash))
    }

    /// A revision as it was noted last, if its file is there.
    fn controller_revision(&self, key: &DaemonSetKey, hash: &RevisionHash) -> Option<ControllerRevision> {
        let unsaved = self.unsaved.get(&(key.clone(), hash.clone())).cloned();
        unsaved.or_else(|| read(&self.file_of(key, hash)).ok())
    }

    /// Every revision that is not on the disk, as it is to be written. They count as saved from then on.
    pub fn take_unsaved(&mut self) -> Vec<(DaemonSetKey, Replacement)> {
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        unsaved
            .map(|((key, hash), revision)| {
                let bytes = serde_json::to_vec(&revision).unwrap_or_default();
                let file = Replacement { path: self.file_of(&key, &hash), bytes, mode: 0o600 };
                (key, file)
            })
            .collect()
    }

    fn files_of(&mut self, key: &DaemonSetKey, hashes: &[RevisionHash]) -> Vec<PathBuf> {
        for hash in hashes {
            self.unsaved.remove(&(key.clone(), hash.clone()));
        }
        hashes.iter().map(|hash| self.file_of(key, hash)).collect()
    }

    fn file_of(&self, key: &DaemonSetKey, hash: &RevisionHash) -> PathBuf {
        let stem = super::ledger::file_stem(key);
        self.dir.join(format!("{stem}_{hash}.json"))
    }
}

/// Every revision below `dir`, as the API shows them; those that can't be read are left out.
///
/// # Errors
/// When the folder can't be listed.
pub fn read_all(dir: &Path) -> io::Result<Vec<ControllerRevision>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.extend(read(&path).ok());
        }
    }
    found.sort_by(|a: &ControllerRevision, b| {
        let name = |it: &ControllerRevision| (it.metadata.namespace.clone(), it.metadata.name.clone());
        name(a).cmp(&name(b))
    });
    Ok(found)
}

/// The template that a revision holds.
pub fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

fn controller_revision(current: Current<'_>, number: i64, now: Timestamp) -> ControllerRevision {
    let Current { key, daemon_set, uid, revision } = current;
    let template = daemon_set.spec.as_ref().map(|spec| &spec.template);
    let mut labels =
        template.and_then(|template| template.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    labels.insert(REVISION_HASH_LABEL.to_owned(), revision.to_string());
    let mut data = json!({"spec": {"template": template}});
    if let Some(Value::Object(template)) = data.pointer_mut("/spec/template") {
        template.insert("$patch".to_owned(), json!("replace"));
    }
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{revision}", key.name)),
            namespace: Some(key.namespace.clone()),
            labels: Some(labels),
            annotations: daemon_set.metadata.annotations.clone(),
            creation_timestamp: Some(Time(now)),
            owner_references: Some(vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "DaemonSet".to_owned(),
                name: key.name.clone(),
                uid: uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }
}

fn owner_and_hash(revision: &ControllerRevision) -> Option<(DaemonSetKey, RevisionHash)> {
    let metadata = &revision.metadata;
    let owner = metadata.owner_references.as_ref()?.first()?;
    let key = DaemonSetKey { namespace: metadata.namespace.clone()?, name: owner.name.clone() };
    let hash = metadata.labels.as_ref()?.get(REVISION_HASH_LABEL)?;
    Some((key, RevisionHash::from_label(hash)))
}

fn read(path: &Path) -> Result<ControllerRevision, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic_file;
    use crate::rollout::revision_of;

    fn key() -> DaemonSetKey {
        DaemonSetKey { namespace: "x".into(), name: "agent".into() }
    }

    fn daemon_set(image: &str, limit: i32) -> DaemonSet {
        serde_json::from_value(json!({
            "metadata": {"name": "agent", "namespace": "x", "annotations": {"kubernetes.io/change-cause": image}},
            "spec": {"selector": {}, "revisionHistoryLimit": limit, "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": image}]}}},
        }))
        .unwrap()
    }

    struct Bed {
        _dir: tempfile::TempDir,
        history: History,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let history = History::open(dir.path()).unwrap().0;
            Self { _dir: dir, history }
        }

        /// A DaemonSet comes to have this image while pods of other revisions run.
        fn apply(&mut self, image: &str, limit: i32, in_use: &[&str]) {
            let daemon_set = daemon_set(image, limit);
            let revision = hash(image);
            let current = Current { key: &key(), daemon_set: &daemon_set, uid: "u-1", revision: &revision };
            self.history.note(current, Timestamp::UNIX_EPOCH);
            let files: Vec<_> = self.history.take_unsaved().into_iter().map(|(_, file)| file).collect();
            atomic_file::write_all(&files).into_iter().for_each(|written| written.unwrap());
            for path in
                self.history.prune(current, |revision| in_use.iter().any(|image| hash(image) == *revision))
            {
                fs::remove_file(path).unwrap();
            }
        }

        /// The revisions on the disk: number and image, in the order of the numbers.
        fn shown(&self) -> String {
            let mut all = read_all(&self.history.dir).unwrap();
            all.sort_by_key(|revision| revision.revision);
            let image = |it: &ControllerRevision| {
                template_of(it).unwrap().spec.unwrap().containers[0].image.clone().unwrap()
            };
            all.iter().map(|it| format!("{}={}", it.revision, image(it))).collect::<Vec<_>>().join(" ")
        }
    }

    fn hash(image: &str) -> RevisionHash {
        revision_of(&daemon_set(image, 0).spec.unwrap().template)
    }

    #[test]
    fn revisions_are_numbered_as_the_controller_does_and_outlast_the_agent() {
        let mut bed = Bed::new();
        for image in ["a:1", "a:2", "a:2", "a:3"] {
            bed.apply(image, 10, &[]);
        }
        assert_eq!(bed.shown(), "1=a:1 2=a:2 3=a:3");
        bed.history = History::open(&bed.history.dir).unwrap().0;
        bed.apply("a:1", 10, &[]);
        assert_eq!(bed.shown(), "2=a:2 3=a:3 4=a:1", "an earlier template finds its revision again");
        let all = read_all(&bed.history.dir).unwrap();
        let newest = all.iter().find(|it| it.revision == 4).unwrap();
        let labels = newest.metadata.labels.as_ref().unwrap();
        assert_eq!(labels[REVISION_HASH_LABEL], hash("a:1").as_str());
        assert_eq!(labels["app"], "agent");
        assert_eq!(newest.metadata.name.as_deref(), Some(format!("agent-{}", hash("a:1")).as_str()));
        let template = bed.history.template(&key(), &hash("a:2")).unwrap();
        assert_eq!(revision_of(&template), hash("a:2"), "what is kept is the same revision");
    }

    #[test]
    fn a_revision_that_is_gone_back_to_keeps_its_cause_and_its_age() {
        let mut bed = Bed::new();
        for (minute, image, cause) in [(1, "a:1", "first"), (2, "a:2", "second"), (3, "a:1", "back")] {
            let mut daemon_set = daemon_set(image, 10);
            let annotations = [("kubernetes.io/change-cause".to_owned(), cause.to_owned())];
            daemon_set.metadata.annotations = Some(annotations.into());
            let revision = hash(image);
            let current = Current { key: &key(), daemon_set: &daemon_set, uid: "u-1", revision: &revision };
            bed.history.note(current, Timestamp::from_second(minute * 60).unwrap());
            let files: Vec<_> = bed.history.take_unsaved().into_iter().map(|(_, file)| file).collect();
            atomic_file::write_all(&files).into_iter().for_each(|written| written.unwrap());
        }
        let all = read_all(&bed.history.dir).unwrap();
        let back = all.iter().find(|it| it.revision == 3).unwrap();
        assert_eq!(template_of(back).unwrap().spec.unwrap().containers[0].image.as_deref(), Some("a:1"));
        assert_eq!(back.metadata.annotations.as_ref().unwrap()["kubernetes.io/change-cause"], "first");
        assert_eq!(back.metadata.creation_timestamp.as_ref().unwrap().0.as_second(), 60);
    }

    #[test]
    fn the_oldest_go_beyond_the_limit_but_none_that_a_pod_is_made_of() {
        let mut bed = Bed::new();
        for image in ["a:1", "a:2", "a:3", "a:4"] {
            bed.apply(image, 2, &[]);
        }
        assert_eq!(bed.shown(), "2=a:2 3=a:3 4=a:4");
        bed.apply("a:5", 1, &["a:2"]);
        assert_eq!(bed.shown(), "2=a:2 5=a:5", "one that a pod is made of counts, but stays");
        bed.apply("a:5", 0, &["a:2"]);
        assert_eq!(bed.shown(), "2=a:2 5=a:5");
        bed.apply("a:5", 0, &[]);
        assert_eq!(bed.shown(), "5=a:5");
        for file in bed.history.forget(&key()) {
            fs::remove_file(file).unwrap();
        }
        assert_eq!(bed.shown(), "");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_the_others_count() {
        let mut bed = Bed::new();
        bed.apply("a:1", 10, &[]);
        fs::write(bed.history.dir.join("x_broken.json"), "{").unwrap();
        let (history, refused) = History::open(&bed.history.dir).unwrap();
        assert_eq!(refused.len(), 1);
        assert!(history.template(&key(), &hash("a:1")).is_some());
    }
}
