//! Stopping: one container, a pod that needs another sandbox, and a pod that ends for good.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Abandoned, Orders, Worker, report, tell};
use crate::board::EventKind;
use crate::cri::{ContainerId, CriError};
use crate::error_chain::error_chain;
use crate::hook::{self, HookTarget};
use crate::pod::context::{News, PodContext};
use crate::pod::grace;
use crate::pod::plan::KillReason;
use crate::pod::record::EndingNote;
use crate::volume;

/// One container that is to be stopped.
struct Victim {
    container: Container,
    id: ContainerId,
}

/// What stopping needs of a pod; shared by containers that stop side by side.
pub(super) struct Killer {
    context: Arc<PodContext>,
    pod: Arc<Pod>,
    full_name: String,
    pod_ip: Option<IpAddr>,
}

impl Killer {
    /// Runs the preStop hook and stops the container, within the grace period. `turn` is what the container waits for in between.
    async fn stop(
        &self,
        victim: &Victim,
        message: &str,
        grace: Duration,
        turn: impl Future<Output = ()>,
    ) -> Result<(), CriError> {
        let name = victim.container.name.as_str();
        report::container_event(&self.context, &self.pod, name, EventKind::Normal, "Killing", message);
        let begun = tokio::time::Instant::now();
        self.pre_stop(victim, grace).await;
        let left = grace.saturating_sub(begun.elapsed());
        // Nobody waits for others beyond its own time.
        let _ = timeout(left, turn).await;
        let left = grace::left(grace, begun.elapsed());
        match self.context.cri.stop_container(&victim.id, left).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn pre_stop(&self, victim: &Victim, grace: Duration) {
        let container = &victim.container;
        let handler = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let Some(handler) = handler.filter(|_| !grace.is_zero()) else { return };
        let target = HookTarget { pod: &self.full_name, container, id: &victim.id, pod_ip: self.pod_ip };
        let problem = match timeout(grace, hook::run(handler, &target, &self.context.cri)).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the hook took longer than the grace period of {grace:?}"),
        };
        warn!(container = container.name, problem, "preStop hook failed");
        let (context, name) = (&self.context, container.name.as_str());
        report::container_event(
            context,
            &self.pod,
            name,
            EventKind::Warning,
            "FailedPreStopHook",
            "PreStopHook failed",
        );
    }

    /// Stops several containers side by side, sidecars last and in reverse.
    async fn stop_all(&self, victims: &[Victim], grace: Duration) -> Result<(), CriError> {
        let order = grace::stop_order(&self.pod);
        let stopping: BTreeSet<&str> = victims.iter().map(|victim| victim.container.name.as_str()).collect();
        let (ended, _) = watch::channel(BTreeSet::<String>::new());
        let stops = victims.iter().map(|victim| {
            let name = victim.container.name.as_str();
            let before =
                order.get(name).into_iter().flatten().filter(|name| stopping.contains(name.as_str()));
            let before: Vec<String> = before.cloned().collect();
            let mut seen = ended.subscribe();
            let ended = &ended;
            async move {
                let turn = async {
                    let _ = seen.wait_for(|ended| before.iter().all(|name| ended.contains(name))).await;
                };
                let stopped = self.stop(victim, &format!("Stopping container {name}"), grace, turn).await;
                ended.send_modify(|ended| {
                    ended.insert(name.to_owned());
                });
                stopped
            }
        });
        join_all(stops).await.into_iter().collect()
    }
}

impl Worker {
    /// Stops a container that will be started again.
    pub(super) async fn kill_container(
        &mut self,
        id: &ContainerId,
        name: &str,
        why: KillReason,
    ) -> Result<(), Abandoned> {
        let Some(container) = self.container(name).cloned() else { return Ok(()) };
        let grace = grace::of_container(&self.record.pod, &container, why);
        let message = kill_message(name, why, self.is_init(name));
        info!(container = name, %id, message, "stopping the container");
        let stopped = self.stop_one(&container, id, &message, grace).await;
        self.unsure.containers.insert(id.clone());
        stopped.map_err(|error| {
            self.event(
                EventKind::Warning,
                "FailedKillPod",
                &format!("error killing pod: {}", error.message()),
            );
            Abandoned::LATER
        })
    }

    pub(super) async fn stop_one(
        &self,
        container: &Container,
        id: &ContainerId,
        message: &str,
        grace: Duration,
    ) -> Result<(), CriError> {
        let victim = Victim { container: container.clone(), id: id.clone() };
        self.killer().stop(&victim, message, grace, std::future::ready(())).await
    }

    /// Stops everything in the pod, so that it can have another sandbox.
    pub(super) async fn kill_for_new_sandbox(&mut self) -> Result<(), Abandoned> {
        let grace = grace::of_pod(&self.record.pod, None);
        self.stop_everything(grace).await
    }

    async fn stop_everything(&mut self, grace: Duration) -> Result<(), Abandoned> {
        let victims: Vec<Victim> = (self.observed.running())
            .filter_map(|record| {
                let container = self.container(&record.name)?.clone();
                Some(Victim { container, id: record.id.clone() })
            })
            .collect();
        let mut stopped = self.killer().stop_all(&victims, grace).await;
        for sandbox in &self.observed.sandboxes {
            if stopped.is_ok() {
                stopped = match self.context.cri.stop_pod_sandbox(&sandbox.id).await {
                    Err(error) if !error.is_not_found() => Err(error),
                    _ => Ok(()),
                };
            }
        }
        self.unsure.everything = true;
        stopped.map_err(|error| {
            warn!(%error, "cannot stop the pod");
            self.event(
                EventKind::Warning,
                "FailedKillPod",
                &format!("error killing pod: {}", error.message()),
            );
            Abandoned::LATER
        })
    }

