//! Starting one container: image, request, create, start, log link, postStart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use tracing::{info, warn};

use super::{Abandoned, Worker};
use crate::board::EventKind;
use crate::cri::proto::{ContainerConfig, PodSandboxConfig};
use crate::cri::translate::{self, ContainerInputs, ImageUser, VolumeImage, VolumeMountSource};
use crate::cri::{ContainerId, SandboxId};
use crate::error_chain::error_chain;
use crate::hook::{self, HookTarget};
use crate::pod::status::Waiting;
use crate::volume::{self, SubPathRequest};

/// Why a container was not started, as its status shows it.
struct NotStarted {
    waiting: Waiting,
    again_in: Option<Duration>,
}

impl NotStarted {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { waiting: Waiting { reason: reason.to_owned(), message: message.into() }, again_in: None }
    }
}

impl Worker {
    /// Starts a container. One that can't be started is remembered and doesn't hold up the others.
    pub(super) async fn start_container(&mut self, name: &str) -> Result<(), Abandoned> {
        let Some(container) = self.container(name).cloned() else { return Ok(()) };
        let Some(sandbox) = self.observed.sandbox().map(|sandbox| sandbox.id.clone()) else { return Ok(()) };
        self.memory.note_restart(name);
        self.ensure_volumes().await?;
        match self.try_start(&container, &sandbox).await {
            Ok(()) => self.memory.note_success(name),
            Err(NotStarted { waiting, again_in }) => {
                warn!(
                    container = name,
                    reason = waiting.reason,
                    message = waiting.message,
                    "container not started"
                );
                self.memory.note_failure(name, waiting, again_in);
            }
        }
        Ok(())
    }

    async fn try_start(&mut self, container: &Container, sandbox: &SandboxId) -> Result<(), NotStarted> {
        let name = container.name.as_str();
        let image = match self.ensure_image(container).await {
            Ok(image) => image,
            Err(super::image::NoImage { waiting, again_in }) => {
                let message = format!("Error: {}", waiting.reason);
                self.container_event(name, EventKind::Warning, "Failed", &message);
                return Err(NotStarted { waiting, again_in });
            }
        };
        let attempt = self.next_attempt(name);
        let (config, sandbox_config) = match self.container_request(container, &image, attempt) {
            Ok(configs) => configs,
            Err(message) => {
                self.container_event(name, EventKind::Warning, "Failed", &format!("Error: {message}"));
                return Err(NotStarted::new("CreateContainerConfigError", message));
            }
        };
        let id = match self.context.cri.create_container(sandbox, config, sandbox_config).await {
            Ok(id) => id,
            Err(error) => {
                self.unsure.everything = true;
                self.container_event(
                    name,
                    EventKind::Warning,
                    "Failed",
                    &format!("Error: {}", error.message()),
                );
                return Err(NotStarted::new("CreateContainerError", error.message()));
            }
        };
        self.context.directory.add(id.as_str(), self.uid());
        self.unsure.containers.insert(id.clone());
        self.container_event(name, EventKind::Normal, "Created", &format!("Created container: {name}"));
        if let Err(error) = self.context.cri.start_container(&id).await {
            let words = error.message().replace(id.as_str(), name);
            self.container_event(name, EventKind::Warning, "Failed", &format!("Error: {words}"));
            return Err(NotStarted::new("RunContainerError", words));
        }
        info!(container = name, id = %id, attempt, "container started");
        self.container_event(name, EventKind::Normal, "Started", &format!("Started container {name}"));
        self.link_log(name, &id, attempt);
        self.post_start(container, &id).await
    }

