//! Getting a container's image: there already, imported again from one of the node's archives, pulled now, or waited for.
//!
//! An image that an archive has needs no registry. With `Always` the registry is asked all the same, as Kubernetes asks it; but where that fails,
//! what the archive has is used: whoever put it there has said what the image is to be, and may have no registry at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use tracing::info;

use super::Worker;
use super::memory::Retry;
use super::start::{NotStarted, Tell};
use crate::backoff::{Backoff, BackoffPolicy};
use crate::board::EventKind;
use crate::cri::proto;
use crate::image::{self, Decision, ImageName, ImageProblem, ImageReason, Presence, PullPolicy, PullReport};
use crate::pod::requests::image_spec;
use crate::pod::status::Waiting;

/// What is remembered of an image that could not be pulled.
#[derive(Debug, Default)]
pub(super) struct PullMemory {
    backoff: Backoff,
    problem: Option<ImageProblem>,
}

/// An image that a container can be made from.
#[derive(Debug)]
pub(super) struct Ready {
    /// What the runtime calls it.
    pub(super) image: String,
    /// Its own user, for containers that name none.
    pub(super) user: proto::Image,
}

/// How long `ErrImagePull` shows before it becomes `ImagePullBackOff`.
const SHOW_ERROR: Duration = Duration::from_secs(2);
/// How often at most a node is asked for an image that somebody may import by hand.
const LOOK_FOR_IMAGE: Duration = Duration::from_secs(60);
/// A name that is none stays none; only so that the problem is told again.
const HOPELESS: Duration = Duration::from_secs(600);

impl Worker {
    /// Makes sure that the runtime has the image, as the pull policy says.
    pub(super) async fn ensure_image(&mut self, container: &Container) -> Result<Ready, NotStarted> {
        let written = container.image.as_deref().unwrap_or_default();
        let name = ImageName::parse(written).map_err(|error| {
            let problem = ImageProblem::invalid_name(&error);
            let event = (EventKind::Warning, "InspectFailed", problem.message.clone());
            no_image(&problem, event, Retry::After(HOPELESS), Tell::Once)
        })?;
        let policy = PullPolicy::of(written, container.image_pull_policy.as_deref());
        let present = match policy {
            PullPolicy::Always => None,
            PullPolicy::IfNotPresent | PullPolicy::Never => match self.inspect(&name).await? {
                None if self.restore(&name).await => self.inspect(&name).await?,
                found => found,
            },
        };
        let presence = if present.is_some() { Presence::Present } else { Presence::Absent };
        let now = self.context.clock.monotonic();
        let backoff = self.pulls.get(written).map(|memory| memory.backoff).unwrap_or_default();
        let failed_at = backoff.raised_at().unwrap_or(now);
        match policy.decide(presence, backoff.turn(&BackoffPolicy::KUBELET, failed_at, now)) {
            Decision::UsePresent => {
                self.note_image(written);
                let message = image::already_present_event(&name);
                self.container_event(&container.name, EventKind::Normal, "Pulled", &message);
                let found = present.unwrap_or_default();
                Ok(Ready { image: found.id.clone(), user: found })
            }
            Decision::RefuseToPull => {
                let problem = ImageProblem::never_pull(&name);
                let event = (EventKind::Warning, "ErrImageNeverPull", problem.message.clone());
                Err(no_image(&problem, event, Retry::WhenItMayWork, Tell::Once))
            }
            Decision::BackOff(turn) => {
                let problem = ImageProblem::back_off(
                    &name,
                    self.pulls.get(written).and_then(|memory| memory.problem.as_ref()),
                );
                let event = (EventKind::Normal, "BackOff", image::back_off_event(&name));
                let wait = match policy {
                    PullPolicy::Always => turn.remaining(),
                    PullPolicy::IfNotPresent | PullPolicy::Never => turn.remaining().min(LOOK_FOR_IMAGE),
                };
                Err(no_image(&problem, event, Retry::After(wait), Tell::Once))
            }
            Decision::Pull => self.pull(container, &name).await,
        }
    }

    /// The image is there: what was wrong is over. How often it has failed is not, so that a registry that comes and goes is asked ever less often.
    fn note_image(&mut self, written: &str) {
        if let Some(memory) = self.pulls.get_mut(written) {
            memory.problem = None;
        }
    }

    /// Archives were imported: what is waited for is looked for at once, and what an archive has is asked for anew.
    pub(super) fn look_for_images(&mut self) {
        if self.memory.retry_for(is_of_image) {
            let preload = &self.context.preload;
            self.pulls.retain(|written, _| !ImageName::parse(written).is_ok_and(|name| preload.holds(&name)));
        }
    }