    /// Ends the pod and everything that it left, trying again for as long as it takes.
    pub(super) async fn end(&mut self, mut orders: watch::Receiver<Orders>) {
        self.note_ending(&orders);
        loop {
            let asked_for = match &*orders.borrow_and_update() {
                Orders::Stop { grace, .. } => *grace,
                Orders::Run => None,
            };
            let grace = grace::of_pod(&self.record.pod, asked_for);
            let ended = tokio::select! {
                ended = self.try_end(grace) => ended,
                // A shorter grace period: what was begun with the longer one is begun anew.
                Ok(()) = orders.changed() => continue,
            };
            match ended {
                Ok(()) => break,
                Err(Abandoned { again_in }) => tokio::select! {
                    () = sleep(again_in) => {}
                    Ok(()) = orders.changed() => {}
                    Some(_) = self.wakes.recv() => {}
                },
            }
        }
        info!("pod is gone");
        self.context.board.remove_pod(&self.namespace(), &self.name());
        tell(&self.context, self.uid(), News::Gone);
    }

    /// Remembers on disk that the pod is to end, so that it does even if the agent ends first.
    fn note_ending(&mut self, orders: &watch::Receiver<Orders>) {
        if self.record.ending.is_some() {
            return;
        }
        let reason = match &*orders.borrow() {
            Orders::Stop { reason, .. } => reason.clone(),
            Orders::Run => String::new(),
        };
        info!(reason, "stopping the pod");
        self.record.ending = Some(EndingNote { reason, at: self.context.clock.wall_seconds() });
        if let Err(error) = self.context.records.write(&self.record) {
            // It ends all the same; only an agent that dies now would have to decide anew.
            warn!(error = error_chain(&error), "cannot note that the pod is to end");
        }
    }

    async fn try_end(&mut self, grace: Duration) -> Result<(), Abandoned> {
        self.unsure.everything = true;
        self.look_or_abandon().await?;
        self.sync_probes();
        self.report();
        if self.observed.running().next().is_some()
            || self
                .observed
                .sandboxes
                .iter()
                .any(|sandbox| sandbox.state == crate::pod::observed::SandboxState::Ready)
        {
            self.stop_everything(grace).await?;
            self.look_or_abandon().await?;
            if let Some(survivor) = self.observed.running().next() {
                let message = format!("error killing pod: container {} still runs", survivor.name);
                self.event(EventKind::Warning, "FailedKillPod", &message);
                return Err(Abandoned::LATER);
            }
        }
        self.sync_probes();
        self.report();
        self.release_node().await?;
        self.forget_runtime().await
    }

    async fn look_or_abandon(&mut self) -> Result<(), Abandoned> {
        self.look().await.map_err(|again_in| Abandoned { again_in })
    }

    /// Gives back what the pod has of the node: volumes, directory, cgroup.
    async fn release_node(&mut self) -> Result<(), Abandoned> {
        let (context, uid, cgroup) = (Arc::clone(&self.context), self.uid().clone(), self.cgroup());
        let released = tokio::task::spawn_blocking(move || {
            volume::tear_down(&context.volumes, uid.as_str()).map_err(|error| error_chain(&error))?;
            context.cgroups.destroy_pod(&cgroup).map_err(|error| error_chain(&error))
        });
        let problem = match released.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(problem)) => problem,
            Err(panic) => panic.to_string(),
        };
        warn!(problem, "cannot clean up after the pod");
        self.event(
            EventKind::Warning,
            "FailedKillPod",
            &format!("error cleaning up after the pod: {problem}"),
        );
        Err(Abandoned::LATER)
    }

    /// Removes the pod's containers, logs and sandboxes, and last of all its record.
    async fn forget_runtime(&mut self) -> Result<(), Abandoned> {
        let containers: Vec<ContainerId> =
            self.observed.containers.iter().map(|record| record.id.clone()).collect();
        self.remove_containers(&containers).await?;
        let sandboxes: Vec<_> = self.observed.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        for id in &sandboxes {
            self.remove_sandbox(id).await?;
        }
        let log_dir = self.log_dir();
        if let Err(error) = std::fs::remove_dir_all(&log_dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(dir = %log_dir.display(), %error, "cannot remove the pod's logs");
        }
        self.context.records.remove(self.uid()).map_err(|error| {
            warn!(error = error_chain(&error), "cannot forget the pod");
            Abandoned::LATER
        })
    }

    fn killer(&self) -> Killer {
        Killer {
            context: Arc::clone(&self.context),
            pod: Arc::clone(&self.record.pod),
            full_name: self.full_name.clone(),
            pod_ip: self.pod_ips().first().copied(),
        }
    }

    fn is_init(&self, name: &str) -> bool {
        let init = self.record.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref());
        init.unwrap_or_default().iter().any(|container| container.name == name)
    }
}

/// The words of the kubelet's `Killing` event.
fn kill_message(name: &str, why: KillReason, init: bool) -> String {
    let subject = if init { "Init container" } else { "Container" };
    match why {
        KillReason::Liveness => format!("{subject} {name} failed liveness probe, will be restarted"),
        KillReason::Startup => format!("{subject} {name} failed startup probe, will be restarted"),
        KillReason::DefinitionChanged => format!("{subject} {name} definition changed, will be restarted"),
        KillReason::UnknownState => {
            format!("{subject} is in \"unknown\" state, try killing it before restart, will be restarted")
        }
    }
}

/// The containers of a pod by name, for those who only have names.
pub(super) fn by_name(pod: &Pod) -> BTreeMap<&str, &Container> {
    let Some(spec) = &pod.spec else { return BTreeMap::new() };
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.map(|container| (container.name.as_str(), container)).collect()
}
