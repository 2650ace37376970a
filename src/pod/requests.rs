//! What is asked of the runtime for a pod, put together: the sandbox, each image, each container.
//!
//! The worker and `daemonlet plan` both ask here, so what is planned is what is sent. Pure but for [`Files`], through which whoever
//! asks provides the files that a container needs: the worker makes them, a plan only names them. The rules of each field are
//! `cri::translate`'s.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod};
use thiserror::Error;

use super::identity::Incarnation;
use super::{DAEMON_SET_MARK, INCARNATION_MARK, MARK, REVISION_MARK};
use crate::cri::proto::{ContainerConfig, ImageSpec};
use crate::cri::translate::host::UserNamespaceRange;
use crate::cri::translate::{
    self, ContainerInputs, Host, ImageUser, SandboxInputs, SandboxPlan, TranslateError, VolumeImage,
    VolumeMountSource,
};
use crate::image::ImageName;
use crate::manifest::{DaemonSetKey, Objects};
use crate::rollout::RevisionHash;
use crate::volume::{MountSource, SubPathRequest, VolumeRoot, planned_termination_log, sub_path_place};

/// A pod of which requests are made.
#[derive(Debug, Clone, Copy)]
pub struct PodRequests<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The node it runs on.
    pub host: &'a Host,
    /// Where ConfigMaps, Secrets and the RuntimeClass are found.
    pub objects: &'a Objects,
    /// Labels of the agent's own, as [`marks`] gives them.
    pub marks: &'a BTreeMap<String, String>,
    /// The pod's own user IDs, if it is to have some and the runtime can map them.
    pub users: Option<UserNamespaceRange>,
}

/// One run of a container.
#[derive(Debug, Clone, Copy)]
pub struct ContainerRun<'a> {
    /// The container.
    pub container: &'a Container,
    /// How many of this name went before.
    pub attempt: u32,
    /// What the runtime calls the image.
    pub image_ref: &'a str,
    /// Whom the image runs as.
    pub image_user: &'a ImageUser,
    /// The pod's volumes by name.
    pub volumes: &'a BTreeMap<String, MountSource>,
    /// What the runtime calls the images among the volumes, by the volume's name.
    pub volume_images: &'a BTreeMap<String, String>,
    /// The pod's addresses, as [`translate::pod_ips::pod_ips`] gives them.
    pub pod_ips: &'a [IpAddr],
}

/// The files on the node that a container's request names. They are asked for in the order of these methods, each before every start.
pub trait Files {
    /// Sees to the directory of the container's logs.
    ///
    /// # Errors
    /// It can't be made.
    fn log_dir(&self, container: &str) -> Result<(), String>;
    /// The place where a subPath is bound.
    ///
    /// # Errors
    /// It can't be bound.
    fn sub_path(&self, request: &SubPathRequest<'_>) -> Result<PathBuf, String>;
    /// The pod's managed hosts file.
    ///
    /// # Errors
    /// It can't be written.
    fn hosts_file(&self, pod_ips: &[IpAddr]) -> Result<PathBuf, String>;
    /// A new file for the container's last words; `None` where it can't be made, without which it starts all the same.
    fn termination_log(&self, container: &str) -> Option<PathBuf>;
}

/// Files by their place alone, none of which is made: for a plan.
#[derive(Debug, Clone, Copy)]
pub struct NamedFiles<'a> {
    /// Where pods' directories lie.
    pub root: &'a VolumeRoot,
    /// The pod's UID.
    pub uid: &'a str,
    /// The last part of a termination log's path, which is another one for each start.
    pub termination_log: &'a str,
}

impl Files for NamedFiles<'_> {
    fn log_dir(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn sub_path(&self, request: &SubPathRequest<'_>) -> Result<PathBuf, String> {
        sub_path_place(self.root, request).map_err(|error| error.to_string())
    }

    fn hosts_file(&self, _: &[IpAddr]) -> Result<PathBuf, String> {
        let dir = self.root.pod_dir(self.uid).map_err(|error| error.to_string())?;
        Ok(dir.join("etc-hosts"))
    }

    fn termination_log(&self, container: &str) -> Option<PathBuf> {
        planned_termination_log(self.root, self.uid, container, self.termination_log).ok()
    }
}

/// Why a container's request can't be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The pod and the node don't allow it.
    #[error(transparent)]
    Translate(#[from] TranslateError),
    /// One of its files can't be made.
    #[error("{0}")]
    Files(String),
}

