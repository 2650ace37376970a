//! Whether a pod is made from the present template.
//!
//! As a rule its revision hash says so. A pod of another release may bear a hash that this one doesn't compute; such a pod is compared with
//! the pod that would be made now, field by field, and is replaced only if they differ.

use k8s_openapi::api::apps::v1::DaemonSet;

use super::{Reconciler, Tracked};
use crate::cri::translate::runtime_class::runtime_class;
use crate::manifest::{DaemonSetKey, Object};
use crate::pod::blueprint::Blueprint;
use crate::pod::classes::Classes;
use crate::rollout::decide::Generation;
use crate::rollout::{HASH_VERSION, RevisionHash, is_same_pod};

impl Reconciler {
    pub(super) fn generation(
        &self,
        key: &DaemonSetKey,
        revision: &RevisionHash,
        tracked: &Tracked,
    ) -> Generation {
        let is_current = if tracked.hash_version == HASH_VERSION {
            tracked.revision == *revision
        } else {
            // Without a DaemonSet to compare with, nothing says that the pod is old.
            self.known_object(key).is_none_or(|daemon_set| self.would_be_made_again(&daemon_set, tracked))
        };
        if is_current { Generation::Current } else { Generation::Old }
    }

    /// The DaemonSet as it counts.
    fn known_object(&self, key: &DaemonSetKey) -> Option<DaemonSet> {
        let known = self.known.get(key)?;
        if let Some(counts) = &known.counts {
            return Some(DaemonSet::clone(counts));
        }
        match &known.source.object {
            Object::DaemonSet(daemon_set) => Some(DaemonSet::clone(daemon_set)),
            _ => None,
        }
    }

    fn would_be_made_again(&self, daemon_set: &DaemonSet, tracked: &Tracked) -> bool {
        let (Some(spec), Some(pod_spec)) = (daemon_set.spec.as_ref(), tracked.pod.spec.as_ref()) else {
            return true;
        };
        let snapshot = self.snapshots.borrow();
        let template = spec.template.spec.clone().unwrap_or_default();
        let Ok(runtime) = runtime_class(&template, &snapshot.objects) else { return true };
        let again = Blueprint {
            daemon_set,
            template: &spec.template,
            revision_hash: tracked.revision.as_str(),
            template_generation: None,
            name: &tracked.name,
            uid: tracked.pod.metadata.uid.as_deref().unwrap_or_default(),
            node_name: pod_spec.node_name.as_deref().unwrap_or_default(),
            classes: Classes {
                priority: pod_spec.priority,
                preemption_policy: pod_spec.preemption_policy.as_deref(),
                runtime,
            },
        };
        is_same_pod(&tracked.pod, &again.pod())
    }
}
