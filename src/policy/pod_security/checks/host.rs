//! What of the host a pod reaches without a volume: its namespaces, its ports, and addresses that the kubelet would be made to ask.

use k8s_openapi::api::core::v1::{HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction};

use super::{Subject, Values, containers, plural, quoted, violation};
use crate::policy::pod_security::Violation;

pub(super) fn namespaces(subject: &Subject<'_>) -> Option<Violation> {
    let spec = subject.spec;
    let shared = [
        (spec.host_network, "hostNetwork=true"),
        (spec.host_pid, "hostPID=true"),
        (spec.host_ipc, "hostIPC=true"),
    ];
    let shared: Vec<&str> = shared
        .into_iter()
        .filter(|(is_shared, _)| *is_shared == Some(true))
        .map(|(_, shown)| shown)
        .collect();
    if shared.is_empty() {
        return None;
    }
    violation("host namespaces", shared.join(", "))
}

pub(super) fn ports(subject: &Subject<'_>) -> Option<Violation> {
    let mut found = Vec::new();
    let bad = subject.containers_where(|container| {
        let ports = container.ports.iter().flatten().filter_map(|port| port.host_port);
        let before = found.len();
        found.extend(ports.filter(|port| *port != 0).map(|port| port.to_string()));
        found.len() > before
    });
    if bad.is_empty() {
        return None;
    }
    // As texts: upstream has 10250 before 80.
    found.sort_unstable();
    found.dedup();
    let (uses, ports) = (plural("uses", "use", bad.len()), plural("hostPort", "hostPorts", found.len()));
    violation("hostPort", format!("{} {uses} {ports} {}", containers(&bad), found.join(", ")))
}

pub(super) fn probes_and_hooks(subject: &Subject<'_>) -> Option<Violation> {
    let mut found = Values::new();
    let mut bad = subject.containers_where(|container| {
        let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
        let hooks = container.lifecycle.iter().flat_map(|it| [&it.post_start, &it.pre_stop]);
        let asked = probes.into_iter().flatten().map(asked_by_probe);
        let hosts = asked.chain(hooks.flatten().map(asked_by_hook)).flat_map(hosts);
        hosts.map(|host| found.insert(host)).count() > 0
    });
    if bad.is_empty() {
        return None;
    }
    bad.sort_unstable();
    let uses = plural("uses", "use", bad.len());
    let hosts = plural("probe or lifecycle host", "probe or lifecycle hosts", found.len());
    violation("probe or lifecycle host", format!("{} {uses} {hosts} {}", containers(&bad), quoted(&found)))
}

type Asked<'a> = (Option<&'a HTTPGetAction>, Option<&'a TCPSocketAction>);

fn asked_by_probe(probe: &Probe) -> Asked<'_> {
    (probe.http_get.as_ref(), probe.tcp_socket.as_ref())
}

fn asked_by_hook(hook: &LifecycleHandler) -> Asked<'_> {
    (hook.http_get.as_ref(), hook.tcp_socket.as_ref())
}

fn hosts<'a>((http, tcp): Asked<'a>) -> impl Iterator<Item = &'a str> {
    let hosts = [http.and_then(|it| it.host.as_deref()), tcp.and_then(|it| it.host.as_deref())];
    hosts.into_iter().flatten().filter(|host| !host.is_empty())
}
