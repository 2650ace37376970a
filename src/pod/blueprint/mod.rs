//! A DaemonSet's template made into the Pod that runs on this node.
//!
//! Pure: whoever asks brings the identity. What the API server and its admission plugins give a Pod but not a template is given here.
//! Rules: `CreatePodTemplate` and `ReplaceDaemonSetPodNodeNameNodeAffinity` in Kubernetes' `pkg/controller/daemon/util`,
//! `SetDefaults_Pod` in `pkg/apis/core/v1/defaults.go`, the admission plugins `priority`, `runtimeclass` and `serviceaccount`.

#[cfg(test)]
mod tests;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Container, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PodStatus,
    PodTemplateSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::cri::translate::QosClass;
use crate::cri::translate::pod_resources::default_pod_level_requests;
use crate::placement::add_daemon_tolerations;
use crate::pod::classes::Classes;

/// Tells which revision of the template a pod is made of.
pub const REVISION_HASH_LABEL: &str = "controller-revision-hash";
/// Tells which generation of the template a pod is made of.
pub const TEMPLATE_GENERATION_LABEL: &str = "pod-template-generation";

const SYSTEM_NODE_CRITICAL: (&str, i32) = ("system-node-critical", 2_000_001_000);
const SYSTEM_CLUSTER_CRITICAL: (&str, i32) = ("system-cluster-critical", 2_000_000_000);

/// Everything that makes a template into one pod.
#[derive(Debug, Clone, Copy)]
pub struct Blueprint<'a> {
    /// The owner.
    pub daemon_set: &'a DaemonSet,
    /// The template: the owner's present one, or that of an earlier revision.
    pub template: &'a PodTemplateSpec,
    /// The hash of the template's revision.
    pub revision_hash: &'a str,
    /// The template's generation, where it is known.
    pub template_generation: Option<i64>,
    /// The pod's name.
    pub name: &'a str,
    /// The pod's UID.
    pub uid: &'a str,
    /// The node it runs on.
    pub node_name: &'a str,
    /// What its classes give it.
    pub classes: Classes<'a>,
}

impl Blueprint<'_> {
    /// The pod.
    pub fn pod(&self) -> Pod {
        let mut spec = self.template.spec.clone().unwrap_or_default();
        self.bind(&mut spec);
        self.admit(&mut spec);
        set_defaults(&mut spec);
        let qos_class = QosClass::of_spec(&spec).as_str().to_owned();
        Pod {
            metadata: self.metadata(),
            spec: Some(spec),
            status: Some(PodStatus {
                phase: Some("Pending".to_owned()),
                qos_class: Some(qos_class),
                ..PodStatus::default()
            }),
        }
    }

    fn metadata(&self) -> ObjectMeta {
        let template = self.template.metadata.as_ref();
        let owner = &self.daemon_set.metadata;
        let owner_name = owner.name.clone().unwrap_or_default();
        let mut labels = template.and_then(|template| template.labels.clone()).unwrap_or_default();
        labels.insert(REVISION_HASH_LABEL.to_owned(), self.revision_hash.to_owned());
        if let Some(generation) = self.template_generation {
            labels.insert(TEMPLATE_GENERATION_LABEL.to_owned(), generation.to_string());
        }
        ObjectMeta {
            name: Some(self.name.to_owned()),
            generate_name: Some(format!("{owner_name}-")),
            namespace: owner.namespace.clone(),
            uid: Some(self.uid.to_owned()),
            labels: Some(labels),
            annotations: template.and_then(|template| template.annotations.clone()),
            finalizers: template.and_then(|template| template.finalizers.clone()),
            owner_references: Some(vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "DaemonSet".to_owned(),
                name: owner_name,
                uid: owner.uid.clone().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }

    /// Ties the pod to the node, as the controller and then a scheduler would.
    fn bind(&self, spec: &mut PodSpec) {
        let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
        affinity.required_during_scheduling_ignored_during_execution = Some(only_on(self.node_name));
        let host_network = spec.host_network.unwrap_or_default();
        add_daemon_tolerations(spec.tolerations.get_or_insert_default(), host_network);
        spec.node_name = Some(self.node_name.to_owned());
    }

    /// What the admission plugins of an API server add.
    fn admit(&self, spec: &mut PodSpec) {
        if spec.service_account_name.as_deref().unwrap_or_default().is_empty() {
            spec.service_account_name = Some("default".to_owned());
            spec.service_account = Some("default".to_owned());
        }
        let class = spec.priority_class_name.as_deref().unwrap_or_default();
        spec.priority = Some(system_priority(class).or(self.classes.priority).unwrap_or_default());
        if let Some(policy) = self.classes.preemption_policy {
            spec.preemption_policy = Some(policy.to_owned());
        }
        spec.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".to_owned());
        let overhead = self.classes.runtime.and_then(|class| class.overhead.as_ref());
        if let Some(fixed) = overhead.and_then(|overhead| overhead.pod_fixed.as_ref()) {
            spec.overhead.get_or_insert_with(|| fixed.clone());
        }
    }
}

/// The priority of a class that every cluster has.
pub fn system_priority(class: &str) -> Option<i32> {
    [SYSTEM_NODE_CRITICAL, SYSTEM_CLUSTER_CRITICAL]
        .into_iter()
        .find(|(name, _)| *name == class)
        .map(|(_, value)| value)
}

fn only_on(node: &str) -> NodeSelector {
    NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_expressions: None,
            match_fields: Some(vec![NodeSelectorRequirement {
                key: "metadata.name".to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![node.to_owned()]),
            }]),
        }],
    }
}

/// The defaults that a Pod gets beyond those of a template.
fn set_defaults(spec: &mut PodSpec) {
    spec.enable_service_links.get_or_insert(true);
    let host_network = spec.host_network.unwrap_or_default();
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        request_what_is_limited(container);
        if host_network {
            open_host_ports(container);
        }
    }
    default_pod_level_requests(spec);
}

fn request_what_is_limited(container: &mut Container) {
    let Some(resources) = container.resources.as_mut() else { return };
    for (name, limit) in resources.limits.iter().flatten() {
        resources.requests.get_or_insert_default().entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

fn open_host_ports(container: &mut Container) {
    for port in container.ports.iter_mut().flatten() {
        if port.host_port.unwrap_or_default() == 0 {
            port.host_port = Some(port.container_port);
        }
    }
}