    /// The container's request and that of its sandbox.
    fn container_request(
        &self,
        container: &Container,
        image: &super::image::Ready,
        attempt: u32,
    ) -> Result<(ContainerConfig, PodSandboxConfig), String> {
        let (pod, host) = (&self.record.pod, &self.context.host);
        let name = container.name.as_str();
        let pod_ips = self.pod_ips();
        let (marks, volumes) = (self.marks(), self.mounts.as_ref().map(mount_sources).unwrap_or_default());
        let runtime_handler = self.runtime_handler().map_err(|error| error.to_string())?;
        let env = translate::env::resolve(pod, container, &self.objects.borrow(), &pod_ips, host)
            .map_err(|error| error.to_string())?;
        let log_dir = self.log_dir().join(name);
        std::fs::create_dir_all(&log_dir).map_err(|error| {
            format!("create container log directory for container {name} failed: {error}")
        })?;
        let sub_paths = self.sub_paths(container, &env)?;
        let hosts_file = self.hosts_file(&pod_ips)?;
        let termination_log = match container.termination_message_path.as_deref() {
            None | Some("") => None,
            Some(_) => volume::termination_log(&self.context.volumes, self.uid().as_str(), name)
                .inspect_err(|error| warn!(error = error_chain(error), "no termination log"))
                .ok(),
        };
        let inputs = ContainerInputs {
            attempt,
            image_ref: &image.image,
            image_user: &ImageUser::of_image(image.user.uid.map(|uid| uid.value), &image.user.username),
            env: &env,
            volumes: &volumes,
            sub_paths: &sub_paths,
            hosts_file,
            termination_log,
            runtime_handler: &runtime_handler,
            users: None,
            marks: &marks,
        };
        let config =
            translate::container_config(pod, container, &inputs, host).map_err(|error| error.to_string())?;
        let sandbox = self.sandbox_config_now().ok_or("the pod has no sandbox")?;
        Ok((config, sandbox))
    }

    /// Binds every subPath of the container anew: what the path means now.
    fn sub_paths(
        &self,
        container: &Container,
        env: &[(String, String)],
    ) -> Result<BTreeMap<usize, PathBuf>, String> {
        let mut bound = BTreeMap::new();
        let none = BTreeMap::new();
        let sources = self.mounts.as_ref().unwrap_or(&none);
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let Some(sub_path) =
                translate::mounts::sub_path(mount, env).map_err(|error| error.to_string())?
            else {
                continue;
            };
            let Some(source) = sources.get(&mount.name).filter(|source| source.image.is_none()) else {
                continue;
            };
            let request = SubPathRequest {
                uid: self.uid().as_str(),
                container: &container.name,
                index,
                volume: &mount.name,
                source,
                sub_path: &sub_path,
            };
            let place = volume::prepare_sub_path(&self.context.volumes, &request).map_err(|error| {
                warn!(error = error_chain(&error), "cannot mount the subPath");
                error.to_string()
            })?;
            bound.insert(index, place);
        }
        Ok(bound)
    }

    /// Writes the managed hosts file, before every start as the kubelet does.
    fn hosts_file(&self, pod_ips: &[std::net::IpAddr]) -> Result<Option<PathBuf>, String> {
        if !translate::hosts_file::is_due(&self.record.pod, pod_ips) {
            return Ok(None);
        }
        let node_hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let content =
            translate::hosts_file::content(&self.record.pod, pod_ips, &node_hosts, &self.context.host)
                .map_err(|error| error.to_string())?;
        volume::write_hosts_file(&self.context.volumes, self.uid().as_str(), &content)
            .map(Some)
            .map_err(|error| error_chain(&error))
    }

    /// The restart count of the instance to come: one more than the newest's, or than the newest log's.
    fn next_attempt(&self, name: &str) -> u32 {
        match self.observed.newest(name) {
            Some(newest) => newest.attempt + 1,
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
        let target = HookTarget { pod: &self.full_name, container, id, pod_ip };
        let Err(error) = hook::run(handler, &target, &self.context.cri).await else { return Ok(()) };
        self.container_event(
            &container.name,
            EventKind::Warning,
            "FailedPostStartHook",
            "PostStartHook failed",
        );
        let grace = crate::pod::grace::of_container(
            &self.record.pod,
            container,
            crate::pod::plan::KillReason::DefinitionChanged,
        );
        self.stop_one(container, id, "FailedPostStartHook", grace).await.ok();
        self.unsure.containers.insert(id.clone());
        Err(NotStarted::new("PostStartHookError", error.to_string()))
    }
}

fn mount_sources(sources: &BTreeMap<String, volume::MountSource>) -> BTreeMap<String, VolumeMountSource> {
    sources
        .iter()
        .map(|(name, source)| {
            let source = VolumeMountSource {
                host_path: source.host_path.clone(),
                read_only: source.read_only,
                selinux_relabel: source.selinux_relabel,
                image: source
                    .image
                    .clone()
                    .map(|image| VolumeImage { reference: image.clone(), user_specified: image }),
            };
            (name.clone(), source)
        })
        .collect()
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
