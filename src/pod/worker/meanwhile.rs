//! What goes on while a worker does something that takes long: a pull, a hook, a stop. Its probes are heard, and the pod's readiness is told.
//!
//! Nothing is decided here: what else follows from what the probes say comes with the next plan. Rule: `syncLoopIteration` of
//! `pkg/kubelet/kubelet.go`, which sets a container's readiness beside the pod's worker; and its prober, which records Events itself.

use std::pin::pin;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::{Worker, events};
use crate::pod::context::PodContext;
use crate::probe::{ProbeEvent, ProbeEvents};

impl Worker {
    /// Does something that doesn't need the worker, and hears the probes meanwhile.
    pub(super) async fn meanwhile<T>(&mut self, doing: impl Future<Output = T>) -> T {
        let news = Arc::clone(&self.probe_news);
        let mut doing = pin!(doing);
        let mut was_heard = false;
        let done = loop {
            tokio::select! {
                biased;
                done = &mut doing => break done,
                () = news.notified() => {
                    was_heard = true;
                    self.hear_probes();
                }
            }
        };
        if was_heard {
            // A plan may follow from it, too.
            news.notify_one();
        }
        done
    }

    /// Lets the probes know what they have changed, and shows it.
    pub(super) fn hear_probes(&mut self) {
        self.sync_probes();
        self.report();
    }
}

/// Records what probes have to tell, whatever the pod's worker is doing.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) context: Arc<PodContext>,
    pub(super) pod: Arc<Pod>,
}

impl ProbeEvents for Recorder {
    fn tell(&self, event: ProbeEvent) {
        let (container, reason) = (&*event.container, event.reason.as_str());
        events::container_warning(&self.context, &self.pod, container, reason, &event.message);
    }
}
