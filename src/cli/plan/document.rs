//! The plan of one DaemonSet: its requests in the order in which the agent would send them, and what stands in their way.
//!
//! Pure: the pod is made as the agent makes it, the requests are [`PodRequests`]', and files are only named.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde_json::{Map, Value, json};

use crate::agent::offline::{FirstPod, NotMade, OfflineNode};
use crate::cri::json::{JsonError, Printer};
use crate::cri::proto::ContainerConfig;
use crate::cri::translate::host::UserNamespaceRange;
use crate::cri::translate::namespaces::can_have_own_users;
use crate::cri::translate::{self, Host, ImageUser, TranslateError};
use crate::image::{ImageName, PullPolicy};
use crate::manifest::Objects;
use crate::placement::Explanation;
use crate::pod::requests::{ContainerRun, NamedFiles, PodRequests, RequestError, runtime_handler};
use crate::volume::{MountSource, PodVolumes, VolumeRoot, planned};

/// Stands for the pod's address, which the runtime's network gives. It is of a block that no host can have.
const POD_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(240, 0, 77, 240));
const POD_IP_SHOWN: &str = "<pod-ip>";
const SANDBOX_ID: &str = "<sandbox-id>";
const IMAGE_ID: &str = "<image-id>";
const TERMINATION_LOG_ID: &str = "<termination-log-id>";
/// Takes the place of an image's user where the pod forbids root and only the image could say who it is.
const SOME_USER: i64 = 65_532;

/// A plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    /// As it is shown.
    pub(super) document: Value,
    /// What keeps the pod or a container from being made, by the field.
    pub(super) problems: Vec<(String, String)>,
    /// What the plan had to assume.
    pub(super) notes: Vec<(String, String)>,
}

/// Plans the first pod that this node would have of the DaemonSet.
pub(super) fn plan(
    daemon_set: &DaemonSet,
    on: &OfflineNode,
    objects: &Objects,
    printer: &Printer,
) -> Result<Planned, JsonError> {
    let explanation = Explanation::of(&on.node, daemon_set);
    let (mut problems, mut notes, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    match on.first_pod(daemon_set, objects) {
        Ok(FirstPod { pod, marks }) => {
            let users = first_users(&pod, &on.host, objects);
            let made = PodRequests { pod: &pod, host: &on.host, objects, marks: &marks, users };
            let mut composer = Composer { made, on, printer, problems: &mut problems, notes: &mut notes };
            requests = composer.requests()?;
        }
        Err(NotMade { field, problem }) => problems.push((field.to_owned(), problem)),
    }
    let shown: Vec<Value> =
        problems.iter().map(|(field, problem)| json!({"field": field, "message": problem})).collect();
    let mut document = json!({
        "daemonSet": explanation.daemon_set,
        "node": explanation.node,
        "placement": {"shouldRun": explanation.should_run, "reasons": explanation.reasons},
        "requests": requests,
    });
    if let Some(document) = document.as_object_mut().filter(|_| !shown.is_empty()) {
        document.insert("problems".to_owned(), shown.into());
    }
    Ok(Planned { document, problems, notes })
}

/// The user IDs of the first pod on the node that asks for its own.
fn first_users(pod: &Pod, host: &Host, objects: &Objects) -> Option<UserNamespaceRange> {
    let handler = runtime_handler(pod, objects).ok()?;
    can_have_own_users(pod, &handler, host).then_some(UserNamespaceRange { host_id: 65_536, length: 65_536 })
}

struct Composer<'a> {
    made: PodRequests<'a>,
    on: &'a OfflineNode,
    printer: &'a Printer,
    problems: &'a mut Vec<(String, String)>,
    notes: &'a mut Vec<(String, String)>,
}

