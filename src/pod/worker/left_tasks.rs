//! Ends what still runs of a container that the runtime says is over, before a successor is made. Each is looked at once, by two ways.
//!
//! The runtime says `StartError` of a container whose start it gave up. If the start was given up because its caller died, containerd
//! may have begun the task all the same, and its CRI looks no further: the process would run for as long as the dead container is kept to
//! tell of. It is ended by containerd's own API; another runtime does not have that API and needs none.
//!
//! When a shim is killed, containerd 2 clears away the sandbox that it was made for, says that the containers in it have exited, and leaves
//! their processes running. They are found in the container's cgroup, which a container that really has ended no longer has.
//!
//! A containerd that is killed while it starts a sandbox may forget it altogether. What it has left is found where it runs: in the pod's
//! cgroup, under an id that a complete list of the pod does not have. Nobody but this worker has anything made for the pod, and what it
//! asks for is over before it looks, so such an id is nobody's.

use std::collections::BTreeSet;

use tokio::task::spawn_blocking;
use tonic::Code;
use tracing::{debug, warn};

use super::Worker;
use crate::containerd;
use crate::cri::ContainerId;
use crate::error_chain::error_chain;
use crate::pod::observed::{Container, ContainerState, Observed};

/// The containers that need no further look.
#[derive(Debug, Default)]
pub(super) struct LookedAt(BTreeSet<ContainerId>);

impl LookedAt {
    /// The containers that are over and were not looked at yet.
    fn news(&mut self, observed: &Observed) -> Vec<(ContainerId, Over)> {
        self.0.retain(|id| observed.containers.iter().any(|container| container.id == *id));
        let over = observed.containers.iter().filter_map(|it| Some((it.id.clone(), Over::of(it)?)));
        over.filter(|(id, _)| !self.0.contains(id)).collect()
    }
}

/// How a container came to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    NeverStarted,
    Exited,
}

impl Over {
    fn of(container: &Container) -> Option<Self> {
        match &container.state {
            ContainerState::Exited(exit) if exit.reason == "StartError" => Some(Self::NeverStarted),
            ContainerState::Exited(_) => Some(Self::Exited),
            _ => None,
        }
    }
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

    /// Ends what is left of containers that are over. What can't be ended is tried again in the next round.
    pub(super) async fn end_left_tasks(&mut self) {
        let news = self.looked_at.news(&self.observed);
        if news.is_empty() {
            return;
        }
        let cgroup = self.cgroup();
        let left = self.context.cgroups.containers_of(&cgroup).unwrap_or_else(|error| {
            warn!(error = error_chain(&error), "cannot see what runs in the pod's cgroup");
            BTreeSet::new()
        });
        for (id, over) in news {
            if let Err(problem) = self.end_left_task(&id, over, left.contains(id.as_str()), &cgroup).await {
                warn!(container = %id, problem, "cannot make sure that nothing of a container that is over runs");
            } else {
                self.looked_at.0.insert(id);
            }
        }
    }

    async fn end_left_task(
        &self,
        id: &ContainerId,
        over: Over,
        is_left: bool,
        cgroup: &str,
    ) -> Result<(), String> {
        if over == Over::NeverStarted {
            match containerd::delete_task(&self.context.cri, id.as_str()).await {
                Err(status) if status.code() != Code::Unimplemented => {
                    return Err(status.message().to_owned());
                }
                _ => {}
            }
        }
        if !is_left {
            return Ok(());
        }
        debug!(container = %id, "a container that is over has a cgroup still; what is in it is ended");
        let destroyed = self.context.cgroups.destroy_container(cgroup, id.as_str()).await;
        destroyed.map_err(|error| error_chain(&error))
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
    fn each_container_that_is_over_is_looked_at_once() {
        let running = Container { state: ContainerState::Created, ..exited("d", "") };
        let containers =
            vec![exited("a", "StartError"), exited("b", "Error"), exited("c", "StartError"), running];
        let mut observed = Observed { sandboxes: Vec::new(), containers };
        let mut looked_at = LookedAt::default();
        let (a, b, c) = (("a", Over::NeverStarted), ("b", Over::Exited), ("c", Over::NeverStarted));
        let news = |news: &[(&str, Over)]| -> Vec<(ContainerId, Over)> {
            news.iter().map(|(id, over)| (ContainerId::from(*id), *over)).collect()
        };
        assert_eq!(looked_at.news(&observed), news(&[a, b, c]));
        looked_at.0.insert(ContainerId::from("a"));
        assert_eq!(looked_at.news(&observed), news(&[b, c]));
        observed.containers.remove(0);
        assert_eq!(looked_at.news(&observed), news(&[b, c]));
        assert!(looked_at.0.is_empty(), "what is gone is forgotten");
    }
}
