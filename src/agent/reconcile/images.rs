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
        for key in self.ledger.present() {
            kept.extend(self.ledger.stand_in(key).iter().flat_map(|stand_in| images(&stand_in.template)));
        }
        for (key, known) in &self.known {
            let last = self.ledger.get(key).and_then(|entry| entry.last_available.as_ref());
            if last != Some(&known.revision) {
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
        self.history.template(key, last).iter().flat_map(images).collect()
    }
}

fn images(template: &PodTemplateSpec) -> impl Iterator<Item = String> {
    template.spec.iter().flat_map(images_of).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tokio::sync::{Notify, mpsc, watch};

    use super::*;
    use crate::agent::Purpose;
    use crate::agent::reconcile::Surroundings;
    use crate::config;
    use crate::cri::fake::FakeRuntime;
    use crate::manifest::{Objects, read};
    use crate::pod::testing::context;
    use crate::rollout::revision_of;
    use crate::store::{Freshness, Snapshot};

    /// A DaemonSet that runs elsewhere.
    fn snapshot(image: &str, annotations: &Value) -> Arc<Snapshot> {
        let labels = json!({"app": "a"});
        let spec = json!({"nodeSelector": {"not": "here"}, "containers": [{"name": "main", "image": image}]});
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "a", "namespace": "default", "annotations": annotations},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        });
        let read = read(Path::new("a.yaml"), manifest.to_string().as_bytes()).objects.into_iter();
        let objects = Objects(read.map(|stored| (stored.object.key(), Arc::new(stored))).collect());
        Arc::new(Snapshot { objects, freshness: Freshness::Current, ..Snapshot::default() })
    }

    #[tokio::test]
    async fn images_of_what_stands_in_and_of_the_way_back_are_kept_beside_the_stores() {
        let (runtime, dir) = (FakeRuntime::start(), tempfile::tempdir().unwrap());
        let text = format!("rootDir: {}", dir.path().display());
        let settings = config::of_text(Path::new("config.yaml"), &text).unwrap().settings;
        let (snapshots, snapshots_seen) = watch::channel(snapshot("one:1", &json!({})));
        let (kept_images, kept) = watch::channel(None);
        let around = Surroundings {
            context: Arc::new(context(&runtime, dir.path(), mpsc::unbounded_channel().0)),
            snapshots: snapshots_seen,
            node: watch::channel(Arc::default()).1,
            reports: mpsc::unbounded_channel().1,
            burstable_shares: watch::channel(0).0,
            limited: Arc::new(Notify::new()),
            kept_images,
        };
        let mut reconciler = Reconciler::open(&settings, around, &Purpose::LookAfter).unwrap();
        let key = DaemonSetKey { namespace: "default".into(), name: "a".into() };
        let kept_of = |reconciler: &mut Reconciler, snapshot: Option<Arc<Snapshot>>| {
            if let Some(snapshot) = snapshot {
                snapshots.send(snapshot).unwrap();
            }
            reconciler.reconcile();
            kept.borrow().clone().map(Vec::from_iter)
        };
        assert_eq!(
            kept_of(&mut reconciler, None),
            Some(vec![]),
            "what the store names is known from the store"
        );

        // The records of pods first, and then what there is: the revision.
        for _ in 0..2 {
            let recorded = reconciler.recording.progress().await;
            reconciler.recorded(recorded);
        }
        let first = reconciler.known[&key].revision.clone();
        reconciler.ledger.available(&key, &first);
        let way_back = json!({"daemonlet.dev/rollback-after": "10m"});
        assert_eq!(kept_of(&mut reconciler, Some(snapshot("two:1", &json!({})))), Some(vec![]));
        assert_eq!(
            kept_of(&mut reconciler, Some(snapshot("two:1", &way_back))),
            Some(vec!["one:1".to_owned()])
        );
        let second = reconciler.known[&key].revision.clone();
        reconciler.ledger.available(&key, &second);
        assert_eq!(kept_of(&mut reconciler, None), Some(vec![]), "there is no way back any more");

        assert_eq!(kept_of(&mut reconciler, Some(snapshot("two:1", &json!({})))), Some(vec![]));
        let other = snapshot("three:1", &json!({}));
        let template = other.objects.daemon_sets().next().unwrap().spec.clone().unwrap().template;
        assert_ne!(revision_of(&template), second);
        reconciler.set_template(&key, Box::new(template), "somebody").unwrap();
        assert_eq!(kept_of(&mut reconciler, None), Some(vec!["three:1".to_owned()]));
        assert_eq!(kept_of(&mut reconciler, Some(snapshot("four:1", &json!({})))), Some(vec![]));
    }
}
