//! One of our pods, as the static pod that a kubelet runs in its place.
//!
//! Pure. A static pod may refer to no object of the API: no Secret, ConfigMap, service account, claim or resource claim ("Static Pods cannot refer
//! to other API objects", and `HasAPIObjectReference` in `pkg/api/pod/util.go`, by which newer kubelets refuse such a file). A pod that needs
//! one is refused here, with every field that does: what is left out or written out would be another pod, and a Secret written out would lie in a
//! file that nobody knows to be secret. What only says who a pod belongs to, or where it may run, is left out: it runs here, and is nobody's.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ProjectedVolumeSource, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::manifest::decode::decode;
use crate::manifest::{DaemonSetKey, yaml};
use crate::pod::blueprint::{REVISION_HASH_LABEL, TEMPLATE_GENERATION_LABEL};

/// The annotation by which what we have handed over is found again: the DaemonSet, as `namespace/name`.
pub const HANDED_OVER: &str = "daemonlet.dev/handed-over-from";
/// What our own labels and annotations begin with.
const OURS: &str = "daemonlet.dev/";
/// The service account that admission gives to every pod.
const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// A pod that a kubelet can run, and what is different about it.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticPod {
    /// The manifest. The kubelet adds the node's name to its name.
    pub pod: Pod,
    /// What was left out that somebody may look for.
    pub notes: Vec<String>,
}

