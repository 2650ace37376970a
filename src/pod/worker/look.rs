//! Looking at the runtime: what is known to be unknown is asked for, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use super::Worker;
use super::handle::Happened;
use crate::cri::translate::labels;
use crate::cri::{ContainerId, CriError, SandboxId};
use crate::pod::observe;
use crate::pod::observed::{Container, ContainerState, Observed, Sandbox, SandboxState};
use crate::pod::plan::Spare;

/// When to look again after the runtime could not be asked. Its return wakes every worker earlier.
const RETRY_LOOK: Duration = Duration::from_secs(10);
/// An event of the runtime may overtake its own status; it has this long to catch up, in milliseconds.
const CATCH_UP: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/// A runtime that takes longer is asked again after this long, and no more often than that.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASK_AGAIN_TIMES: u8 = 60;

/// What is known not to be known.
#[derive(Debug, Default)]
pub(super) struct Unsure {
    /// Everything: the runtime must be asked for a list.
    pub(super) everything: bool,
    pub(super) containers: BTreeSet<ContainerId>,
    pub(super) sandboxes: BTreeSet<SandboxId>,
    /// Those that an event says have ended: the status may lag behind the event.
    ended: BTreeSet<String>,
    /// How often in a row a status lagged for longer than is waited for.
    lags: u8,
}

impl Unsure {
    pub(super) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Takes note of an event. When a container has ended its sandbox is looked at too: it may have died with it, and then the container
    /// must not be started in it again.
    pub(super) fn of(&mut self, observed: &Observed, id: String, happened: Happened) {
        if observed.sandboxes.iter().any(|sandbox| sandbox.id.as_str() == id) {
            self.sandboxes.insert(id.as_str().into());
        } else {
            let known = observed.containers.iter().find(|container| container.id.as_str() == id);
            if let Some(container) = known.filter(|_| happened == Happened::Ended) {
                if container.exit().is_some() {
                    return;
                }
                self.sandboxes.insert(container.sandbox.clone());
            }
            self.containers.insert(id.as_str().into());
        }
        if happened == Happened::Ended {
            self.ended.insert(id);
        }
    }

    /// When to look again at what lags behind its event.
    pub(super) fn look_again_after(&self) -> Option<Duration> {
        (!self.ended.is_empty()).then_some(ASK_AGAIN)
    }

    /// All is known, but for what still lags.
    fn settle(&mut self, lagging: BTreeSet<String>) {
        let lags = if lagging.is_empty() { 0 } else { self.lags.saturating_add(1) };
        *self = Self::default();
        if lags < ASK_AGAIN_TIMES {
            (self.ended, self.lags) = (lagging, lags);
        }
    }
}

impl Worker {
    /// Turns what was heard into what must be looked at.
    pub(super) fn take_inbox(&mut self) {
        let heard = self.inbox.take();
        if heard.look_again {
            self.unsure.everything = true;
        }
        if heard.drop_dead {
            self.spare = Spare::Dropped;
        }
        if heard.images_came {
            self.look_for_images();
        }
        for (id, happened) in heard.ids {
            self.unsure.of(&self.observed, id, happened);
        }
    }

    /// Brings [`Worker::observed`] up to date. While the runtime can't be asked nothing may be decided; says when to try again.
    pub(super) async fn look(&mut self) -> Result<(), Duration> {
        let before: BTreeSet<String> = self.ids().map(str::to_owned).collect();
        let looked =
            if self.unsure.everything { self.look_at_everything().await } else { self.look_at_some().await };
        looked.map_err(|error| {
            self.unsure.everything = true;
            debug!(%error, "cannot look at the runtime; nothing is changed until it answers");
            RETRY_LOOK
        })?;
        self.forget_vanished();
        let now: BTreeSet<&str> = self.ids().collect();
        let directory = &self.context.directory;
        before.iter().filter(|id| !now.contains(id.as_str())).for_each(|id| directory.remove(id));
        now.iter().filter(|id| !before.contains(**id)).for_each(|id| directory.add(id, &self.record.uid));
        Ok(())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let sandboxes = self.observed.sandboxes.iter().map(|sandbox| sandbox.id.as_str());
        sandboxes.chain(self.observed.containers.iter().map(|container| container.id.as_str()))
    }

