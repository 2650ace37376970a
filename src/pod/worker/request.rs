//! What is asked of the runtime for one container: the request, and the files that must be there for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Container;
use tracing::warn;

use super::{Worker, image};
use crate::cri::proto::{ContainerConfig, PodSandboxConfig};
use crate::cri::translate::{self, ContainerInputs, ImageUser, VolumeImage, VolumeMountSource};
use crate::error_chain::error_chain;
use crate::pod::observe::RESTART_DELAY_ANNOTATION;
use crate::volume::{self, SubPathRequest};

impl Worker {
    /// The container's request and that of its sandbox.
    pub(super) fn container_request(
        &self,
        container: &Container,
        image: &image::Ready,
        volume_images: &BTreeMap<String, String>,
        attempt: u32,
    ) -> Result<(ContainerConfig, PodSandboxConfig), String> {
        let (pod, host) = (&self.record.pod, &*self.context.host());
        let name = container.name.as_str();
        let pod_ips = self.pod_ips();
        let volumes = self.mounts.as_ref().map(|mounts| mount_sources(mounts, volume_images));
        let (marks, volumes) = (self.marks(), volumes.unwrap_or_default());
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
            users: self.users(&runtime_handler, host).map_err(|error| error.to_string())?,
            marks: &marks,
        };
        let mut config =
            translate::container_config(pod, container, &inputs, host).map_err(|error| error.to_string())?;
        let delay = self.memory.delay(name);
        if !delay.is_zero() {
            config.annotations.insert(RESTART_DELAY_ANNOTATION.to_owned(), delay.as_millis().to_string());
        }
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
            translate::hosts_file::content(&self.record.pod, pod_ips, &node_hosts, &self.context.host())
                .map_err(|error| error.to_string())?;
        volume::write_hosts_file(&self.context.volumes, self.uid().as_str(), &content)
            .map(Some)
            .map_err(|error| error_chain(&error))
    }
}

/// The volumes as the translation wants them; `images` are what the runtime calls the images among them.
fn mount_sources(
    sources: &BTreeMap<String, volume::MountSource>,
    images: &BTreeMap<String, String>,
) -> BTreeMap<String, VolumeMountSource> {
    sources
        .iter()
        .map(|(name, source)| {
            let source = VolumeMountSource {
                host_path: source.host_path.clone(),
                read_only: source.read_only,
                selinux_relabel: source.selinux_relabel,
                image: source.image.clone().map(|image| VolumeImage {
                    reference: images.get(name).unwrap_or(&image).clone(),
                    user_specified: image,
                }),
            };
            (name.clone(), source)
        })
        .collect()
}
