//! The pod's addresses: as they are for what is made and asked now, and as its status goes on showing them.
//!
//! Rules: `sortPodIPs` (through `translate::pod_ips`), `getPodIPs` of `pkg/kubelet/pleg/generic.go` and `preserveDataFromBeforeStopping` of
//! `pkg/kubelet/kubelet.go`.

use std::net::IpAddr;

use super::Worker;
use crate::cri::translate::pod_ips::pod_ips;
use crate::pod::observed::SandboxState;

impl Worker {
    /// The addresses that the pod has now.
    pub(super) fn pod_ips(&self) -> Vec<IpAddr> {
        pod_ips(&self.record.pod, self.observed.pod_ips(), &self.context.host().node_ips)
    }

    /// Notes the addresses that the status shows. While no sandbox is ready they stay what they were: whoever looks for what the pod did
    /// finds it by them.
    pub(super) fn note_addresses(&mut self) {
        let sandboxes = &self.observed.sandboxes;
        let is_ready = sandboxes.iter().any(|sandbox| sandbox.state == SandboxState::Ready);
        let now = if sandboxes.is_empty() { Vec::new() } else { self.pod_ips() };
        if is_ready || !now.is_empty() {
            self.shown_ips = now;
        }
    }
}
