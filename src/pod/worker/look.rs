//! Looking at the runtime: what is known to be unknown is asked for, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use super::Worker;
use crate::cri::{ContainerId, CriError, SandboxId};
use crate::pod::observe;
use crate::pod::observed::{Container, ContainerState, Sandbox, SandboxState};

/// When to look again after the runtime could not be asked. Its return wakes every worker earlier.
const RETRY_LOOK: Duration = Duration::from_secs(10);
/// An event of the runtime may overtake its own status; it has this long to catch up.
const CATCH_UP: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

impl Worker {
    /// Brings [`Worker::observed`] up to date. While the runtime can't be asked nothing may be decided; says when to try again.
    pub(super) async fn look(&mut self) -> Result<(), Duration> {
        let looked =
            if self.unsure.everything { self.look_at_everything().await } else { self.look_at_some().await };
        looked.map_err(|error| {
            self.unsure.everything = true;
            debug!(%error, "cannot look at the runtime; nothing is changed until it answers");
            RETRY_LOOK
        })
    }

    async fn look_at_everything(&mut self) -> Result<(), CriError> {
        let listed = match self.listed.take() {
            Some(listed) => listed,
            None => {
                let labels = BTreeMap::from([("io.kubernetes.pod.uid".to_owned(), self.uid().to_string())]);
                super::Listed {
                    sandboxes: self.context.cri.list_pod_sandboxes(&labels).await?,
                    containers: self.context.cri.list_containers(&labels).await?,
                }
            }
        };
        let mut sandboxes = Vec::new();
        for found in &listed.sandboxes {
            sandboxes.extend(self.ask_sandbox(&found.id.as_str().into()).await?);
        }
        let mut containers = Vec::new();
        for found in &listed.containers {
            let (id, sandbox) = (found.id.as_str().into(), found.pod_sandbox_id.as_str().into());
            // How a container ended never changes.
            let known =
                self.observed.containers.iter().find(|known| known.id == id && known.exit().is_some());
            match known {
                Some(known) => containers.push(known.clone()),
                None => containers.extend(self.ask_container(&id, &sandbox).await?),
            }
        }
        let ids = sandboxes.iter().map(|s| s.id.as_str()).chain(containers.iter().map(|c| c.id.as_str()));
        ids.for_each(|id| self.context.directory.add(id, self.uid()));
        self.observed.sandboxes = sandboxes;
        self.observed.containers = containers;
        self.observed.sort();
        self.unsure = super::Unsure::default();
        Ok(())
    }

    async fn look_at_some(&mut self) -> Result<(), CriError> {
        while let Some(id) = self.unsure.sandboxes.first().cloned() {
            let now = self.ask_sandbox(&id).await?;
            self.observed.sandboxes.retain(|sandbox| sandbox.id != id);
            self.observed.sandboxes.extend(now);
            self.observed.sort();
            self.unsure.sandboxes.remove(&id);
        }
        while let Some(id) = self.unsure.containers.first().cloned() {
            let known = self.observed.containers.iter().find(|container| container.id == id);
            let sandbox = known.map(|container| container.sandbox.clone());
            let Some(sandbox) = sandbox.or_else(|| self.observed.sandbox().map(|sandbox| sandbox.id.clone()))
            else {
                self.unsure.everything = true;
                return Box::pin(self.look_at_everything()).await;
            };
            let now = self.ask_container(&id, &sandbox).await?;
            self.observed.containers.retain(|container| container.id != id);
            self.observed.containers.extend(now);
            self.observed.sort();
            self.unsure.containers.remove(&id);
        }
        self.unsure.ended.clear();
        Ok(())
    }

    /// A sandbox as it is now; `None` if the runtime has none of this id.
    async fn ask_sandbox(&self, id: &SandboxId) -> Result<Option<Sandbox>, CriError> {
        let mut waits = CATCH_UP.iter();
        loop {
            let found = match self.context.cri.pod_sandbox_status(id).await {
                Ok(status) => observe::sandbox(&status),
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            let lags = found.state == SandboxState::Ready && self.unsure.ended.contains(id.as_str());
            match waits.next().filter(|_| lags) {
                Some(wait) => sleep(Duration::from_millis(*wait)).await,
                None => return Ok(Some(found)),
            }
        }
    }

    /// A container as it is now; `None` if the runtime has none of this id.
    async fn ask_container(
        &self,
        id: &ContainerId,
        sandbox: &SandboxId,
    ) -> Result<Option<Container>, CriError> {
        let mut waits = CATCH_UP.iter();
        loop {
            let status = match self.context.cri.container_status(id).await {
                Ok(status) => status,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut found = observe::container(&status, sandbox);
            let lags = found.is_running() && self.unsure.ended.contains(id.as_str());
            if let Some(wait) = waits.next().filter(|_| lags) {
                sleep(Duration::from_millis(*wait)).await;
                continue;
            }
            if let ContainerState::Exited(exit) = &mut found.state {
                let words = super::last_words::of(&status, exit);
                let joint = if exit.message.is_empty() || words.is_empty() { "" } else { ": " };
                exit.message = format!("{}{joint}{words}", exit.message);
            }
            return Ok(Some(found));
        }
    }
}
