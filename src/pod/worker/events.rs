//! Events about a pod and its containers, in a kubelet's words; the journal has those of which nothing else there tells.

use k8s_openapi::api::core::v1::Pod;
use tracing::warn;

use super::Worker;
use crate::board::{EventDraft, EventKind, Telling, reference_to, reference_to_container};
use crate::hook::HookDone;
use crate::pod::context::PodContext;

/// `<name>_<namespace>(<uid>)`, as messages name a pod (`pkg/kubelet/util/format`).
pub(super) fn full_name(pod: &Pod) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let metadata = &pod.metadata;
    format!("{}_{}({})", text(&metadata.name), text(&metadata.namespace), text(&metadata.uid))
}

/// Records an Event on one container of a pod.
pub(super) fn container_event(
    context: &PodContext,
    pod: &Pod,
    container: &str,
    kind: EventKind,
    reason: &str,
    message: &str,
) -> Telling {
    context.board.record(EventDraft {
        regarding: reference_to_container(pod, container),
        kind,
        reason: reason.to_owned(),
        message: message.to_owned(),
        component: "kubelet",
        at: context.clock.wall(),
    })
}

/// Records a Warning on one container of a pod, and writes it into the journal, where nothing else tells of it.
pub(super) fn container_warning(
    context: &PodContext,
    pod: &Pod,
    container: &str,
    reason: &str,
    message: &str,
) {
    if container_event(context, pod, container, EventKind::Warning, reason, message) == Telling::Told {
        warn!(reason, object = %full_name(pod), container, "{message}");
    }
}

/// Records an Event on a pod.
pub(super) fn pod_event(
    context: &PodContext,
    pod: &Pod,
    kind: EventKind,
    reason: &str,
    message: &str,
) -> Telling {
    context.board.record(EventDraft {
        regarding: reference_to(pod),
        kind,
        reason: reason.to_owned(),
        message: message.to_owned(),
        component: "kubelet",
        at: context.clock.wall(),
    })
}

/// Records what is to be told of a hook that ended well, if there is something.
pub(super) fn hook_event(context: &PodContext, pod: &Pod, done: &HookDone) {
    if let Some(message) = done.event_message() {
        pod_event(context, pod, EventKind::Warning, "LifecycleHTTPFallback", &message);
    }
}

impl Worker {
    /// Records an Event on the pod.
    pub(super) fn event(&self, kind: EventKind, reason: &str, message: &str) {
        pod_event(&self.context, &self.record.pod, kind, reason, message);
    }

    /// Records a Warning about what keeps the pod from coming up: once, and again after a while, but not each time that it is tried.
    pub(super) fn complain(&mut self, reason: &str, message: &str) {
        let now = self.context.clock.monotonic();
        if self.complaints.is_due(message, now)
            && pod_event(&self.context, &self.record.pod, EventKind::Warning, reason, message)
                == Telling::Told
        {
            warn!(reason, object = self.full_name, "{message}");
        }
    }

    /// Tells of the containers that have come to wait for their crash-loop back-off to end.
    pub(super) fn tell_back_offs(&self, backing_off: &[String]) {
        for name in backing_off.iter().filter(|name| !self.backing_off.contains(name)) {
            let message = format!("Back-off restarting failed container {name} in pod {}", self.full_name);
            container_warning(&self.context, &self.record.pod, name, "BackOff", &message);
        }
    }

    pub(super) fn container_event(&self, container: &str, kind: EventKind, reason: &str, message: &str) {
        container_event(&self.context, &self.record.pod, container, kind, reason, message);
    }
}
