//! The pod's volumes: set up before its sandbox, kept up to date with the store.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Volume};
use tracing::{info, warn};

use super::{Abandoned, Worker};
use crate::board::EventKind;
use crate::manifest::Objects;
use crate::volume::{self, PodVolumes, SetUp, VolumeError};

/// What the volumes of a pod ask of the one who works on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// There are none.
    None,
    /// They are on the agent's own disk.
    Own,
    /// One is anywhere on the host, where a file system may hang: then only this pod may wait.
    Host,
}

impl Nature {
    fn of(pod: &Pod) -> Self {
        let volumes = volumes(pod);
        if volumes.is_empty() {
            Self::None
        } else if volumes.iter().any(|volume| volume.host_path.is_some()) {
            Self::Host
        } else {
            Self::Own
        }
    }
}

impl Worker {
    /// Sets the pod's volumes up, unless this worker has done so before.
    pub(super) async fn ensure_volumes(&mut self) -> Result<(), Abandoned> {
        if self.mounts.is_some() {
            return Ok(());
        }
        let objects = Arc::clone(&self.objects.borrow());
        let set_up: Option<Result<SetUp, Vec<VolumeError>>> = match Nature::of(&self.record.pod) {
            Nature::None => Some(Ok(SetUp::default())),
            Nature::Own => Some(volume::set_up(&self.context.volumes, &self.pod_volumes(&objects))),
            Nature::Host => {
                let (context, pod) = (Arc::clone(&self.context), Arc::clone(&self.record.pod));
                let memory_limit = self.memory_limit();
                let task = move || {
                    let allocatable = &context.allocatable;
                    let volumes = PodVolumes { pod: &pod, objects: &objects, allocatable, memory_limit };
                    volume::set_up(&context.volumes, &volumes)
                };
                // Whoever ends the pod must not take down what is still being set up.
                let done = self.unfinished.carry_out(async { tokio::task::spawn_blocking(task).await });
                done.await.and_then(Result::ok)
            }
        };
        match set_up {
            Some(Ok(done)) => {
                for stale in &done.stale {
                    self.event(EventKind::Warning, "FailedMount", &stale.event_message());
                }
                self.mounts = Some(done.sources);
                Ok(())
            }
            Some(Err(errors)) => {
                for error in errors {
                    self.complain("FailedMount", &error.event_message());
                }
                Err(Abandoned::LATER)
            }
            None => {
                warn!("setting up the pod's volumes failed");
                Err(Abandoned::LATER)
            }
        }
    }

    /// The store has changed: volumes follow at once, and what failed for want of an object may be tried again.
    pub(super) fn take_objects(&mut self) {
        self.memory.retry_failures();
        // A pod that was adopted has its volumes from an earlier agent; they follow all the same.
        let is_set_up = self.mounts.is_some() || self.observed.sandbox().is_some();
        if !is_set_up || !volumes(&self.record.pod).iter().any(has_contents) {
            return;
        }
        let objects = Arc::clone(&self.objects.borrow_and_update());
        // None at all: the store was not read yet.
        if objects.0.is_empty() {
            return;
        }
        let refreshed = volume::refresh(&self.context.volumes, &self.pod_volumes(&objects));
        if !refreshed.changed.is_empty() {
            info!(volumes = ?refreshed.changed, "volumes follow the store");
        }
        for error in refreshed.errors {
            self.event(EventKind::Warning, "FailedMount", &error.event_message());
        }
    }

    fn pod_volumes<'a>(&'a self, objects: &'a Objects) -> PodVolumes<'a> {
        PodVolumes {
            pod: &self.record.pod,
            objects,
            allocatable: &self.context.allocatable,
            memory_limit: self.memory_limit(),
        }
    }
}

fn volumes(pod: &Pod) -> &[Volume] {
    pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default()
}

/// Whether the volume's files are made from the store or from the pod itself.
fn has_contents(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
}
