//! Stopping one container that will be started again, or everything in a pod.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tracing::{info, warn};

use super::killer::{Killer, Victim};
use super::{Abandoned, Worker};
use crate::board::EventKind;
use crate::cri::translate::go_quote::quoted;
use crate::cri::{ContainerId, CriError, SandboxId};
use crate::pod::aggregate::aggregate;
use crate::pod::grace;
use crate::pod::plan::KillReason;

const KILL_CONTAINER: &str = "KillContainer";
const KILL_SANDBOX: &str = "KillPodSandbox";

impl Worker {
    /// Stops a container that will be started again.
    pub(super) async fn kill_container(
        &mut self,
        id: &ContainerId,
        name: &str,
        why: KillReason,
    ) -> Result<(), Abandoned> {
        let Some(container) = self.container(name).cloned() else {
            warn!(container = name, %id, "a container that the pod does not have");
            return Err(Abandoned::LATER);
        };
        let grace = grace::of_container(&self.record.pod, failed_probe(&container, why));
        let message = kill_message(name, why, self.is_init(name));
        info!(container = name, %id, message, "stopping the container");
        let stopped = self.stop_one(&container, id, &message, grace).await;
        self.unsure.containers.insert(id.clone());
        let problems = stopped.err().map(|error| kill_problem(KILL_CONTAINER, name, &error));
        self.killed_or_abandoned(problems.into_iter().collect())
    }

    /// Nothing may follow on a kill that failed.
    fn killed_or_abandoned(&self, problems: Vec<String>) -> Result<(), Abandoned> {
        if problems.is_empty() {
            return Ok(());
        }
        let message = format!("error killing pod: {}", aggregate(problems));
        warn!(message, "cannot stop what is to be stopped");
        self.event(EventKind::Warning, "FailedKillPod", &message);
        Err(Abandoned::LATER)
    }

    pub(super) async fn stop_one(
        &mut self,
        container: &Container,
        id: &ContainerId,
        message: &str,
        grace: Duration,
    ) -> Result<(), CriError> {
        let victim = Victim { container: container.clone(), id: id.clone() };
        let killer = self.killer();
        self.meanwhile(killer.stop(&victim, message, grace, std::future::ready(()))).await
    }

    /// Stops everything in the pod, so that it can have another sandbox. What starts first in that one need not wait for being killed here:
    /// the kubelet starts it in the same sync, for which it still runs.
    pub(super) async fn kill_for_new_sandbox(&mut self) -> Result<(), Abandoned> {
        let spec = self.record.pod.spec.as_ref();
        let first = spec.and_then(|spec| spec.init_containers.as_deref()?.first()).map(|init| &init.name);
        let starts_first = |name: &str| first.is_none_or(|first| first == name);
        for record in self.observed.running().filter(|record| starts_first(&record.name)) {
            self.memory.pardon(&record.name, &record.id);
        }
        let grace = grace::of_pod_that_goes_on(&self.record.pod);
        self.stop_everything(grace).await
    }

    /// Stops what runs, and every sandbox, also those that were stopped before: what else holds on to them the runtime knows best.
    pub(super) async fn stop_everything(&mut self, grace: Duration) -> Result<(), Abandoned> {
        let mut running: Vec<_> = self.observed.running().collect();
        // They stop side by side. The kubelet begins with the newest, but what Go is told last runs first.
        let last = running.len().min(1);
        running.rotate_right(last);
        let victims: Vec<Victim> = (running.into_iter())
            .filter_map(|record| {
                let container = self.container(&record.name)?.clone();
                Some(Victim { container, id: record.id.clone() })
            })
            .collect();
        let sandboxes: Vec<SandboxId> =
            self.observed.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        self.unsure.everything = true;
        let killer = self.killer();
        let survivors = self.meanwhile(killer.stop_all(&victims, grace)).await;
        let mut problems: Vec<String> =
            survivors.iter().map(|(name, error)| kill_problem(KILL_CONTAINER, name, error)).collect();
        // Whatever became of the containers: what the runtime could not stop alone may end with its sandbox.
        let mut of_sandboxes = None;
        for sandbox in &sandboxes {
            if let Err(error) = self.stop_sandbox(sandbox).await {
                of_sandboxes = Some(kill_problem(KILL_SANDBOX, self.uid().as_str(), &error));
            }
        }
        problems.extend(of_sandboxes);
        self.killed_or_abandoned(problems)?;
        self.stopped.extend(sandboxes);
        Ok(())
    }

    fn killer(&self) -> Killer {
        Killer {
            context: Arc::clone(&self.context),
            pod: Arc::clone(&self.record.pod),
            full_name: self.full_name.clone(),
            pod_ip: self.pod_ips().first().copied(),
        }
    }
}

fn failed_probe(container: &Container, why: KillReason) -> Option<&Probe> {
    match why {
        KillReason::Liveness => container.liveness_probe.as_ref(),
        KillReason::Startup => container.startup_probe.as_ref(),
        KillReason::DefinitionChanged | KillReason::UnknownState | KillReason::BeforeRemoval => None,
    }
}

/// A kill that failed, in the words of the kubelet's `PodSyncResult`.
fn kill_problem(action: &str, target: &str, error: &CriError) -> String {
    let (target, words) = (quoted(target), quoted(&error.rpc_text()));
    format!("failed to \"{action}\" for {target} with {action}Error: {words}")
}

/// The words of the kubelet's `Killing` event. It says of regular containers that run that they come again, and of no others.
fn kill_message(name: &str, why: KillReason, init: bool) -> String {
    let (subject, outlook) = if init { ("Init container", "") } else { ("Container", ", will be restarted") };
    match why {
        KillReason::Liveness => format!("{subject} {name} failed liveness probe{outlook}"),
        KillReason::Startup => format!("{subject} {name} failed startup probe{outlook}"),
        KillReason::DefinitionChanged => format!("{subject} {name} definition changed{outlook}"),
        KillReason::UnknownState => {
            format!("{subject} is in \"unknown\" state, try killing it before restart")
        }
        KillReason::BeforeRemoval => {
            "Container is in unknown state, try killing it before removal".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_regular_containers_that_run_is_it_said_that_they_come_again() {
        for (why, init, expected) in [
            (KillReason::Liveness, false, "Container c failed liveness probe, will be restarted"),
            (KillReason::Startup, false, "Container c failed startup probe, will be restarted"),
            (KillReason::DefinitionChanged, false, "Container c definition changed, will be restarted"),
            (
                KillReason::UnknownState,
                false,
                "Container is in \"unknown\" state, try killing it before restart",
            ),
            (KillReason::BeforeRemoval, true, "Container is in unknown state, try killing it before removal"),
            (KillReason::Liveness, true, "Init container c failed liveness probe"),
            (KillReason::Startup, true, "Init container c failed startup probe"),
            (KillReason::DefinitionChanged, true, "Init container c definition changed"),
            (
                KillReason::UnknownState,
                true,
                "Init container is in \"unknown\" state, try killing it before restart",
            ),
        ] {
            assert_eq!(kill_message("c", why, init), expected);
        }
    }
}
