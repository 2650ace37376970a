//! When each NoExecute taint was first seen on this node, for the pods that tolerate it for a time; also across restarts of the agent.
//!
//! A taint that goes is forgotten: should it come back, its time begins anew. What somebody wrote as `timeAdded` never counts, as with the
//! taint eviction controller, which starts its clock when it sees the taint. A file that can't be read costs the pods that are under way
//! a longer stay, never a shorter one.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tracing::warn;

use crate::atomic_file;
use crate::error_chain::error_chain;

const MODE: u32 = 0o600;

/// The taints and their times, on the disk.
#[derive(Debug)]
pub(super) struct TaintTimes {
    path: PathBuf,
    /// Each with its time.
    seen: Vec<Taint>,
}

impl TaintTimes {
    /// What was noted before, if anything was.
    pub(super) fn open(path: PathBuf) -> Self {
        let noted = fs::read(&path).ok().map(|bytes| serde_json::from_slice(&bytes));
        let seen = match noted {
            Some(Ok(seen)) => seen,
            Some(Err(error)) => {
                warn!(file = %path.display(), %error, "when taints were added is not known any more; it counts from now");
                Vec::new()
            }
            None => Vec::new(),
        };
        Self { path, seen }
    }

    /// Gives each NoExecute taint of the node its time, which is `now` for one that is new.
    pub(super) fn stamp(&mut self, node: &mut Node, now: Timestamp) {
        let taints = node.spec.as_mut().and_then(|spec| spec.taints.as_mut());
        let mut present = Vec::new();
        for taint in taints.into_iter().flatten().filter(|taint| taint.effect == "NoExecute") {
            let known = self.seen.iter().find(|known| is_same(known, taint));
            let added = known.and_then(|known| known.time_added.clone());
            taint.time_added = Some(added.unwrap_or(Time(now)));
            present.push(taint.clone());
        }
        if self.seen != present {
            self.seen = present;
            self.keep();
        }
    }

    fn keep(&self) {
        let bytes = serde_json::to_vec(&self.seen).unwrap_or_default();
        if let Err(error) = atomic_file::write(&self.path, &bytes, MODE) {
            let error = error_chain(&error);
            warn!(file = %self.path.display(), error, "cannot note when taints were added; after a restart it counts anew");
        }
    }
}

fn is_same(one: &Taint, other: &Taint) -> bool {
    let parts = |taint: &Taint| (taint.key.clone(), taint.value.clone().unwrap_or_default());
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn stamped(times: &mut TaintTimes, taints: Value, now: i64) -> Vec<Option<i64>> {
        let node = json!({"metadata": {}, "spec": {"taints": taints}});
        let mut node: Node = serde_json::from_value(node).unwrap();
        times.stamp(&mut node, Timestamp::from_second(now).unwrap());
        let taints = node.spec.unwrap().taints.unwrap();
        taints.iter().map(|taint| taint.time_added.as_ref().map(|time| time.0.as_second())).collect()
    }

    #[test]
    fn a_taint_keeps_its_time_across_restarts_until_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let open = || TaintTimes::open(folder.path().join("taints.json"));
        let a = json!({"key": "a", "effect": "NoExecute", "timeAdded": "2001-01-01T00:00:00Z"});
        let b = json!({"key": "b", "value": "x", "effect": "NoExecute"});
        let mild = json!({"key": "a", "effect": "NoSchedule"});
        assert_eq!(stamped(&mut open(), json!([a, mild]), 100), [Some(100), None]);
        assert_eq!(stamped(&mut open(), json!([b, a]), 200), [Some(200), Some(100)], "another agent");
        let mut times = open();
        assert_eq!(stamped(&mut times, json!([b]), 300), [Some(200)]);
        assert_eq!(stamped(&mut times, json!([a, b]), 400), [Some(400), Some(200)], "it had gone");
        let other = json!({"key": "b", "value": "y", "effect": "NoExecute"});
        assert_eq!(stamped(&mut times, json!([other]), 500), [Some(500)], "another value is another taint");
    }

    #[test]
    fn a_file_that_is_no_good_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taints.json");
        fs::write(&path, "[{").unwrap();
        let taint = json!({"key": "a", "effect": "NoExecute"});
        assert_eq!(stamped(&mut TaintTimes::open(path.clone()), json!([taint]), 7), [Some(7)]);
        assert_eq!(stamped(&mut TaintTimes::open(path), json!([taint]), 9), [Some(7)]);
    }
}
