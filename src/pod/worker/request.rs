//! What is asked of the runtime for one container: the request, and the files that must be there for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use tracing::warn;

use super::{Worker, image};
use crate::cri::proto::{ContainerConfig, PodSandboxConfig};
use crate::cri::translate::host::UserNamespaceRange;
use crate::cri::translate::namespaces::can_have_own_users;
use crate::cri::translate::{self, Host, ImageUser, TranslateError};
use crate::error_chain::error_chain;
use crate::manifest::Objects;
use crate::pod::observe::{BOOT_ANNOTATION, RESTART_DELAY_ANNOTATION};
use crate::pod::requests::{ContainerRun, Files, PodRequests, RequestError, runtime_handler};
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
        let none = BTreeMap::new();
        let run = ContainerRun {
            container,
            attempt,
            image_ref: &image.image,
            image_user: &ImageUser::of_image(image.user.uid.map(|uid| uid.value), &image.user.username),
            volumes: self.mounts.as_ref().unwrap_or(&none),
            volume_images,
            pod_ips: &self.pod_ips(),
        };
        let config = self.with_requests(|requests| requests.container(&run, self));
        let mut config = config.map_err(|error: RequestError| error.to_string())?;
        let delay = self.memory.delay(&container.name);
        if !delay.is_zero() {
            config.annotations.insert(RESTART_DELAY_ANNOTATION.to_owned(), delay.as_millis().to_string());
            config.annotations.insert(BOOT_ANNOTATION.to_owned(), self.context.boot.clone());
        }
        let sandbox = self.sandbox_config_now().ok_or("the pod has no sandbox")?;
        Ok((config, sandbox))
    }

    /// Makes requests of the pod for the node and the store as they are now.
    pub(super) fn with_requests<T, E: From<TranslateError>>(
        &self,
        make: impl FnOnce(&PodRequests<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (host, marks) = (self.context.host(), self.marks());
        let (pod, objects) = (&self.record.pod, Arc::clone(&self.objects.borrow()));
        let users = self.users(&host, &objects)?;
        make(&PodRequests { pod, host: &host, objects: &objects, marks: &marks, users })
    }

    /// The pod's own user IDs, if it is to have some and they can be had; the translation refuses what can't.
    fn users(&self, host: &Host, objects: &Objects) -> Result<Option<UserNamespaceRange>, TranslateError> {
        let pod = &self.record.pod;
        if !can_have_own_users(pod, &runtime_handler(pod, objects)?, host) {
            return Ok(None);
        }
        let given = self.context.users.of_pod(self.uid());
        given.map(Some).map_err(|error| TranslateError::UserNamespaceAllocation(error_chain(&error)))
    }
}

impl Files for Worker {
    fn log_dir(&self, container: &str) -> Result<(), String> {
        std::fs::create_dir_all(Worker::log_dir(self).join(container)).map_err(|error| {
            format!("create container log directory for container {container} failed: {error}")
        })
    }

    fn sub_path(&self, request: &SubPathRequest<'_>) -> Result<PathBuf, String> {
        volume::prepare_sub_path(&self.context.volumes, request).map_err(|error| {
            warn!(error = error_chain(&error), "cannot mount the subPath");
            error.to_string()
        })
    }

    /// Writes the managed hosts file, before every start as the kubelet does.
    fn hosts_file(&self, pod_ips: &[IpAddr]) -> Result<PathBuf, String> {
        let node_hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let content =
            translate::hosts_file::content(&self.record.pod, pod_ips, &node_hosts, &self.context.host())
                .map_err(|error| error.to_string())?;
        volume::write_hosts_file(&self.context.volumes, self.uid().as_str(), &content)
            .map_err(|error| error_chain(&error))
    }

    fn termination_log(&self, container: &str) -> Option<PathBuf> {
        volume::termination_log(&self.context.volumes, self.uid().as_str(), container)
            .inspect_err(|error| warn!(error = error_chain(error), "no termination log"))
            .ok()
    }
}
