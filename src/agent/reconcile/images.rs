//! Which images must stay though the store does not name them: those of templates that stand in for the store's, and of the revision that a
//! roll-back would go to. On a node without a registry they would not come back.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::Reconciler;
use crate::image::garbage::images_of;
use crate::manifest::DaemonSetKey;
use crate::rollout::RevisionHash;

impl Reconciler {
    /// Says which images must stay beside those that the store names.
    pub(super) fn keep_images(&self) {
        let mut kept = BTreeSet::new();
        for (key, known) in &self.known {
            kept.extend(known.counts.iter().flat_map(|counts| template_images(template(counts))));
            if self
                .ledger
                .get(key)
                .is_some_and(|entry| entry.last_available.as_ref() != Some(&known.revision))
            {
                kept.extend(known.way_back.iter().cloned());
            }
        }
        let kept = Some(kept);
        self.kept_images.send_if_modified(|before| {
            let is_news = *before != kept;
            *before = kept;
            is_news
        });
    }

    /// The images of the revision that this one would be rolled back to if it did not become available.
    pub(super) fn way_back(
        &self,
        key: &DaemonSetKey,
        daemon_set: &DaemonSet,
        revision: &RevisionHash,
    ) -> Vec<String> {
        let last = self.ledger.get(key).and_then(|entry| entry.last_available.as_ref());
        let Some(last) = last.filter(|last| *last != revision) else { return Vec::new() };
        if self.rollback_after(key, daemon_set).is_none() {
            return Vec::new();
        }
        self.history
            .template(key, last)
            .map(|template| template_images(Some(&template)).collect())
            .unwrap_or_default()
    }
}

fn template(daemon_set: &DaemonSet) -> Option<&PodTemplateSpec> {
    daemon_set.spec.as_ref().map(|spec| &spec.template)
}

fn template_images(template: Option<&PodTemplateSpec>) -> impl Iterator<Item = String> {
    template.and_then(|template| template.spec.as_ref()).into_iter().flat_map(images_of).map(str::to_owned)
}
