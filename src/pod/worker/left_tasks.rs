//! Ends what a start that was given up may have left running.
//!
//! The runtime says `StartError` of a container whose start it gave up. If the start was given up because its caller died, containerd
//! may have begun the task all the same, and its CRI looks no further: the process would run for as long as the dead container is kept to
//! tell of. Each such container is looked at once, by containerd's own API; another runtime does not have that API and needs none.
//!
//! A containerd that is killed while it starts a sandbox may forget it altogether. What it has left is found where it runs: in the pod's
//! cgroup, under an id that a complete list of the pod does not have. Nobody but this worker has anything made for the pod, and what it
//! asks for is over before it looks, so such an id is nobody's.

use std::collections::BTreeSet;

use tokio::task::spawn_blocking;
use tonic::Code;
use tracing::warn;

use super::Worker;
use crate::containerd;
use crate::cri::ContainerId;
use crate::error_chain::error_chain;
use crate::pod::observed::{Container, ContainerState, Observed};

/// The containers that need no further look.
#[derive(Debug, Default)]
pub(super) struct LookedAt(BTreeSet<ContainerId>);

impl LookedAt {
    /// The containers that failed to start and were not looked at yet.
    fn news(&mut self, observed: &Observed) -> Vec<ContainerId> {
        self.0.retain(|id| observed.containers.iter().any(|container| container.id == *id));
        let failed = observed.containers.iter().filter(|container| failed_to_start(container));
        failed.map(|container| container.id.clone()).filter(|id| !self.0.contains(id)).collect()
    }
}

fn failed_to_start(container: &Container) -> bool {
    matches!(&container.state, ContainerState::Exited(exit) if exit.reason == "StartError")
}

impl Worker {
    /// Ends what runs in the pod's cgroup and is unknown to the runtime. Must follow a complete look at it.
    pub(super) async fn end_unknown(&self) {
        let cgroup = self.cgroup();
        let running = match self.context.cgroups.containers_of(&cgroup) {
            Ok(running) => running,
            Err(error) => {
                warn!(error = error_chain(&error), "cannot see what runs in the pod's cgroup");
                return;
            }
        };
        let known: BTreeSet<&str> = self.ids().collect();
        for id in running.iter().filter(|id| !known.contains(id.as_str())) {
            if !self.is_forgotten(id).await {
                continue;
            }
            warn!(id, "the runtime has forgotten something that it started for the pod; it is ended");
            if let Err(problem) = self.end_forgotten(&cgroup, id).await {
                warn!(id, problem, "cannot end what the runtime has forgotten");
            }
        }
    }

    /// Whether the runtime says that it has nothing of this id. Somebody may have made a container in the pod's sandbox that is not ours.
    async fn is_forgotten(&self, id: &str) -> bool {
        let cri = &self.context.cri;
        let sandbox = cri.pod_sandbox_status(&id.into()).await;
        let container = cri.container_status(&id.into()).await;
        sandbox.is_err_and(|error| error.is_not_found()) && container.is_err_and(|error| error.is_not_found())
    }

    async fn end_forgotten(&self, cgroup: &str, id: &str) -> Result<(), String> {
        let shim = id.to_owned();
        // The shim first: it would tell of an end that nobody waits for.
        match spawn_blocking(move || containerd::end_shims(&shim)).await {
            Ok(ended) => drop(ended.map_err(|error| format!("end its shim: {error}"))?),
            Err(panic) => return Err(panic.to_string()),
        }
        self.context.cgroups.destroy_container(cgroup, id).await.map_err(|error| error_chain(&error))
    }

    pub(super) async fn end_left_tasks(&mut self) {
        for id in self.looked_at.news(&self.observed) {
            match containerd::delete_task(&self.context.cri, id.as_str()).await {
                Err(status) if status.code() != Code::Unimplemented => {
                    // Not looked at: the next round tries again.
                    warn!(container = %id, error = status.message(), "cannot make sure that nothing of a failed start runs");
                }
                _ => drop(self.looked_at.0.insert(id)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::cri::SandboxId;
    use crate::pod::observed::Exit;

    fn exited(id: &str, reason: &str) -> Container {
        let exit = Exit {
            code: 128,
            reason: reason.to_owned(),
            message: String::new(),
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
        };
        Container {
            id: ContainerId::from(id),
            sandbox: SandboxId::from("s"),
            name: "main".to_owned(),
            attempt: 0,
            state: ContainerState::Exited(exit),
            hash: None,
            restart_delay: Duration::ZERO,
            image: String::new(),
            image_ref: String::new(),
            created_at: 0,
        }
    }

    #[test]
    fn each_container_that_failed_to_start_is_looked_at_once() {
        let containers = vec![exited("a", "StartError"), exited("b", "Error"), exited("c", "StartError")];
        let mut observed = Observed { sandboxes: Vec::new(), containers };
        let mut looked_at = LookedAt::default();
        let ids = |ids: &[&str]| ids.iter().copied().map(ContainerId::from).collect::<Vec<_>>();
        assert_eq!(looked_at.news(&observed), ids(&["a", "c"]));
        looked_at.0.insert(ContainerId::from("a"));
        assert_eq!(looked_at.news(&observed), ids(&["c"]));
        observed.containers.remove(0);
        assert_eq!(looked_at.news(&observed), ids(&["c"]));
        assert!(looked_at.0.is_empty(), "what is gone is forgotten");
    }
}
