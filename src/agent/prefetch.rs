//! Brings the images of an update onto the node before anything is stopped for it.
//!
//! One task an update, in the background; what it finds wakes the main loop. An image that can't be had keeps the old pod running, and is
//! tried again with the back-off that a kubelet has for pulls. What a pod needs when it starts is looked at again by its worker: nothing here is
//! a promise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use tokio::sync::mpsc;
use tracing::info;

use crate::backoff::{Backoff, BackoffPolicy};
use crate::cri::proto::PodSandboxConfig;
use crate::image::{ImageName, PullPolicy};
use crate::manifest::DaemonSetKey;
use crate::pod::context::PodContext;
use crate::pod::pull;
use crate::pod::requests::image_spec;
use crate::rollout::RevisionHash;

/// What became of the images of an update.
#[derive(Debug)]
pub(super) struct Fetched {
    daemon_set: DaemonSetKey,
    revision: RevisionHash,
    result: Result<(), String>,
}

/// Whether the images of an update are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Images {
    /// They are.
    There,
    /// They are on their way.
    Coming,
    /// They can't be had.
    Missing {
        /// Why.
        problem: String,
        /// When they are asked for again.
        again_in: Duration,
    },
}

/// The updates whose images were asked for.
#[derive(Debug)]
pub(super) struct Prefetch {
    asked: BTreeMap<DaemonSetKey, Asked>,
    done: mpsc::UnboundedSender<Fetched>,
    pub(super) fetched: mpsc::UnboundedReceiver<Fetched>,
}

#[derive(Debug)]
struct Asked {
    revision: RevisionHash,
    /// What was found; nothing while it is under way.
    found: Option<Result<(), String>>,
    backoff: Backoff,
}

impl Default for Prefetch {
    fn default() -> Self {
        let (done, fetched) = mpsc::unbounded_channel();
        Self { asked: BTreeMap::new(), done, fetched }
    }
}

impl Prefetch {
    /// Whether the images of `pod`, of this revision of a DaemonSet, are there; asks for them if nobody has.
    pub(super) fn images(
        &mut self,
        (daemon_set, revision): (&DaemonSetKey, &RevisionHash),
        pod: impl FnOnce() -> Pod,
        context: &Arc<PodContext>,
    ) -> Images {
        let now = context.clock.monotonic();
        let before = self.asked.get(daemon_set).filter(|asked| asked.revision == *revision);
        let backoff = match before {
            Some(Asked { found: None, .. }) => return Images::Coming,
            Some(Asked { found: Some(Ok(())), .. }) => return Images::There,
            Some(Asked { found: Some(Err(problem)), backoff, .. }) => {
                let failed_at = backoff.raised_at().unwrap_or(now);
                let again_in = backoff.turn(&BackoffPolicy::KUBELET, failed_at, now).remaining();
                if !again_in.is_zero() {
                    return Images::Missing { problem: problem.clone(), again_in };
                }
                *backoff
            }
            None => Backoff::default(),
        };
        let asked = Asked { revision: revision.clone(), found: None, backoff };
        self.asked.insert(daemon_set.clone(), asked);
        let (daemon_set, revision) = (daemon_set.clone(), revision.clone());
        let (context, done, pod) = (Arc::clone(context), self.done.clone(), pod());
        tokio::spawn(async move {
            let result = fetch(&context, &pod).await;
            // An agent that no longer listens is going down.
            let _ = done.send(Fetched { daemon_set, revision, result });
        });
        Images::Coming
    }

    /// Takes note of what was found.
    pub(super) fn note(&mut self, fetched: Fetched, now: Duration) {
        let Fetched { daemon_set, revision, result } = fetched;
        let Some(asked) = self.asked.get_mut(&daemon_set).filter(|asked| asked.revision == revision) else {
            return;
        };
        if result.is_err() {
            asked.backoff.raise(&BackoffPolicy::KUBELET, now);
        }
        asked.found = Some(result);
    }

    /// Image archives were imported: what could not be had is asked for at once.
    pub(super) fn images_came(&mut self) {
        let missed = self.asked.values_mut().filter(|asked| matches!(asked.found, Some(Err(_))));
        missed.for_each(|asked| asked.backoff = Backoff::default());
    }

    /// Forgets a DaemonSet: what was found may not hold at its next update.
    pub(super) fn forget(&mut self, daemon_set: &DaemonSetKey) {
        self.asked.remove(daemon_set);
    }
}

