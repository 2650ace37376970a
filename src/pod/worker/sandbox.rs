//! Making and removing the pod's sandbox, and what must be there before it: directories, cgroup, volumes.

use std::sync::Arc;

use tracing::{info, warn};

use super::{Abandoned, Worker};
use crate::board::EventKind;
use crate::complaints;
use crate::containerd;
use crate::cri::proto::PodSandboxConfig;
use crate::cri::translate::{self, SandboxPlan};
use crate::cri::{ContainerId, CriError, SandboxId};
use crate::error_chain::error_chain;
use crate::eviction::admission;
use crate::pod::failure::FailureReason;
use crate::pod::plan::Memory as _;

impl Worker {
    pub(super) async fn create_sandbox(&mut self, attempt: u32) -> Result<(), Abandoned> {
        let planned = self.planned_sandbox(attempt);
        if planned.is_ok() {
            // Waiting is no try.
            self.wait_for_network().await?;
        }
        self.memory.note_sandbox_try();
        let made = match planned {
            Ok(plan) => self.make_sandbox(plan, attempt).await,
            Err(abandoned) => Err(abandoned),
        };
        made.map_err(|_| {
            self.memory.note_sandbox_failure();
            Abandoned { again_in: self.memory.sandbox_delay() }
        })
    }

    /// Looks, once, whether the node takes the pod as it is now. What has had a sandbox was taken before.
    fn admit(&mut self, attempt: u32) -> Result<(), Abandoned> {
        if attempt == 0 && !self.admitted {
            let pressure = self.context.pressure.borrow().present();
            if let Some(why) = admission::refusal(&pressure, &self.record.pod, self.qos_class) {
                self.refuse(FailureReason::Evicted, &why);
                return Err(Abandoned::LATER);
            }
        }
        self.admitted = true;
        Ok(())
    }

    /// What is to be asked of the runtime, if the node takes the pod and can make it.
    fn planned_sandbox(&mut self, attempt: u32) -> Result<SandboxPlan, Abandoned> {
        self.admit(attempt)?;
        let mut plan = match self.sandbox_plan(attempt) {
            Ok(plan) => plan,
            Err(error) => {
                if let Some(reason) = FailureReason::of_refusal(error.sandbox_reason()) {
                    self.refuse(reason, &error.to_string());
                } else {
                    let message = format!("Failed to create pod sandbox: {error}");
                    self.complain("FailedCreatePodSandBox", &message);
                }
                return Err(Abandoned::LATER);
            }
        };
        for warning in std::mem::take(&mut plan.warnings) {
            self.complain(warning.reason, &warning.message);
        }
        Ok(plan)
    }

    async fn make_sandbox(&mut self, plan: SandboxPlan, attempt: u32) -> Result<(), Abandoned> {
        self.ensure_cgroup().await?;
        self.ensure_volumes().await?;
        if let Err(error) = std::fs::create_dir_all(self.log_dir()) {
            let message = format!("error making pod log directory {}: {error}", self.log_dir().display());
            self.complain("Failed", &message);
            return Err(Abandoned::LATER);
        }
        if attempt > 0 {
            self.event(
                EventKind::Normal,
                "SandboxChanged",
                "Pod sandbox changed, it will be killed and re-created.",
            );
        }
        Box::pin(self.context.sandbox_image.ensure()).await;
        let context = Arc::clone(&self.context);
        let made = async move { context.cri.run_pod_sandbox(plan.config, &plan.runtime_handler).await };
        match self.unfinished.carry_out(made).await {
            Some(Ok(id)) => {
                info!(sandbox = %id, attempt, "sandbox created");
                self.context.directory.add(id.as_str(), self.uid());
                self.unsure.sandboxes.insert(id);
                self.complaints.clear();
                Ok(())
            }
            None => {
                self.unsure.everything = true;
                Err(Abandoned::LATER)
            }
            Some(Err(error)) => {
                // It may have come to be all the same: the answer was lost, or came too late.
                self.unsure.everything = true;
                self.context.sandbox_image.doubt(error.message()).await;
                let message = format!("Failed to create pod sandbox: {}", error.rpc_text());
                self.event(EventKind::Warning, "FailedCreatePodSandBox", &message);
                warn!(%error, "cannot create the pod's sandbox");
                Err(Abandoned::LATER)
            }
        }
    }

    /// The sandbox's request. It is made anew for every container and must come out the same for one attempt.
    pub(super) fn sandbox_plan(&self, attempt: u32) -> Result<SandboxPlan, translate::TranslateError> {
        self.with_requests(|requests| requests.sandbox(attempt))
    }