impl PodRequests<'_> {
    /// `RunPodSandbox`. It is made anew for every container and comes out the same for one attempt.
    ///
    /// # Errors
    /// The pod can't run as it is described.
    pub fn sandbox(&self, attempt: u32) -> Result<SandboxPlan, TranslateError> {
        let runtime_handler = &runtime_handler(self.pod, self.objects)?;
        let inputs = SandboxInputs { attempt, runtime_handler, users: self.users, marks: self.marks };
        translate::sandbox_config(self.pod, &inputs, self.host)
    }

    /// The image that `PullImage` is asked for.
    pub fn image(&self, name: &ImageName) -> ImageSpec {
        image_spec(self.pod, name)
    }

    /// `CreateContainer`.
    ///
    /// # Errors
    /// The container can't run as it is described, or something it names is missing.
    pub fn container(
        &self,
        run: &ContainerRun<'_>,
        files: &impl Files,
    ) -> Result<ContainerConfig, RequestError> {
        let ContainerRun { container, attempt, image_ref, image_user, volumes, volume_images, pod_ips } =
            *run;
        let runtime_handler = &runtime_handler(self.pod, self.objects)?;
        let env = translate::env::resolve(self.pod, container, self.objects, pod_ips, self.host)?;
        files.log_dir(&container.name).map_err(RequestError::Files)?;
        let sub_paths = self.sub_paths(run, &env, files)?;
        let hosts_file = translate::hosts_file::is_due(self.pod, pod_ips).then(|| files.hosts_file(pod_ips));
        let hosts_file = hosts_file.transpose().map_err(RequestError::Files)?;
        let termination_log = match container.termination_message_path.as_deref() {
            None | Some("") => None,
            Some(_) => files.termination_log(&container.name),
        };
        let inputs = ContainerInputs {
            attempt,
            image_ref,
            image_user,
            env: &env,
            volumes: &mount_sources(volumes, volume_images),
            sub_paths: &sub_paths,
            hosts_file,
            termination_log,
            runtime_handler,
            users: self.users,
            marks: self.marks,
        };
        Ok(translate::container_config(self.pod, container, &inputs, self.host)?)
    }

    /// Binds every subPath of the container anew: what the path means now.
    fn sub_paths(
        &self,
        run: &ContainerRun<'_>,
        env: &[(String, String)],
        files: &impl Files,
    ) -> Result<BTreeMap<usize, PathBuf>, RequestError> {
        let mut bound = BTreeMap::new();
        let container = run.container;
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let Some(sub_path) = translate::mounts::sub_path(mount, env)? else { continue };
            let Some(source) = run.volumes.get(&mount.name).filter(|source| source.image.is_none()) else {
                continue;
            };
            let request = SubPathRequest {
                uid: self.pod.metadata.uid.as_deref().unwrap_or_default(),
                container: &container.name,
                index,
                volume: &mount.name,
                source,
                sub_path: &sub_path,
            };
            bound.insert(index, files.sub_path(&request).map_err(RequestError::Files)?);
        }
        Ok(bound)
    }
}

/// An image of the pod, as `PullImage` is asked for it.
pub fn image_spec(pod: &Pod, name: &ImageName) -> ImageSpec {
    ImageSpec {
        image: name.with_default_tag(),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        ..ImageSpec::default()
    }
}

/// The handler of the pod's `RuntimeClass`; empty for the runtime's default.
pub fn runtime_handler(pod: &Pod, objects: &Objects) -> Result<String, TranslateError> {
    match pod.spec.as_ref() {
        Some(spec) => translate::runtime_class::runtime_handler(spec, objects),
        None => Ok(String::new()),
    }
}

/// Our mark on everything that the runtime keeps for us.
pub fn marks(
    node_name: &str,
    daemon_set: &DaemonSetKey,
    revision: &RevisionHash,
    incarnation: Incarnation,
) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MARK.to_owned(), node_name.to_owned()),
        (DAEMON_SET_MARK.to_owned(), daemon_set.name.clone()),
        (REVISION_MARK.to_owned(), revision.to_string()),
        (INCARNATION_MARK.to_owned(), incarnation.0.to_string()),
    ])
}

fn mount_sources(
    sources: &BTreeMap<String, MountSource>,
    images: &BTreeMap<String, String>,
) -> BTreeMap<String, VolumeMountSource> {
    let translated = sources.iter().map(|(name, source)| {
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
    });
    translated.collect()
}
