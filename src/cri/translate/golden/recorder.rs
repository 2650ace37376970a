//! The machine on which the cases were recorded, and what differs from one recording to the next.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::super::dns::ResolvConf;
use super::super::host::{Allocatable, Cgroups, DnsSettings, Host, KernelVersion, Swap};
use crate::cgroup::{Driver, Version};

pub(super) const POD: &str = "golden-pod-x7k2p";
pub(super) const UID: &str = "0d9b2f4e-7c1a-4f6b-9d3e-5a8c6e2b1f70";
pub(super) const ROOT: &str = "/golden/root";
pub(super) const LOG_ID: &str = "0a1b2c3d";

const MEMORY: i64 = 25_276_510_208;

pub(super) fn host() -> Host {
    let resolv_conf = "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.net lab.example.net\n\
                       options ndots:2 timeout:1\n";
    Host {
        node_name: "node-1".to_owned(),
        node_ips: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        memory_capacity_bytes: MEMORY,
        allocatable: Allocatable { cpu_milli: 2000, memory_bytes: MEMORY, ephemeral_storage_bytes: None },
        hugepage_sizes: vec!["2MB".to_owned(), "1GB".to_owned()],
        cgroups: Cgroups {
            version: Version::V1,
            driver: Driver::Cgroupfs,
            root: vec!["kubepods".to_owned()],
            per_qos: true,
            single_process_oom_kill: true,
        },
        swap: Swap::NoSwap,
        root_dir: PathBuf::from(ROOT),
        dns: DnsSettings {
            cluster_dns: vec![IpAddr::from([10, 96, 0, 10])],
            cluster_domain: "cluster.local".to_owned(),
            resolver: Some(ResolvConf::parse(resolv_conf).unwrap()),
        },
        allowed_unsafe_sysctls: ["net.*", "kernel.msg*", "kernel.sem", "kernel.shm*", "fs.mqueue.*"]
            .map(str::to_owned)
            .into(),
        kernel: KernelVersion(6, 1),
        ..Host::for_tests()
    }
}

/// What a static pod has not: an account, for no admission plugin gives it one.
pub(super) fn as_static_pod(pod: &mut Pod) {
    let spec = pod.spec.as_mut().unwrap();
    spec.service_account_name = None;
    spec.service_account = None;
}

/// The addresses that the pod's containers were told of.
///
/// What the recording runtime gave the pod is known only from a variable that holds it. A pod in the node's network was told
/// none: a kubelet gives it the node's addresses only once it has an API server to report them to.
pub(super) fn pod_ips(expected: &Value, case: &Path) -> Vec<IpAddr> {
    let manifest = fs::read_to_string(case.join("daemonset.yaml")).unwrap();
    if expected["sandbox"]["linux"]["security_context"]["namespace_options"]["network"] == "NODE" {
        return Vec::new();
    }
    if !manifest.contains("status.podIP") {
        return vec![IpAddr::from([10, 1, 0, 1])];
    }
    let containers = expected["containers"].as_object().unwrap().values();
    let variables = containers.flat_map(|container| container["envs"].as_array().into_iter().flatten());
    let values = variables.filter_map(|variable| variable["value"].as_str());
    values.filter_map(|value| value.parse().ok()).filter(|ip: &IpAddr| !ip.is_loopback()).take(1).collect()
}
