//! Host ports of a sandbox.
//!
//! Rule: `MakePortMappings` in the kubelet's `pkg/kubelet/container/helpers.go`: regular containers only, each de-duplicated by
//! itself, host port 0 included (the runtime skips those).

use k8s_openapi::api::core::v1::{ContainerPort, PodSpec};

use crate::cri::proto::{PortMapping, Protocol};

/// The port mappings of the pod's sandbox.
pub(super) fn port_mappings(spec: &PodSpec) -> Vec<PortMapping> {
    let mut mappings = Vec::new();
    for container in &spec.containers {
        let mut seen = Vec::new();
        for port in container.ports.iter().flatten() {
            let key = key(port);
            if !seen.contains(&key) {
                seen.push(key);
                mappings.push(mapping(port));
            }
        }
    }
    mappings
}

fn mapping(port: &ContainerPort) -> PortMapping {
    PortMapping {
        protocol: protocol(port).into(),
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or_default(),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    }
}

fn protocol(port: &ContainerPort) -> Protocol {
    match port.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

fn key(port: &ContainerPort) -> String {
    if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
        return name.to_owned();
    }
    let ip = port.host_ip.as_deref().unwrap_or_default();
    let family = match ip {
        "" => "any",
        _ if ip.contains(':') => "v6",
        _ => "v4",
    };
    let protocol = port.protocol.as_deref().unwrap_or_default();
    format!("{family}-{protocol}-{ip}:{}:{}", port.container_port, port.host_port.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{container, pod_spec};
    use super::*;

    fn ports(json: &str) -> Vec<ContainerPort> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn duplicates_go_within_a_container_and_stay_between_two() {
        let mut a = container("a", "{}");
        a.ports = Some(ports(
            r#"[{"containerPort":80,"hostPort":80,"protocol":"TCP"},
                {"containerPort":80,"hostPort":80,"protocol":"TCP"},
                {"containerPort":80,"hostPort":80,"protocol":"UDP"},
                {"name":"x","containerPort":1,"protocol":"SCTP"},
                {"name":"x","containerPort":2,"protocol":"TCP"},
                {"containerPort":80,"hostPort":80,"protocol":"TCP","hostIP":"192.0.2.1"}]"#,
        ));
        let mut b = container("b", "{}");
        b.ports = Some(ports(r#"[{"containerPort":80,"hostPort":80,"protocol":"TCP"}]"#));
        let mut spec = pod_spec(vec![a.clone(), b]);
        spec.init_containers = Some(vec![a]);
        let made: Vec<_> = port_mappings(&spec)
            .into_iter()
            .map(|m| (m.protocol(), m.container_port, m.host_port, m.host_ip))
            .collect();
        let none = String::new();
        assert_eq!(
            made,
            [
                (Protocol::Tcp, 80, 80, none.clone()),
                (Protocol::Udp, 80, 80, none.clone()),
                (Protocol::Sctp, 1, 0, none.clone()),
                (Protocol::Tcp, 80, 80, "192.0.2.1".to_owned()),
                (Protocol::Tcp, 80, 80, none),
            ]
        );
    }
}