/// The static pod that takes the place of `pod`.
///
/// # Errors
/// Each field by which it refers to an object of the API, with what it refers to.
pub fn of(pod: &Pod, daemon_set: &DaemonSetKey) -> Result<StaticPod, Vec<String>> {
    let mut spec = pod.spec.clone().unwrap_or_default();
    let refused = references(&spec);
    if !refused.is_empty() {
        return Err(refused);
    }
    let mut notes = Vec::new();
    let account = spec.service_account_name.take().filter(|name| name != DEFAULT_SERVICE_ACCOUNT);
    if let Some(account) = account {
        notes.push(format!(
            "spec.serviceAccountName: {account:?} is left out: static pods have none, and this pod has no token of it"
        ));
    }
    spec.service_account = None;
    // Decided already: it runs on this node. There, the kubelet would look at the labels that the cluster gives to the node.
    if spec.node_selector.take().is_some() || has_wishes(&spec) {
        notes.push(
            "spec.nodeSelector and spec.affinity are left out: the file is on this node alone".to_owned(),
        );
    }
    spec.affinity = None;
    spec.node_name = None;
    for volume in spec.volumes.iter().flatten().filter(|volume| volume.empty_dir.is_some()) {
        notes.push(format!("volume {:?} begins empty: it is an emptyDir", volume.name));
    }
    if let Some(class) = spec.runtime_class_name.as_deref().filter(|class| !class.is_empty()) {
        notes.push(format!(
            "spec.runtimeClassName: {class:?}: the kubelet asks its API server for it, and makes no sandbox where it has none"
        ));
    }
    let init = spec.init_containers.iter().flatten();
    for container in
        init.chain(&spec.containers).filter(|it| it.image_pull_policy.as_deref() == Some("Always"))
    {
        notes.push(format!(
            "container {:?}: its image is asked of a registry at each start (imagePullPolicy: Always): the kubelet starts it from no archive of this node",
            container.name
        ));
    }
    let mut annotations = without_ours(pod.metadata.annotations.as_ref());
    annotations.insert(HANDED_OVER.to_owned(), daemon_set.to_string());
    let mut labels = without_ours(pod.metadata.labels.as_ref());
    // By these a DaemonSet of a cluster would take it for its own.
    labels.retain(|label, _| label != REVISION_HASH_LABEL && label != TEMPLATE_GENERATION_LABEL);
    let metadata = ObjectMeta {
        name: Some(daemon_set.name.clone()),
        namespace: Some(daemon_set.namespace.clone()),
        labels: Some(labels).filter(|all| !all.is_empty()),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    Ok(StaticPod { pod: Pod { metadata, spec: Some(spec), status: None }, notes })
}

/// The pod of a file that was written; none if somebody has made something else of it.
pub fn read(text: &str) -> Option<Pod> {
    let (documents, _) = yaml::parse(text, 1);
    let (pod, findings) = decode(&documents.first()?.root);
    pod.filter(|_| findings.errors.is_empty())
}

/// The name of the file that a DaemonSet's static pod is written to.
pub fn file_name(daemon_set: &DaemonSetKey) -> String {
    // No part of a name has an underscore, so that no two DaemonSets have one file.
    format!("daemonlet_{}_{}.yaml", daemon_set.namespace, daemon_set.name)
}

/// Whether more than the node's own name says where the pod may run.
fn has_wishes(spec: &PodSpec) -> bool {
    let Some(affinity) = &spec.affinity else { return false };
    let terms = affinity
        .node_affinity
        .as_ref()
        .and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let by_labels = terms.is_some_and(|required| {
        required.node_selector_terms.iter().any(|term| term.match_expressions.is_some())
    });
    by_labels || affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some()
}

fn without_ours(all: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let entries = all.into_iter().flatten().filter(|(key, _)| !key.starts_with(OURS));
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Every field that refers to an object of the API.
fn references(spec: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        of_volume(volume, &format!("spec.volumes[{index}]"), &mut found);
    }
    let groups =
        [("initContainers", spec.init_containers.as_deref()), ("containers", Some(&spec.containers[..]))];
    for (list, containers) in groups {
        for (index, container) in containers.unwrap_or_default().iter().enumerate() {
            of_container(container, &format!("spec.{list}[{index}]"), &mut found);
        }
    }
    for (index, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        found.push(refers(&format!("spec.imagePullSecrets[{index}]"), "Secret", &secret.name));
    }
    for (index, claim) in spec.resource_claims.iter().flatten().enumerate() {
        found.push(refers(&format!("spec.resourceClaims[{index}]"), "ResourceClaim", &claim.name));
    }
    found
}

fn refers(path: &str, kind: &str, name: &str) -> String {
    format!("{path}: refers to {kind} {name:?}, and a static pod cannot refer to objects of the API")
}

fn of_volume(volume: &Volume, path: &str, found: &mut Vec<String>) {
    if let Some(source) = &volume.config_map {
        found.push(refers(&format!("{path}.configMap"), "ConfigMap", &source.name));
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        found.push(refers(&format!("{path}.secret"), "Secret", name));
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        found.push(refers(
            &format!("{path}.persistentVolumeClaim"),
            "PersistentVolumeClaim",
            &claim.claim_name,
        ));
    }
    if let Some(projected) = &volume.projected {
        of_projected(projected, &format!("{path}.projected"), found);
    }
}

fn of_projected(projected: &ProjectedVolumeSource, path: &str, found: &mut Vec<String>) {
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        let path = format!("{path}.sources[{index}]");
        if let Some(source) = &source.config_map {
            found.push(refers(&format!("{path}.configMap"), "ConfigMap", &source.name));
        }
        if let Some(source) = &source.secret {
            found.push(refers(&format!("{path}.secret"), "Secret", &source.name));
        }
        if source.service_account_token.is_some() {
            found.push(refers(&format!("{path}.serviceAccountToken"), "ServiceAccount", ""));
        }
        if let Some(source) = &source.cluster_trust_bundle {
            let name = source.name.as_deref().or(source.signer_name.as_deref()).unwrap_or_default();
            found.push(refers(&format!("{path}.clusterTrustBundle"), "ClusterTrustBundle", name));
        }
    }
}

fn of_container(container: &Container, path: &str, found: &mut Vec<String>) {
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let path = format!("{path}.envFrom[{index}]");
        if let Some(source) = &source.config_map_ref {
            found.push(refers(&format!("{path}.configMapRef"), "ConfigMap", &source.name));
        }
        if let Some(source) = &source.secret_ref {
            found.push(refers(&format!("{path}.secretRef"), "Secret", &source.name));
        }
    }
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let Some(from) = &variable.value_from else { continue };
        let path = format!("{path}.env[{index}].valueFrom");
        if let Some(key) = &from.config_map_key_ref {
            found.push(refers(&format!("{path}.configMapKeyRef"), "ConfigMap", &key.name));
        }
        if let Some(key) = &from.secret_key_ref {
            found.push(refers(&format!("{path}.secretKeyRef"), "Secret", &key.name));
        }
    }
}