impl Composer<'_> {
    fn requests(&mut self) -> Result<Vec<Value>, JsonError> {
        let mut requests = Vec::new();
        let root = VolumeRoot::of_layout(&self.on.host.root_dir);
        let Some(spec) = self.made.pod.spec.as_ref() else { return Ok(requests) };
        let volumes = self.volumes(&root, spec);
        match self.made.sandbox(0) {
            Ok(sandbox) => {
                for warning in &sandbox.warnings {
                    self.notes.push(("spec.template.spec".to_owned(), warning.message.clone()));
                }
                let mut request = Map::new();
                request.insert("config".to_owned(), self.printer.print(&sandbox.config)?);
                if !sandbox.runtime_handler.is_empty() {
                    request.insert("runtime_handler".to_owned(), sandbox.runtime_handler.into());
                }
                requests.push(json!({ "RunPodSandbox": request }));
            }
            Err(error) => self.problems.push(("spec.template.spec".to_owned(), error.to_string())),
        }
        let pod_ips = translate::pod_ips::pod_ips(self.made.pod, &[POD_IP], &self.on.host.node_ips);
        let init = spec.init_containers.iter().flatten().enumerate().map(|it| ("initContainers", it));
        let main = spec.containers.iter().enumerate().map(|it| ("containers", it));
        for (list, (index, container)) in init.chain(main) {
            let field = format!("spec.template.spec.{list}[{index}]");
            if let Some(pull) = self.pull(&field, container)? {
                requests.push(json!({ "PullImage": pull }));
            }
            let uid = self.made.pod.metadata.uid.as_deref().unwrap_or_default();
            let files = NamedFiles { root: &root, uid, termination_log: TERMINATION_LOG_ID };
            if let Some(config) = self.container(&field, container, &volumes, &pod_ips, &files) {
                let config = self.printer.print(&config)?;
                requests.push(json!({
                    "CreateContainer": {"pod_sandbox_id": SANDBOX_ID, "config": with_pod_ip(config)},
                }));
            }
        }
        Ok(requests)
    }

    fn volumes(&mut self, root: &VolumeRoot, spec: &PodSpec) -> BTreeMap<String, MountSource> {
        let allocatable = &self.on.allocatable;
        let volumes =
            PodVolumes { pod: self.made.pod, objects: self.made.objects, allocatable, memory_limit: None };
        let (sources, errors) = planned(root, &volumes);
        let index = |name: &str| spec.volumes.iter().flatten().position(|volume| volume.name == name);
        for error in errors {
            let field = format!("spec.template.spec.volumes[{}]", index(&error.volume).unwrap_or_default());
            self.problems.push((field, error.event_message()));
        }
        sources
    }

    /// The image to pull; none where the pod says never to.
    fn pull(&mut self, field: &str, container: &Container) -> Result<Option<Value>, JsonError> {
        let written = container.image.as_deref().unwrap_or_default();
        let name = match ImageName::parse(written) {
            Ok(name) => name,
            Err(error) => {
                self.problems.push((format!("{field}.image"), error.to_string()));
                return Ok(None);
            }
        };
        let policy = container.image_pull_policy.as_deref().and_then(|policy| policy.parse().ok());
        if policy.unwrap_or_else(|| PullPolicy::default_for(written)) == PullPolicy::Never {
            return Ok(None);
        }
        Ok(Some(json!({ "image": self.printer.print(&self.made.image(&name))? })))
    }

    fn container(
        &mut self,
        field: &str,
        container: &Container,
        volumes: &BTreeMap<String, MountSource>,
        pod_ips: &[IpAddr],
        files: &NamedFiles<'_>,
    ) -> Option<ContainerConfig> {
        let volume_images = BTreeMap::new();
        let ask = |image_user: ImageUser| {
            let image_user = &image_user;
            let run = ContainerRun {
                container,
                attempt: 0,
                image_ref: IMAGE_ID,
                image_user,
                volumes,
                volume_images: &volume_images,
                pod_ips,
            };
            self.made.container(&run, files)
        };
        let mut asked = ask(ImageUser::of_image(None, ""));
        if matches!(asked, Err(RequestError::Translate(TranslateError::ImageRunsAsRoot { .. }))) {
            asked = ask(ImageUser::of_image(Some(SOME_USER), ""));
            let note = format!(
                "runAsNonRoot: the image's own user is shown as {SOME_USER}; an image that runs as root is refused"
            );
            self.notes.push((format!("{field}.securityContext"), note));
        }
        asked.map_err(|error| self.problems.push((field.to_owned(), error.to_string()))).ok()
    }
}

/// Shows the pod's address as what it is: not known yet.
fn with_pod_ip(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace(&POD_IP.to_string(), POD_IP_SHOWN).into(),
        Value::Array(items) => items.into_iter().map(with_pod_ip).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, with_pod_ip(value))).collect(),
        other => other,
    }
}
