//! Stopping containers: hook, turn and stop signal, within one grace period. The arithmetic is [`grace`]'s.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use super::report;
use crate::board::EventKind;
use crate::cri::{ContainerId, CriError};
use crate::hook::{self, HookTarget};
use crate::pod::context::PodContext;
use crate::pod::grace;

/// One container that is to be stopped.
pub(super) struct Victim {
    pub(super) container: Container,
    pub(super) id: ContainerId,
}

/// What stopping needs of a pod; shared by containers that stop side by side.
pub(super) struct Killer {
    pub(super) context: Arc<PodContext>,
    pub(super) pod: Arc<Pod>,
    pub(super) full_name: String,
    pub(super) pod_ip: Option<IpAddr>,
}

impl Killer {
    /// Runs the preStop hook and stops the container, within the grace period. `turn` is what the container waits for in between.
    pub(super) async fn stop(
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

    /// Stops several containers side by side, sidecars last and in reverse. Answers with those that could not be stopped.
    pub(super) async fn stop_all<'v>(
        &self,
        victims: &'v [Victim],
        grace: Duration,
    ) -> Vec<(&'v str, CriError)> {
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
                match stopped {
                    Ok(()) => {
                        ended.send_modify(|ended| {
                            ended.insert(name.to_owned());
                        });
                        None
                    }
                    Err(error) => Some((name, error)),
                }
            }
        });
        join_all(stops).await.into_iter().flatten().collect()
    }
}