    /// The request that made the present sandbox, for what belongs into it.
    pub(super) fn sandbox_config_now(&self) -> Option<PodSandboxConfig> {
        let attempt = self.observed.sandbox()?.attempt;
        self.sandbox_plan(attempt).ok().map(|plan| plan.config)
    }

    /// A pod with its own network waits until the runtime has one to give; pods on the node's network don't.
    pub(super) async fn wait_for_network(&mut self) -> Result<(), Abandoned> {
        if self.record.pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true) {
            return Ok(());
        }
        match self.context.network.unready().await {
            Ok(None) => Ok(()),
            Ok(Some(why)) => {
                self.complain("NetworkNotReady", &format!("network is not ready: {why}"));
                self.awaits_network = true;
                Err(Abandoned { again_in: complaints::AGAIN })
            }
            Err(error) => {
                warn!(%error, "cannot ask the runtime whether its network is ready");
                Err(Abandoned::LATER)
            }
        }
    }

    async fn ensure_cgroup(&mut self) -> Result<(), Abandoned> {
        let made = match translate::pod_cgroup_limits(&self.record.pod, &self.context.host()) {
            Ok(limits) => {
                let made = self.context.cgroups.ensure_pod(&self.cgroup(), &(&limits).into()).await;
                made.map_err(|error| error_chain(&error))
            }
            Err(error) => Err(error.to_string()),
        };
        made.map(drop).map_err(|error| {
            let message = format!("unable to ensure pod container exists: {error}");
            self.complain("FailedCreatePodContainer", &message);
            Abandoned::LATER
        })
    }

    pub(super) async fn remove_sandbox(&mut self, id: &SandboxId) -> Result<(), Abandoned> {
        let stopped = if self.stopped.contains(id) { Ok(()) } else { self.stop_sandbox(id).await };
        let mut removed = match stopped {
            Ok(()) => self.context.cri.remove_pod_sandbox(id).await,
            Err(error) => Err(error),
        };
        if let Err(refusal) = &removed
            && self.clear_the_way(refusal).await
        {
            removed = self.context.cri.remove_pod_sandbox(id).await;
        }
        self.gone_or_abandoned(removed, id.as_str())?;
        self.stopped.remove(id);
        self.observed.sandboxes.retain(|sandbox| sandbox.id != *id);
        Ok(())
    }

    pub(super) async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), CriError> {
        let mut stopped = self.context.cri.stop_pod_sandbox(id).await;
        if let Err(refusal) = &stopped
            && containerd::is_broken_result(refusal)
        {
            match containerd::discard_broken_results(id) {
                Ok(discarded) if discarded.is_empty() => {}
                Ok(discarded) => {
                    warn!(?discarded, "CNI results that a power cut left broken are taken away");
                    stopped = self.context.cri.stop_pod_sandbox(id).await;
                }
                Err(error) => warn!(%error, sandbox = %id, "cannot look for broken CNI results"),
            }
        }
        match stopped {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes dead containers and their logs.
    pub(super) async fn remove_containers(&mut self, ids: &[ContainerId]) -> Result<(), Abandoned> {
        for id in ids {
            self.remove_log(id);
            let mut removed = self.context.cri.remove_container(id).await;
            if let Err(refusal) = &removed
                && self.clear_the_way(refusal).await
            {
                removed = self.context.cri.remove_container(id).await;
            }
            self.gone_or_abandoned(removed, id.as_str())?;
            self.lose(id);
        }
        Ok(())
    }

    /// Whether a removal that was refused may be tried once more, as what stood in its way is gone.
    async fn clear_the_way(&self, refusal: &CriError) -> bool {
        let Some(id) = containerd::left_task(refusal) else { return false };
        warn!(container = id, "containerd has a task that its CRI knows nothing of; it is ended");
        let ended = containerd::delete_task(&self.context.cri, id).await;
        if let Err(status) = &ended {
            warn!(container = id, error = status.message(), "cannot end the task");
        }
        ended.is_ok()
    }

    /// What the runtime doesn't know any more is as good as removed.
    pub(super) fn gone_or_abandoned(
        &mut self,
        done: Result<(), CriError>,
        id: &str,
    ) -> Result<(), Abandoned> {
        match done {
            Err(error) if !error.is_not_found() => {
                warn!(id, %error, "cannot remove it from the runtime");
                self.unsure.everything = true;
                Err(Abandoned::LATER)
            }
            _ => {
                self.context.directory.remove(id);
                Ok(())
            }
        }
    }
}
