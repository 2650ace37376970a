//! One container of a pod as the runtime is asked for it.
//!
//! Rule: `generateContainerConfig` in the kubelet's `pkg/kubelet/kuberuntime/kuberuntime_container.go`. What has to be prepared on
//! the node first (volumes, files, the image) comes in as [`ContainerInputs`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::error::TranslateError;
use super::expansion::expand_words;
use super::host::{Host, UserNamespaceRange};
use super::qos::QosClass;
use super::view::PodView;
use super::{annotations, labels, mounts, resources, security, stop_signal};
use crate::cri::proto::{ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig};

/// What was prepared on the node for one run of a container.
#[derive(Debug, Clone)]
pub struct ContainerInputs<'a> {
    /// How many containers of this name went before in the pod.
    pub attempt: u32,
    /// The image as the runtime resolved it.
    pub image_ref: &'a str,
    /// Whom the image runs as.
    pub image_user: &'a ImageUser,
    /// The environment, as [`super::env::resolve`] made it.
    pub env: &'a [(String, String)],
    /// The pod's volumes by name.
    pub volumes: &'a BTreeMap<String, VolumeMountSource>,
    /// Host paths of prepared sub-paths by the index of their `volumeMounts` entry.
    pub sub_paths: &'a BTreeMap<usize, PathBuf>,
    /// The managed `/etc/hosts`; `None` when the pod has no address yet.
    pub hosts_file: Option<PathBuf>,
    /// The new file for the container's last words; `None` when it could not be made.
    pub termination_log: Option<PathBuf>,
    /// The runtime handler that the sandbox runs with.
    pub runtime_handler: &'a str,
    /// The pod's user IDs, if it has its own.
    pub users: Option<UserNamespaceRange>,
    /// Labels of the agent's own.
    pub marks: &'a BTreeMap<String, String>,
}

/// The user that an image names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Its number, if it names one.
    pub uid: Option<i64>,
    /// Its name, if it names no number.
    pub username: String,
}

impl ImageUser {
    /// What the runtime tells of an image; one that names nobody runs as root.
    pub fn of_image(uid: Option<i64>, username: &str) -> Self {
        match uid {
            Some(uid) => Self { uid: Some(uid), username: String::new() },
            None if username.is_empty() => Self { uid: Some(0), username: String::new() },
            None => Self { uid: None, username: username.to_owned() },
        }
    }
}

/// A volume, ready to be mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeMountSource {
    /// Where it lies on the node; empty for an image volume.
    pub host_path: PathBuf,
    /// Whether the volume itself can't be written, whatever the mount says.
    pub read_only: bool,
    /// Whether the runtime should label it for `SELinux`: the volume is ours to label and this is its first use.
    pub selinux_relabel: bool,
    /// The image, for an image volume.
    pub image: Option<VolumeImage>,
}

/// An image mounted as a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeImage {
    /// The image as the runtime resolved it.
    pub reference: String,
    /// The image as the pod names it.
    pub user_specified: String,
}

/// What `CreateContainer` is asked for.
///
/// # Errors
/// The container can't run as it is described; [`TranslateError::container_reason`] says what it waits with.
pub fn container_config(
    pod: &Pod,
    container: &Container,
    inputs: &ContainerInputs<'_>,
    host: &Host,
) -> Result<ContainerConfig, TranslateError> {
    let class = QosClass::of(pod)?;
    let view = PodView::of(pod)?;
    let words = |words: &Option<Vec<String>>| expand_words(words.as_deref().unwrap_or_default(), inputs.env);
    let security = security::of_container(&view, container, inputs.image_user, inputs.users, host)?;
    let mounts = mounts::mounts(&view, container, inputs, host)?;
    let envs = inputs.env.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() });
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: inputs.attempt }),
        image: Some(ImageSpec {
            image: inputs.image_ref.to_owned(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..ImageSpec::default()
        }),
        command: words(&container.command),
        args: words(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: envs.collect(),
        mounts,
        devices: Vec::new(),
        cdi_devices: Vec::new(),
        labels: labels::of_container(&view, &container.name, inputs.marks),
        annotations: annotations::of_container(&view, container, inputs.attempt),
        log_path: format!("{}/{}.log", container.name, inputs.attempt),
        stdin: container.stdin.unwrap_or_default(),
        stdin_once: container.stdin_once.unwrap_or_default(),
        tty: container.tty.unwrap_or_default(),
        linux: Some(LinuxContainerConfig {
            resources: Some(resources::of_container(view.spec, class, container, host)),
            security_context: Some(security),
        }),
        stop_signal: stop_signal::of_container(container).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_container_is_asked_for_with_its_words_expanded_and_its_run_counted() {
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "c", "image": "tool:1", "command": ["$(BIN)"], "args": ["--on=$(NODE)", "$$(NODE)", "$(NONE)"],
            "workingDir": "$(NODE)", "stdin": true, "stdinOnce": true, "tty": true,
        }))
        .unwrap();
        let pod = testing::pod(testing::pod_spec(vec![container.clone()]));
        let env = [("BIN", "/bin/x"), ("NODE", "node-1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let inputs = ContainerInputs {
            attempt: 3,
            image_ref: "sha256:1",
            image_user: &ImageUser::default(),
            env: &env,
            volumes: &BTreeMap::new(),
            sub_paths: &BTreeMap::new(),
            hosts_file: None,
            termination_log: None,
            runtime_handler: "",
            users: None,
            marks: &BTreeMap::new(),
        };
        let made = container_config(&pod, &container, &inputs, &Host::for_tests()).unwrap();
        assert_eq!(
            (made.command, made.args),
            (vec!["/bin/x".to_owned()], ["--on=node-1", "$(NODE)", "$(NONE)"].map(str::to_owned).into())
        );
        assert_eq!((made.working_dir.as_str(), made.log_path.as_str()), ("$(NODE)", "c/3.log"));
        assert_eq!((made.stdin, made.stdin_once, made.tty, made.mounts.len()), (true, true, true, 0));
        let image = made.image.unwrap();
        assert_eq!((image.image.as_str(), image.user_specified_image.as_str()), ("sha256:1", "tool:1"));
        assert_eq!(made.annotations[annotations::RESTART_COUNT], "3");
        assert_eq!(made.envs.len(), 2);
    }

    #[test]
    fn a_container_that_cannot_be_described_waits_with_a_reason() {
        let mut container = testing::container("c", "{}");
        container.security_context = serde_json::from_str(r#"{"runAsNonRoot":true,"runAsUser":0}"#).ok();
        let pod = testing::pod(testing::pod_spec(vec![container.clone()]));
        let inputs = ContainerInputs {
            attempt: 0,
            image_ref: "",
            image_user: &ImageUser::default(),
            env: &[],
            volumes: &BTreeMap::new(),
            sub_paths: &BTreeMap::new(),
            hosts_file: None,
            termination_log: None,
            runtime_handler: "",
            users: None,
            marks: &BTreeMap::new(),
        };
        let told = container_config(&pod, &container, &inputs, &Host::for_tests()).unwrap_err();
        assert_eq!(told.container_reason().as_str(), "CreateContainerConfigError");
        assert!(!told.container_reason().is_final());
    }
}