    async fn look_at_everything(&mut self) -> Result<(), CriError> {
        let listed = if let Some(listed) = self.listed.take() {
            listed
        } else {
            let labels = BTreeMap::from([(labels::POD_UID.to_owned(), self.uid().to_string())]);
            super::Listed {
                sandboxes: self.context.cri.list_pod_sandboxes(&labels).await?,
                containers: self.context.cri.list_containers(&labels).await?,
            }
        };
        let mut lagging = BTreeSet::new();
        let mut observed = Observed::default();
        for found in &listed.sandboxes {
            observed.sandboxes.extend(self.ask_sandbox(&found.id.as_str().into(), &mut lagging).await?);
        }
        for found in &listed.containers {
            let (id, sandbox) = (found.id.as_str().into(), found.pod_sandbox_id.as_str().into());
            // How a container ended never changes.
            let known =
                self.observed.containers.iter().find(|known| known.id == id && known.exit().is_some());
            match known {
                Some(known) => observed.containers.push(known.clone()),
                None => observed.containers.extend(self.ask_container(&id, &sandbox, &mut lagging).await?),
            }
        }
        observed.sort();
        self.replace_observed(observed);
        self.unsure.settle(lagging);
        self.end_unknown().await;
        Ok(())
    }

    async fn look_at_some(&mut self) -> Result<(), CriError> {
        // What lagged behind its event at the last look, unless it is asked for anyway.
        for id in self.unsure.ended.clone() {
            if self.observed.sandboxes.iter().any(|sandbox| sandbox.id.as_str() == id) {
                self.unsure.sandboxes.insert(id.as_str().into());
            } else {
                self.unsure.containers.insert(id.as_str().into());
            }
        }
        let mut lagging = BTreeSet::new();
        while let Some(id) = self.unsure.sandboxes.first().cloned() {
            let now = self.ask_sandbox(&id, &mut lagging).await?;
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
                return self.look_at_everything().await;
            };
            let now = self.ask_container(&id, &sandbox, &mut lagging).await?;
            match now {
                Some(now) => {
                    self.observed.containers.retain(|container| container.id != id);
                    self.observed.containers.push(now);
                    self.observed.sort();
                }
                None => self.lose(&id),
            }
            self.unsure.containers.remove(&id);
        }
        self.unsure.settle(lagging);
        Ok(())
    }

    /// A sandbox as it is now; `None` if the runtime has none of this id.
    async fn ask_sandbox(
        &self,
        id: &SandboxId,
        lagging: &mut BTreeSet<String>,
    ) -> Result<Option<Sandbox>, CriError> {
        let mut waits = CATCH_UP.iter();
        loop {
            let found = match self.context.cri.pod_sandbox_status(id).await {
                Ok(status) => observe::sandbox(&status),
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            if found.state != SandboxState::Ready || !self.unsure.ended.contains(id.as_str()) {
                return Ok(Some(found));
            }
            let Some(wait) = waits.next() else {
                lagging.insert(id.to_string());
                return Ok(Some(found));
            };
            sleep(Duration::from_millis(*wait)).await;
        }
    }

    /// A container as it is now; `None` if the runtime has none of this id.
    async fn ask_container(
        &self,
        id: &ContainerId,
        sandbox: &SandboxId,
        lagging: &mut BTreeSet<String>,
    ) -> Result<Option<Container>, CriError> {
        let mut waits = CATCH_UP.iter();
        loop {
            let status = match self.context.cri.container_status(id).await {
                Ok(status) => status,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut found = observe::container(&status, sandbox, &self.context.boot);
            if found.is_running() && self.unsure.ended.contains(id.as_str()) {
                if let Some(wait) = waits.next() {
                    sleep(Duration::from_millis(*wait)).await;
                    continue;
                }
                lagging.insert(id.to_string());
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
