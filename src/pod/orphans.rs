//! Which pods have left something on this node and are on no record any more, and what each of them has left.
//!
//! Pure: what was found × what is known → what to remove. A pod is an orphan of *ours* if three things hold:
//!
//! 1. Something of it lies where only an agent with this root directory writes: its directory `<rootDir>/pods/<uid>`, or a record's file of its
//!    name that can't be understood. The root directory is locked, so no other agent has put it there.
//! 2. Its UID has the form that only we give (a UUID of version 8; an API server gives version 4, a kubelet's static pods have none). So a
//!    `lost+found`, or a root directory that somebody has set to a kubelet's, holds nothing of ours.
//! 3. Nobody knows it: no record, no worker, and nothing in a complete listing of the runtime.
//!
//! Log directories, links and cgroups may as well be a kubelet's or another agent's, and prove nothing: they go only with a pod of which 1 to 3
//! hold. Therefore the pod's own directory must be removed last, and the record's file after it: whatever interrupts a removal leaves
//! the proof for the next. A pod that has ended and could not remove its logs leaves its directory, empty, as the proof. A log directory whose
//! proof is lost stays.
//!
//! Rules: the kubelet's `HandlePodCleanups` and `cleanupOrphanedPodDirs` (`pkg/kubelet`), `evictPodLogsDirectories` (`kuberuntime_gc.go`).

use std::collections::BTreeMap;

use super::identity::PodUid;
use super::logs::Link;
use crate::cgroup::PodCgroup;
use crate::cri::log_path::LogOwner;

/// What lies on the node, whoever's it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The names of the directories in `<rootDir>/pods`.
    pub pod_dirs: Vec<String>,
    /// The UIDs after which files in `<rootDir>/records` are named.
    pub records: Vec<String>,
    /// The cgroups of pods.
    pub cgroups: Vec<PodCgroup>,
    /// The names of log directories.
    pub log_dirs: Vec<String>,
    /// The links to logs.
    pub links: Vec<Link>,
}

/// A pod of ours that nobody knows, and what it has left beside its own directory and the file of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The pod.
    pub uid: PodUid,
    /// The paths of its cgroups, as in `cgroup_parent`.
    pub cgroups: Vec<String>,
    /// The names of its log directories.
    pub log_dirs: Vec<String>,
    /// The names of links to its logs.
    pub links: Vec<String>,
}

/// The orphans among what was found, in the order of their UIDs.
pub fn decide(found: &Found, is_known: impl Fn(&PodUid) -> bool) -> Vec<Orphan> {
    let ours = found.pod_dirs.iter().chain(&found.records).filter_map(|name| PodUid::parse(name));
    let mut orphans: BTreeMap<String, Orphan> = ours
        .filter(|uid| uid.is_derived() && !is_known(uid))
        .map(|uid| {
            let key = uid.as_str().to_owned();
            (key, Orphan { uid, cgroups: Vec::new(), log_dirs: Vec::new(), links: Vec::new() })
        })
        .collect();
    for cgroup in &found.cgroups {
        if let Some(orphan) = orphans.get_mut(&cgroup.uid) {
            orphan.cgroups.push(cgroup.path.clone());
        }
    }
    let uid_of = |directory: &str| LogOwner::from_directory_name(directory).map(|owner| owner.uid.to_owned());
    for directory in &found.log_dirs {
        if let Some(orphan) = uid_of(directory).and_then(|uid| orphans.get_mut(&uid)) {
            orphan.log_dirs.push(directory.clone());
        }
    }
    for link in &found.links {
        if let Some(orphan) = uid_of(&link.directory).and_then(|uid| orphans.get_mut(&uid)) {
            orphan.links.push(link.name.clone());
        }
    }
    orphans.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of our form.
    const A: &str = "aaaaaaaa-0000-8000-8000-000000000000";
    const B: &str = "bbbbbbbb-0000-8000-8000-000000000000";
    /// Of an API server's form.
    const FOREIGN: &str = "aaaaaaaa-0000-4000-8000-000000000000";

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn cgroup(uid: &str) -> PodCgroup {
        PodCgroup { uid: uid.to_owned(), path: format!("/kubepods/pod{uid}") }
    }

    fn link(name: &str, uid: &str) -> Link {
        Link { name: name.to_owned(), directory: format!("ns_p_{uid}") }
    }

    fn uids(found: &Found, known: &[&str]) -> Vec<String> {
        let orphans = decide(found, |uid| known.contains(&uid.as_str()));
        orphans.iter().map(|orphan| orphan.uid.to_string()).collect()
    }

    #[test]
    fn a_pod_is_an_orphan_if_it_was_ours_and_nobody_knows_it() {
        for (pod_dirs, records, known, expected) in [
            (&[A, B][..], &[][..], &[][..], &[A, B][..]),
            (&[A, B], &[], &[A], &[B]),
            (&[A], &[A], &[], &[A]),
            // The record can't be understood, and the directory is gone already or never was.
            (&[], &[B], &[], &[B]),
            (&[], &[B], &[B], &[]),
            // Not of our form: somebody else's, wherever it lies.
            (&[FOREIGN, "lost+found", "aaaaaaaa00008000800000000000000a"], &["x", FOREIGN], &[], &[]),
        ] {
            let found = Found { pod_dirs: texts(pod_dirs), records: texts(records), ..Found::default() };
            assert_eq!(uids(&found, known), expected, "{found:?} {known:?}");
        }
    }

    #[test]
    fn logs_links_and_cgroups_prove_nothing() {
        let found = Found {
            cgroups: vec![cgroup(A), cgroup(FOREIGN)],
            log_dirs: texts(&[&format!("ns_p_{A}"), &format!("ns_p_{FOREIGN}")]),
            links: vec![link("x.log", A)],
            ..Found::default()
        };
        assert_eq!(decide(&found, |_| false), []);
    }

    #[test]
    fn an_orphan_takes_along_what_bears_its_uid_and_nothing_else() {
        let found = Found {
            pod_dirs: texts(&[A, B]),
            records: Vec::new(),
            cgroups: vec![cgroup(A), cgroup(B), cgroup(FOREIGN)],
            log_dirs: texts(&[&format!("ns_p_{A}"), &format!("ns_q_{B}"), &format!("ns_p_{FOREIGN}"), A]),
            links: vec![link("a.log", A), link("b.log", B), link("f.log", FOREIGN), link("a2.log", A)],
        };
        let expected = Orphan {
            uid: PodUid::parse(A).unwrap(),
            cgroups: vec![format!("/kubepods/pod{A}")],
            log_dirs: vec![format!("ns_p_{A}")],
            links: texts(&["a.log", "a2.log"]),
        };
        assert_eq!(decide(&found, |uid| uid.as_str() == B), [expected]);
    }
}
