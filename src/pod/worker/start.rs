//! Starting one container: image, create, start, log link, postStart.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use tracing::{info, warn};

use super::memory::Retry;
use super::{Abandoned, Worker, events};
use crate::board::EventKind;
use crate::cri::proto::{ContainerConfig, PodSandboxConfig};
use crate::cri::{ContainerId, SandboxId};
use crate::hook::{self, HookTarget};
use crate::pod::grace;
use crate::pod::status::Waiting;

/// What is said of a request whose answer was lost by a fault of our own.
const LOST: &str = "the agent failed while it asked the runtime";

/// Why a container was not started.
pub(super) struct NotStarted {
    /// As its status shows it.
    pub(super) waiting: Waiting,
    /// When to try again.
    pub(super) retry: Retry,
    /// What is told about it.
    pub(super) events: Vec<(EventKind, &'static str, String)>,
    /// Whether it is told each time.
    pub(super) tell: Tell,
}

/// How often the same failure in a row is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tell {
    /// Each time: something was tried, and failed.
    EachTime,
    /// Once: nothing was tried, as something is still missing.
    Once,
}

impl NotStarted {
    /// A Warning `Failed` says the same.
    fn failed(reason: &str, message: &str, retry: Retry, tell: Tell) -> Self {
        let event = (EventKind::Warning, "Failed", format!("Error: {message}"));
        Self { waiting: waiting(reason, message), retry, events: vec![event], tell }
    }
}

fn waiting(reason: &str, message: &str) -> Waiting {
    Waiting { reason: reason.to_owned(), message: message.to_owned() }
}

impl Worker {
    /// Starts a container. One that can't be started is remembered and doesn't hold up the others.
    pub(super) async fn start_container(&mut self, name: &str) -> Result<(), Abandoned> {
        let Some(container) = self.container(name).cloned() else { return Ok(()) };
        let Some(sandbox) = self.observed.sandbox().map(|sandbox| sandbox.id.clone()) else { return Ok(()) };
        self.ensure_volumes().await?;
        self.memory.note_restart(name);
        match Box::pin(self.try_start(&container, &sandbox)).await {
            Ok(()) => self.memory.note_success(name),
            Err(NotStarted { waiting, retry, events, tell }) => {
                if tell == Tell::EachTime || !self.memory.was_told(name, &waiting) {
                    let Waiting { reason, message } = &waiting;
                    warn!(container = name, reason, message, "container not started");
                    for (kind, reason, message) in events {
                        self.container_event(name, kind, reason, &message);
                    }
                }
                self.memory.note_failure(name, waiting, retry);
            }
        }
        Ok(())
    }

