//! Stopping containers: hook, turn and stop signal, within one grace period. The arithmetic is [`grace`]'s.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::events;
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
        events::container_event(&self.context, &self.pod, name, EventKind::Normal, "Killing", message);
        let begun = tokio::time::Instant::now();
        self.pre_stop(victim, grace).await;
        let grace = grace::left(grace, begun.elapsed());
        let begun = tokio::time::Instant::now();
        // Nobody waits for others beyond its own time.
        let _ = timeout(grace, turn).await;
        let grace = grace::left(grace, begun.elapsed()).max(grace::MINIMUM);
        match self.context.cri.stop_container(&victim.id, grace).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Runs the preStop hook for as long as the grace period lasts. One that takes longer goes on by itself, as a kubelet's does, and is
    /// told of when it fails; one whose stop is begun anew is given up.
    async fn pre_stop(&self, victim: &Victim, grace: Duration) {
        let lifecycle = victim.container.lifecycle.as_ref();
        let handler = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.clone());
        let Some(handler) = handler.filter(|_| !grace.is_zero()) else { return };
        let hook = PreStop {
            context: Arc::clone(&self.context),
            pod: Arc::clone(&self.pod),
            full_name: self.full_name.clone(),
            pod_ip: self.pod_ip,
            container: victim.container.clone(),
            id: victim.id.clone(),
            handler,
        };
        let mut running = AbortOnDropHandle::new(tokio::spawn(hook.run()));
        if timeout(grace, &mut running).await.is_err() {
            warn!(
                container = victim.container.name,
                ?grace,
                "the preStop hook takes longer than the grace period"
            );
            drop(running.detach());
        }
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

/// A preStop hook with all that it needs, as it may outlast whoever began it.
struct PreStop {
    context: Arc<PodContext>,
    pod: Arc<Pod>,
    full_name: String,
    pod_ip: Option<IpAddr>,
    container: Container,
    id: ContainerId,
    handler: LifecycleHandler,
}

impl PreStop {
    /// Runs the hook, and tells of it if it fails. An agent that ends gives it up.
    async fn run(self) {
        let Self { context, container, .. } = &self;
        let target = HookTarget { pod: &self.full_name, container, id: &self.id, pod_ip: self.pod_ip };
        let done = tokio::select! {
            () = context.shutdown.cancelled() => return,
            done = hook::run(&self.handler, &target, &context.cri) => done,
        };
        match done {
            Ok(done) => events::hook_event(context, &self.pod, &done),
            Err(error) => {
                let name = container.name.as_str();
                warn!(container = name, %error, "preStop hook failed");
                let (kind, reason) = (EventKind::Warning, "FailedPreStopHook");
                events::container_event(context, &self.pod, name, kind, reason, "PreStopHook failed");
            }
        }
    }
}
