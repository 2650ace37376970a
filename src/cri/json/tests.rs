//! How each kind of field prints.

use serde_json::json;

use super::*;
use crate::cri::proto::{
    ContainerConfig, ExecSyncResponse, HugepageLimit, Int64Value, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, Mount,
    MountPropagation, NamespaceMode, NamespaceOption, PodSandboxConfig, PortMapping, Protocol,
    SecurityProfile, security_profile::ProfileType,
};

fn print<M: Message + Name>(message: &M) -> Value {
    Printer::new().unwrap().print(message).unwrap()
}

#[test]
fn an_empty_message_is_an_empty_object() {
    assert_eq!(print(&PodSandboxConfig::default()), json!({}));
}

#[test]
fn defaults_are_left_out_and_empty_messages_stay() {
    let context = LinuxSandboxSecurityContext {
        run_as_user: Some(Int64Value { value: 0 }),
        seccomp: Some(SecurityProfile::default()),
        namespace_options: Some(NamespaceOption {
            network: NamespaceMode::Node.into(),
            pid: NamespaceMode::Container.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        print(&context),
        json!({"run_as_user": {}, "seccomp": {}, "namespace_options": {"network": "NODE", "pid": "CONTAINER"}})
    );
}

#[test]
fn long_integers_are_strings_and_short_ones_numbers() {
    let resources = LinuxContainerResources {
        cpu_period: 100_000,
        oom_score_adj: -997,
        hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit: u64::MAX }],
        ..Default::default()
    };
    assert_eq!(
        print(&resources),
        json!({"cpu_period": "100000", "oom_score_adj": "-997",
               "hugepage_limits": [{"page_size": "2MB", "limit": "18446744073709551615"}]})
    );
    let ports = PortMapping {
        container_port: 80,
        host_port: -1,
        protocol: Protocol::Udp.into(),
        ..Default::default()
    };
    assert_eq!(print(&ports), json!({"container_port": 80, "host_port": -1, "protocol": "UDP"}));
}

#[test]
fn field_names_are_the_protos_own() {
    let config = ContainerConfig {
        cdi_devices: vec![crate::cri::proto::CdiDevice { name: "vendor.com/gpu=0".into() }],
        mounts: vec![Mount {
            container_path: "/x".into(),
            propagation: MountPropagation::PropagationBidirectional.into(),
            uid_mappings: vec![crate::cri::proto::IdMapping { host_id: 1, container_id: 0, length: 7 }],
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(
        print(&config),
        json!({"CDI_devices": [{"name": "vendor.com/gpu=0"}],
               "mounts": [{"container_path": "/x", "propagation": "PROPAGATION_BIDIRECTIONAL",
                           "uidMappings": [{"host_id": 1, "length": 7}]}]})
    );
}

#[test]
fn maps_are_objects_and_keep_empty_keys_and_values() {
    let config = PodSandboxConfig {
        labels: [("app", "x"), ("empty", ""), ("", "nameless")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        ..Default::default()
    };
    assert_eq!(print(&config), json!({"labels": {"": "nameless", "app": "x", "empty": ""}}));
}

#[test]
fn lists_keep_their_order_and_default_elements() {
    let config = ContainerConfig {
        args: vec!["b".into(), String::new(), "a".into()],
        envs: vec![KeyValue { key: "K".into(), value: String::new() }],
        linux: Some(LinuxContainerConfig {
            security_context: Some(LinuxContainerSecurityContext {
                supplemental_groups: vec![5, 0, -1],
                seccomp: Some(SecurityProfile {
                    profile_type: ProfileType::Localhost.into(),
                    localhost_ref: "/p".into(),
                }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        print(&config),
        json!({"args": ["b", "", "a"], "envs": [{"key": "K"}],
               "linux": {"security_context": {"supplemental_groups": ["5", "0", "-1"],
                                              "seccomp": {"profile_type": "Localhost", "localhost_ref": "/p"}}}})
    );
}

#[test]
fn bytes_are_base64_and_unknown_enum_numbers_stay_numbers() {
    let answer = ExecSyncResponse { stdout: b"\xff\x00".to_vec(), exit_code: 3, ..Default::default() };
    assert_eq!(print(&answer), json!({"stdout": "/wA=", "exit_code": 3}));
    assert_eq!(print(&PortMapping { protocol: 9, ..Default::default() }), json!({"protocol": 9}));
}