    async fn try_start(&mut self, container: &Container, sandbox: &SandboxId) -> Result<(), NotStarted> {
        let name = container.name.as_str();
        let image = Box::pin(self.ensure_image(container)).await?;
        let volume_images = Box::pin(self.ensure_volume_images(container)).await?;
        let attempt = self.next_attempt(name);
        let (config, sandbox_config) =
            self.container_request(container, &image, &volume_images, attempt).map_err(|message| {
                NotStarted::failed("CreateContainerConfigError", &message, Retry::WhenItMayWork, Tell::Once)
            })?;
        let id = self.create(sandbox, config, sandbox_config).await.map_err(|message| {
            self.unsure.everything = true;
            NotStarted::failed("CreateContainerError", &message, Retry::WhenItMayWork, Tell::EachTime)
        })?;
        self.context.directory.add(id.as_str(), self.uid());
        self.unsure.containers.insert(id.clone());
        self.memory.note_made(name, &id);
        self.container_event(name, EventKind::Normal, "Created", &format!("Created container: {name}"));
        let (context, started) = (Arc::clone(&self.context), id.clone());
        let start = async move { context.cri.start_container(&started).await };
        let problem = match self.unfinished.carry_out(start).await {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error.message().replace(id.as_str(), name)),
            None => Some(LOST.to_owned()),
        };
        if let Some(problem) = problem {
            let retry = Retry::AfterEndOf(id);
            return Err(NotStarted::failed("RunContainerError", &problem, retry, Tell::EachTime));
        }
        info!(container = name, id = %id, attempt, "container started");
        self.container_event(name, EventKind::Normal, "Started", &format!("Started container {name}"));
        self.link_log(name, &id, attempt);
        Box::pin(self.post_start(container, &id)).await
    }

    async fn create(
        &mut self,
        sandbox: &SandboxId,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Result<ContainerId, String> {
        let (context, sandbox) = (Arc::clone(&self.context), sandbox.clone());
        let create = async move { context.cri.create_container(&sandbox, config, sandbox_config).await };
        match self.unfinished.carry_out(create).await {
            Some(answer) => answer.map_err(|error| error.message().to_owned()),
            None => Err(LOST.to_owned()),
        }
    }

    /// The restart count of the instance to come: one more than the newest's, or than the newest log's.
    fn next_attempt(&self, name: &str) -> u32 {
        let newest = self.observed.newest(name).map(|newest| newest.attempt);
        match newest.or_else(|| self.forgotten.as_ref()?.attempt(name)) {
            Some(newest) => newest.saturating_add(1),
            None => attempt_after(file_names(&self.log_dir().join(name))),
        }
    }

    /// `/var/log/containers/…`, where log collectors look.
    fn link_log(&self, name: &str, id: &ContainerId, attempt: u32) {
        let log = self.log_dir().join(name).join(format!("{attempt}.log"));
        if !log.exists() {
            return;
        }
        let link = self.context.container_logs_dir.join(self.link_name(name, id));
        if let Err(error) = std::os::unix::fs::symlink(&log, &link)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            warn!(link = %link.display(), %error, "cannot link the container's log");
        }
    }

    async fn post_start(&mut self, container: &Container, id: &ContainerId) -> Result<(), NotStarted> {
        let handler = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(handler) = handler else { return Ok(()) };
        let pod_ip = self.pod_ips().first().copied();
        let (context, pod) = (Arc::clone(&self.context), self.full_name.clone());
        let target = HookTarget { pod: &pod, container, id, pod_ip };
        let error = match self.meanwhile(hook::run(handler, &target, &context.cri)).await {
            Ok(done) => {
                events::hook_event(&context, &self.record.pod, &done);
                return Ok(());
            }
            Err(error) => error,
        };
        let grace = grace::of_container(&self.record.pod, None);
        self.unsure.containers.insert(id.clone());
        let name = container.name.as_str();
        self.container_event(name, EventKind::Warning, "FailedPostStartHook", "PostStartHook failed");
        if let Err(error) = self.stop_one(container, id, "FailedPostStartHook", grace).await {
            warn!(container = name, %error, "cannot stop the container whose postStart hook failed");
        }
        Err(NotStarted {
            waiting: waiting("PostStartHookError", &error.to_string()),
            retry: Retry::AfterEndOf(id.clone()),
            events: Vec::new(),
            tell: Tell::EachTime,
        })
    }
}

/// One more than the highest number among a container's log files (`<n>.log`, `<n>.log.<rotation>`); 0 if there is none.
fn attempt_after(names: impl IntoIterator<Item = String>) -> u32 {
    let number = |name: String| {
        let (number, rest) = name.split_once('.')?;
        (rest == "log" || rest.starts_with("log.")).then(|| number.parse::<u32>().ok()).flatten()
    };
    names.into_iter().filter_map(number).max().map_or(0, |highest| highest.saturating_add(1))
}

fn file_names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_keep_the_restart_count_when_every_container_is_gone() {
        for (names, expected) in [
            (&[][..], 0),
            (&["0.log"][..], 1),
            (&["2.log", "10.log.20260101-000000.gz", "9.log"][..], 11),
            (&["x.log", "3.txt", "log"][..], 0),
        ] {
            assert_eq!(attempt_after(names.iter().map(|name| (*name).to_owned())), expected, "{names:?}");
        }
    }
}