async fn fetch(context: &PodContext, pod: &Pod) -> Result<(), String> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    for (written, policy) in wanted(spec) {
        let name = ImageName::parse(&written).map_err(|error| format!("{written}: {error}"))?;
        let is_there = match policy {
            // Nobody would pull it for the pod either: whether it starts is the pod's own matter.
            PullPolicy::Never => true,
            PullPolicy::Always => false,
            PullPolicy::IfNotPresent => {
                let found = context.cri.image_status(image_spec(pod, &name)).await;
                let found = found.map_err(|error| format!("{written}: {}", error.message()))?;
                found.is_some() || context.preload.restore(&name).await
            }
        };
        if !is_there && let Err(problem) = pull(context, pod, &name).await {
            // As its worker will: what an archive of the node has needs no registry.
            if !context.preload.restore(&name).await {
                return Err(format!("{written}: {problem}"));
            }
        }
    }
    Ok(())
}

async fn pull(context: &PodContext, pod: &Pod, name: &ImageName) -> Result<(), String> {
    context.preload.first_look().await;
    pull::turn(context, pod, name).await?.pull(&PodSandboxConfig::default()).await?;
    info!(image = name.as_written(), "image of an update pulled");
    Ok(())
}

/// The images that a pod needs, each with the policy by which it is pulled.
fn wanted(spec: &PodSpec) -> Vec<(String, PullPolicy)> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let of_containers =
        containers.filter_map(|it| Some((it.image.as_deref()?, it.image_pull_policy.as_deref())));
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
    let mounted = volumes.filter_map(|it| Some((it.reference.as_deref()?, it.pull_policy.as_deref())));
    let named = of_containers.chain(mounted).filter(|(image, _)| !image.is_empty());
    named.map(|(image, how)| (image.to_owned(), PullPolicy::of(image, how))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cri::fake::{FakeRuntime, Request};
    use crate::pod::testing::context;

    #[test]
    fn every_image_of_a_pod_is_wanted_with_its_policy() {
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [{"name": "i", "image": "init:1", "imagePullPolicy": "Never"}],
            "containers": [{"name": "c", "image": "main"}, {"name": "d", "image": "main:2"}, {"name": "e"}],
            "volumes": [{"name": "v", "image": {"reference": "data:1", "pullPolicy": "Always"}}, {"name": "w", "emptyDir": {}}],
        }))
        .unwrap();
        let wanted = wanted(&spec);
        let shown: Vec<_> = wanted.iter().map(|(image, policy)| format!("{image} {policy}")).collect();
        assert_eq!(shown, ["init:1 Never", "main Always", "main:2 IfNotPresent", "data:1 Always"]);
    }

    /// Nobody has made the pod yet; its image is had as its worker will.
    #[tokio::test]
    async fn the_images_of_an_update_are_had_as_a_pods_are() {
        let (runtime, dir) = (FakeRuntime::start(), tempfile::tempdir().unwrap());
        let config = r#"{"auths": {"registry.example": {"username": "node", "password": "p"}}}"#;
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let pod = json!({
            "metadata": {"annotations": {"example.org/key": "value"}},
            "spec": {"containers": [{"name": "c", "image": "registry.example/app:1"}]},
        });
        let context = context(&runtime, dir.path(), mpsc::unbounded_channel().0);
        fetch(&context, &serde_json::from_value(pod).unwrap()).await.unwrap();
        let (mut asked, mut pulled) = (Vec::new(), Vec::new());
        for call in runtime.calls() {
            match call.request {
                Request::ImageStatus(request) => asked.extend(request.image),
                Request::PullImage(request) => pulled.push((request.image.unwrap(), request.auth.unwrap())),
                _ => {}
            }
        }
        let (image, auth) = &pulled[0];
        assert_eq!((auth.username.as_str(), pulled.len()), ("node", 1));
        assert_eq!((&asked[..], image.annotations.len()), (&[image.clone()][..], 1));
        assert_eq!(context.pulls.available_permits(), 5, "its turn is over");
    }

    #[test]
    fn images_that_could_not_be_had_are_asked_for_at_once_when_archives_have_come() {
        let mut prefetch = Prefetch::default();
        let key = |name: &str| DaemonSetKey { namespace: "test".into(), name: name.into() };
        let revision = RevisionHash::from_label("r");
        for (name, result) in [("missed", Err("no route to host".to_owned())), ("there", Ok(()))] {
            let asked = Asked { revision: revision.clone(), found: None, backoff: Backoff::default() };
            prefetch.asked.insert(key(name), asked);
            let fetched = Fetched { daemon_set: key(name), revision: revision.clone(), result };
            prefetch.note(fetched, Duration::from_secs(1));
        }
        assert!(!prefetch.asked[&key("missed")].backoff.delay().is_zero());
        prefetch.images_came();
        assert!(prefetch.asked[&key("missed")].backoff.delay().is_zero());
        assert_eq!(prefetch.asked[&key("there")].found, Some(Ok(())));
    }
}
