//! Init containers whose records are removed for a new sandbox, in which they run again.
//!
//! The kubelet removes them in the same sync in which it makes the sandbox and starts the first of them, and goes on by what it had seen at
//! the beginning of that sync: so the first goes on counting its attempts and waits out its back-off, and the others begin anew
//! (`purgeInitContainers` and `doBackOff` of `pkg/kubelet/kuberuntime`).

use super::Worker;
use crate::cri::ContainerId;

/// What is still known of records that were removed.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// The first init container, and the highest attempt of it.
    first: Option<(String, u32)>,
    /// Its instances that had ended.
    pub(super) first_ended: Vec<ContainerId>,
}

impl Forgotten {
    /// The last attempt of a container whose records were removed a moment ago.
    pub(super) fn attempt(&self, name: &str) -> Option<u32> {
        self.first.as_ref().filter(|(first, _)| first == name).map(|(_, attempt)| *attempt)
    }
}

impl Worker {
    /// Removes the records of init containers. One that can't be removed holds nothing up: it is of another sandbox, and so tells nothing.
    pub(super) async fn forget_init_containers(&mut self, ids: &[ContainerId]) {
        let spec = self.record.pod.spec.as_ref();
        let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let first = init.first().map(|first| first.name.as_str());
        let (mut kept, mut anew) = (Forgotten::default(), Vec::new());
        for record in self.observed.containers.iter().filter(|record| ids.contains(&record.id)) {
            if Some(record.name.as_str()) != first {
                anew.push(record.id.clone());
                continue;
            }
            let highest = kept.first.take().map_or(0, |(_, attempt)| attempt);
            kept.first = Some((record.name.clone(), record.attempt.max(highest)));
            // What the kubelet has not seen end does not wait.
            let instances = if record.exit().is_some() { &mut kept.first_ended } else { &mut anew };
            instances.push(record.id.clone());
        }
        self.forgotten = Some(Box::new(kept));
        self.memory.forget_instances(&anew);
        for id in ids {
            // Said already.
            let _ = self.remove_containers(std::slice::from_ref(id)).await;
        }
    }
}