    /// Makes sure that the runtime has the images that the container mounts as volumes. Answers with what it calls each, by volume.
    pub(super) async fn ensure_volume_images(
        &mut self,
        container: &Container,
    ) -> Result<BTreeMap<String, String>, NotStarted> {
        let pod = Arc::clone(&self.record.pod);
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        let mut images = BTreeMap::new();
        for volume in volumes.iter().filter(|volume| mounts.iter().any(|mount| mount.name == volume.name)) {
            let Some(source) = &volume.image else { continue };
            // The rules are those of a container's own image, and Events about it are the container's.
            let wanted = Container {
                name: container.name.clone(),
                image: source.reference.clone(),
                image_pull_policy: source.pull_policy.clone(),
                ..Container::default()
            };
            images.insert(volume.name.clone(), self.ensure_image(&wanted).await?.image);
        }
        Ok(images)
    }

    async fn inspect(&self, name: &ImageName) -> Result<Option<proto::Image>, NotStarted> {
        let spec = image_spec(&self.record.pod, name);
        self.context.cri.image_status(spec).await.map_err(|error| {
            let problem = ImageProblem::inspect_failed(name, &error.rpc_text());
            let event = (EventKind::Warning, "InspectFailed", problem.message.clone());
            no_image(&problem, event, Retry::WhenItMayWork, Tell::Once)
        })
    }

    async fn pull(&mut self, container: &Container, name: &ImageName) -> Result<Ready, NotStarted> {
        let context = Arc::clone(&self.context);
        self.meanwhile(Box::pin(context.preload.first_look())).await;
        self.container_event(&container.name, EventKind::Normal, "Pulling", &image::pulling_event(name));
        let begun = self.context.clock.monotonic();
        let pulled = self.pull_in_turn(&container.name, name).await;
        let now = self.context.clock.monotonic();
        let (image, pulling_since) = match pulled {
            Ok(pulled) => pulled,
            Err(text) => {
                let event = (EventKind::Warning, "Failed", image::pull_failed_event(name, &text));
                if let Some(found) = self.archived(name).await? {
                    let (kind, reason, message) = event;
                    self.container_event(&container.name, kind, reason, &message);
                    let message =
                        format!("Using the image {:?} that an archive of this node has", name.as_written());
                    self.container_event(&container.name, EventKind::Normal, "Pulled", &message);
                    self.note_image(name.as_written());
                    return Ok(Ready { image: found.id.clone(), user: found });
                }
                let problem = ImageProblem::pull_failed(name, &text);
                let memory = self.pulls.entry(name.as_written().to_owned()).or_default();
                memory.backoff.raise(&BackoffPolicy::KUBELET, now);
                memory.problem = Some(problem.clone());
                return Err(no_image(&problem, event, Retry::After(SHOW_ERROR), Tell::EachTime));
            }
        };
        self.note_image(name.as_written());
        let found = self.inspect(name).await?.unwrap_or_default();
        let report = PullReport {
            image: name,
            took: now.saturating_sub(pulling_since),
            with_waiting: now.saturating_sub(begun),
            size_bytes: found.size,
        };
        info!(image = name.as_written(), "image pulled");
        self.container_event(&container.name, EventKind::Normal, "Pulled", &report.to_string());
        Ok(Ready { image, user: found })
    }

    /// The image as an archive of the node has it, if one has.
    async fn archived(&mut self, name: &ImageName) -> Result<Option<proto::Image>, NotStarted> {
        if self.restore(name).await { self.inspect(name).await } else { Ok(None) }
    }

    async fn restore(&mut self, name: &ImageName) -> bool {
        let context = Arc::clone(&self.context);
        self.meanwhile(Box::pin(context.preload.restore(name))).await
    }
}

/// Whether a container waits for its image, or for one that it mounts.
fn is_of_image(waiting: &Waiting) -> bool {
    let reasons = [
        ImageReason::ErrImageNeverPull,
        ImageReason::ErrImagePull,
        ImageReason::ImagePullBackOff,
        ImageReason::RegistryUnavailable,
        ImageReason::SignatureValidationFailed,
    ];
    reasons.iter().any(|reason| waiting.reason == reason.as_str())
}

/// No image: an Event of its own says why, and a Warning `Failed` that the container is not started for it.
fn no_image(
    problem: &ImageProblem,
    event: (EventKind, &'static str, String),
    retry: Retry,
    tell: Tell,
) -> NotStarted {
    let reason = problem.reason.as_str();
    NotStarted {
        waiting: Waiting { reason: reason.to_owned(), message: problem.message.clone() },
        retry,
        events: vec![event, (EventKind::Warning, "Failed", format!("Error: {reason}"))],
        tell,
    }
}
