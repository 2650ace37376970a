//! The node as placement and the API see it: what operators write, laid over what the host is.
//!
//! Pure. The store's Node of this name is laid over `node.yaml`'s: labels and annotations key by key, taints by key and effect, a
//! field of the spec when it is set. Of a status that somebody wrote only the capacity in extended resources counts, for there is no device
//! plugin to tell of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeSpec, NodeStatus, NodeSwapStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::conditions::conditions;
use super::resources::{allocatable, capacity};
use super::well_known;
use super::{HostFacts, NodeName, Pressure, ResourcePolicy, Runtime};

type Resources = BTreeMap<String, Quantity>;

/// Shown as the kubelet's version, which `kubectl get nodes` prints.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"), "+daemonlet");

/// All that makes up the node.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The node's name.
    pub name: &'a NodeName,
    /// The Node of `node.yaml`, if there is one.
    pub file: Option<&'a Node>,
    /// The Node of this name in the store, if there is one.
    pub store: Option<&'a Node>,
    /// What the host is.
    pub facts: &'a HostFacts,
    /// How its resources are divided.
    pub resources: &'a ResourcePolicy,
    /// What is known of the container runtime.
    pub runtime: &'a Runtime,
    /// What the node is short of.
    pub pressure: &'a Pressure,
    /// When the node was first seen.
    pub created: Timestamp,
}

/// The node that all of `inputs` make up.
pub fn effective(inputs: Inputs<'_>) -> Node {
    let Inputs { name, file, store, facts, resources, runtime, pressure, created } = inputs;
    let written = [file, store];
    let mut labels = well_known::labels(name, &facts.arch);
    let mut annotations = BTreeMap::new();
    let mut spec = NodeSpec::default();
    let mut taints = Vec::new();
    let mut extended = BTreeMap::new();
    for node in written.into_iter().flatten() {
        labels.extend(node.metadata.labels.clone().unwrap_or_default());
        annotations.extend(node.metadata.annotations.clone().unwrap_or_default());
        extended.extend(extended_resources(node));
        if let Some(over) = &node.spec {
            lay_over(&mut spec, over);
            unite(&mut taints, over.taints.as_deref().unwrap_or_default());
        }
    }
    let cordon = (spec.unschedulable == Some(true)).then(well_known::unschedulable_taint);
    for taint in cordon.into_iter().chain(pressure.taints()) {
        if !taints.iter().any(|written| is_same(written, &taint)) {
            taints.push(taint);
        }
    }
    spec.taints = (!taints.is_empty()).then_some(taints);
    Node {
        metadata: ObjectMeta {
            creation_timestamp: Some(Time(created)),
            name: Some(name.to_string()),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: Some(NodeStatus {
            capacity: Some(with(capacity(facts, resources), &extended)),
            allocatable: Some(with(allocatable(facts, resources), &extended)),
            addresses: Some(addresses(name, facts)),
            conditions: Some(conditions(runtime, pressure)),
            node_info: Some(node_info(facts, runtime)),
            ..NodeStatus::default()
        }),
    }
}

fn with(mut list: Resources, more: &Resources) -> Resources {
    list.extend(more.iter().map(|(name, amount)| (name.clone(), amount.clone())));
    list
}

/// Resources with a domain of somebody's own, such as `example.com/gpu`.
fn extended_resources(node: &Node) -> Resources {
    let capacity = node.status.as_ref().and_then(|status| status.capacity.clone()).unwrap_or_default();
    let is_extended =
        |name: &String| name.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"));
    capacity.into_iter().filter(|(name, _)| is_extended(name)).collect()
}

fn lay_over(spec: &mut NodeSpec, over: &NodeSpec) {
    fn set<T: Clone>(field: &mut Option<T>, over: Option<&T>) {
        if over.is_some() {
            *field = over.cloned();
        }
    }
    set(&mut spec.unschedulable, over.unschedulable.as_ref());
    set(&mut spec.pod_cidr, over.pod_cidr.as_ref());
    set(&mut spec.pod_cidrs, over.pod_cidrs.as_ref());
    set(&mut spec.provider_id, over.provider_id.as_ref());
}

/// Adds `further` to `taints`; one that is there already (by key and effect) takes the further one's value in its place.
fn unite(taints: &mut Vec<Taint>, further: &[Taint]) {
    for taint in further {
        match taints.iter_mut().find(|earlier| is_same(earlier, taint)) {
            Some(earlier) => earlier.clone_from(taint),
            None => taints.push(taint.clone()),
        }
    }
}

fn is_same(one: &Taint, other: &Taint) -> bool {
    one.key == other.key && one.effect == other.effect
}

fn addresses(name: &NodeName, facts: &HostFacts) -> Vec<NodeAddress> {
    let address = |type_: &str, address: String| NodeAddress { type_: type_.to_owned(), address };
    let internal = facts.addresses.iter().map(|ip| address("InternalIP", ip.to_string()));
    internal.chain([address("Hostname", name.to_string())]).collect()
}

fn node_info(facts: &HostFacts, runtime: &Runtime) -> NodeSystemInfo {
    NodeSystemInfo {
        architecture: facts.arch.clone(),
        boot_id: facts.boot_id.clone(),
        container_runtime_version: runtime.version.clone(),
        kernel_version: facts.kernel_release.clone(),
        kube_proxy_version: String::new(),
        kubelet_version: VERSION.to_owned(),
        machine_id: facts.machine_id.clone(),
        operating_system: "linux".to_owned(),
        os_image: facts.os_image.clone(),
        swap: Some(NodeSwapStatus { capacity: i64::try_from(facts.swap_bytes).ok() }),
        system_uuid: facts.system_uuid.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::node::Readiness;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn written(node: Value) -> Node {
        serde_json::from_value(node).expect("a Node")
    }

    fn merged(file: Option<Value>, store: Option<Value>) -> Value {
        merged_under(file, store, &Pressure::none(Timestamp::UNIX_EPOCH))
    }

    fn merged_under(file: Option<Value>, store: Option<Value>, pressure: &Pressure) -> Value {
        let facts = HostFacts {
            arch: "arm64".to_owned(),
            addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            ..HostFacts::default()
        };
        let runtime = Runtime {
            version: "containerd://1.7.2".to_owned(),
            readiness: Readiness::NotReady { message: "no CNI configuration".to_owned() },
            going_down: false,
            since: at(30),
            started: at(20),
        };
        let resources = ResourcePolicy {
            max_pods: 110,
            system_reserved: crate::node::Reserved::default(),
            kube_reserved: crate::node::Reserved::default(),
            eviction_hard: crate::node::EvictionThresholds::default(),
        };
        let (file, store) = (file.map(written), store.map(written));
        let node = effective(Inputs {
            name: &"edge-1".parse().unwrap(),
            file: file.as_ref(),
            store: store.as_ref(),
            facts: &facts,
            resources: &resources,
            runtime: &runtime,
            pressure,
            created: at(10),
        });
        serde_json::to_value(node).expect("JSON")
    }

    #[test]
    fn a_node_nobody_described_has_its_well_known_labels_addresses_and_conditions() {
        let node = merged(None, None);
        assert_eq!(
            node["metadata"],
            json!({"name": "edge-1", "creationTimestamp": "1970-01-01T00:00:10Z", "labels": {
                "kubernetes.io/hostname": "edge-1",
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "arm64",
                "beta.kubernetes.io/os": "linux",
                "beta.kubernetes.io/arch": "arm64",
            }})
        );
        assert_eq!(node["spec"], json!({}));
        assert_eq!(
            node["status"]["addresses"],
            json!([
                {"type": "InternalIP", "address": "192.0.2.7"},
                {"type": "InternalIP", "address": "2001:db8::7"},
                {"type": "Hostname", "address": "edge-1"},
            ])
        );
        let ready = &node["status"]["conditions"][3];
        assert_eq!(
            (&ready["type"], &ready["status"], &ready["message"]),
            (&json!("Ready"), &json!("False"), &json!("no CNI configuration"))
        );
        let conditions = node["status"]["conditions"].as_array().expect("conditions");
        let times: Vec<_> =
            conditions.iter().map(|it| (&it["lastTransitionTime"], &it["lastHeartbeatTime"])).collect();
        let [epoch, started, since] =
            [0, 20, 30].map(|second| json!(format!("1970-01-01T00:00:{second:02}Z")));
        let calm = (&epoch, &started);
        assert_eq!(
            times,
            [calm, calm, calm, (&since, &since)],
            "told when the agent began, and at each change"
        );
        assert_eq!(node["status"]["nodeInfo"]["containerRuntimeVersion"], "containerd://1.7.2");
    }

    #[test]
    fn the_store_is_laid_over_the_file_key_by_key() {
        let file = json!({
            "metadata": {"labels": {"disk": "hdd", "rack": "a"}, "annotations": {"a": "file"}},
            "spec": {
                "unschedulable": true,
                "podCIDR": "10.1.0.0/24",
                "taints": [
                    {"key": "k", "value": "file", "effect": "NoSchedule"},
                    {"key": "k", "value": "file", "effect": "NoExecute"},
                ],
            },
        });
        let store = json!({
            "metadata": {"name": "edge-1", "labels": {"disk": "ssd", "kubernetes.io/hostname": "other"}},
            "spec": {"taints": [
                {"key": "k", "value": "store", "effect": "NoSchedule"},
                {"key": "l", "effect": "NoSchedule"},
            ]},
        });
        let node = merged(Some(file), Some(store));
        let labels = &node["metadata"]["labels"];
        assert_eq!((&labels["disk"], &labels["rack"]), (&json!("ssd"), &json!("a")));
        assert_eq!(labels["kubernetes.io/hostname"], "other", "what an operator wrote stands");
        assert_eq!(node["metadata"]["annotations"], json!({"a": "file"}));
        assert_eq!(node["spec"]["podCIDR"], "10.1.0.0/24");
        assert_eq!(
            node["spec"]["taints"],
            json!([
                {"key": "k", "value": "store", "effect": "NoSchedule"},
                {"key": "k", "value": "file", "effect": "NoExecute"},
                {"key": "l", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
            ])
        );
    }

    #[test]
    fn of_a_written_status_only_extended_resources_count() {
        let capacity = json!({"cpu": "999", "example.com/gpu": "2", "kubernetes.io/odd": "1"});
        let node = merged(Some(json!({"metadata": {}, "status": {"capacity": capacity}})), None);
        for list in [&node["status"]["capacity"], &node["status"]["allocatable"]] {
            assert_eq!((&list["cpu"], &list["example.com/gpu"]), (&json!("0"), &json!("2")));
            assert_eq!(list["kubernetes.io/odd"], Value::Null);
        }
    }

    #[test]
    fn pressure_taints_the_node_and_is_among_its_conditions() {
        let mut pressure = Pressure::none(Timestamp::UNIX_EPOCH);
        pressure.become_of(&[crate::node::PressureKind::Disk].into(), Timestamp::UNIX_EPOCH);
        let node = merged_under(None, None, &pressure);
        let taint = json!({"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"});
        assert_eq!(node["spec"]["taints"], json!([taint]));
        let conditions = node["status"]["conditions"].as_array().expect("conditions");
        let told: Vec<_> = conditions.iter().map(|it| (&it["type"], &it["status"])).collect();
        let (yes, no) = (&json!("True"), &json!("False"));
        let kinds = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(|kind| json!(kind));
        assert_eq!(told, [(&kinds[0], no), (&kinds[1], yes), (&kinds[2], no), (&kinds[3], no)]);
    }

    #[test]
    fn the_store_can_undo_the_file_s_cordon() {
        let file = json!({"metadata": {}, "spec": {"unschedulable": true}});
        let store = json!({"metadata": {"name": "edge-1"}, "spec": {"unschedulable": false}});
        assert_eq!(merged(Some(file), Some(store))["spec"], json!({"unschedulable": false}));
    }

    #[test]
    fn a_cordon_s_taint_is_there_once() {
        let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
        let file = json!({"metadata": {}, "spec": {"unschedulable": true, "taints": [taint]}});
        assert_eq!(merged(Some(file), None)["spec"]["taints"], json!([taint]));
    }
}
