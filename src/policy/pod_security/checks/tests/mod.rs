//! Each check by what it lets pass and what it forbids, in upstream's words.

mod confinement;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde_json::{Value, json};

use super::*;

/// A pod with containers `a` and `b` and an init container `i`, each with the fields of its place in `containers` (`a`, `b`, `i`).
fn pod(spec: Value, [a, b, i]: [Value; 3], annotations: Value) -> Pod {
    let named = |name: &str, fields: Value| {
        let mut container = json!({"name": name});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        container
    };
    let mut whole = json!({"containers": [named("a", a), named("b", b)], "initContainers": [named("i", i)]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"annotations": annotations}, "spec": whole})).unwrap()
}

/// What the check of this name says of a pod by the policies of a minor version: `reason (detail)`, or nothing.
fn says(id: &str, minor: u64, pod: &Pod) -> String {
    let check = CHECKS.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}"));
    let nothing = PodSpec::default();
    let subject = Subject::new(&pod.metadata, pod.spec.as_ref().unwrap_or(&nothing));
    let found = check.at(minor).and_then(|judge| judge(&subject));
    found.map(|found| format!("{} ({})", found.reason, found.detail)).unwrap_or_default()
}

fn none() -> [Value; 3] {
    [json!({}), json!({}), json!({})]
}

fn contexts(a: Value, b: Value, i: Value) -> [Value; 3] {
    [a, b, i].map(|context| json!({"securityContext": context}))
}

/// The whole pod's security context, and the containers'.
type Row = (u64, Value, [Value; 3], &'static str);

fn check_contexts(id: &str, rows: Vec<Row>) {
    for (minor, of_pod, containers, expected) in rows {
        let shown = format!("{id} v1.{minor} {of_pod} {containers:?}");
        let pod = pod(json!({"securityContext": of_pod}), containers, json!({}));
        assert_eq!(says(id, minor, &pod), expected, "{shown}");
    }
}

#[test]
fn no_container_is_privileged() {
    let [yes, no] = [true, false].map(|it| json!({"privileged": it}));
    check_contexts(
        "privileged",
        vec![
            (37, json!({}), none(), ""),
            (37, json!({}), contexts(no.clone(), json!({}), no.clone()), ""),
            (
                0,
                json!({}),
                contexts(yes.clone(), no, json!({})),
                "privileged (container \"a\" must not set securityContext.privileged=true)",
            ),
            (
                37,
                json!({}),
                contexts(yes.clone(), json!({}), yes),
                "privileged (containers \"i\", \"a\" must not set securityContext.privileged=true)",
            ),
        ],
    );
}

#[test]
fn every_container_renounces_escalation() {
    let [yes, no] = [true, false].map(|it| json!({"allowPrivilegeEscalation": it}));
    let words = "allowPrivilegeEscalation != false (containers \"a\", \"b\" must set securityContext.allowPrivilegeEscalation=false)";
    check_contexts(
        "allowPrivilegeEscalation",
        vec![
            (7, json!({}), none(), ""),
            (8, json!({}), contexts(no.clone(), no.clone(), no.clone()), ""),
            (8, json!({}), contexts(yes, json!({}), no), words),
        ],
    );
}

#[test]
fn baseline_adds_only_default_capabilities() {
    let adding = |names: &[&str]| json!({"capabilities": {"add": names}});
    check_contexts(
        "capabilities_baseline",
        vec![
            (
                0,
                json!({}),
                contexts(adding(&["CHOWN", "KILL", "SYS_CHROOT"]), json!({"capabilities": {}}), json!({})),
                "",
            ),
            (
                0,
                json!({}),
                contexts(adding(&["SYS_ADMIN", "CHOWN", "NET_RAW"]), json!({}), adding(&["NET_RAW"])),
                "non-default capabilities (containers \"i\", \"a\" must not include \"NET_RAW\", \"SYS_ADMIN\" in \
                 securityContext.capabilities.add)",
            ),
            (
                0,
                json!({}),
                contexts(adding(&["ALL"]), json!({}), json!({})),
                "non-default capabilities (container \"a\" must not include \"ALL\" in securityContext.capabilities.add)",
            ),
        ],
    );
}

#[test]
fn restricted_drops_all_capabilities_and_adds_one_at_most() {
    let capabilities = |drop: &[&str], add: &[&str]| json!({"capabilities": {"drop": drop, "add": add}});
    let good = capabilities(&["ALL"], &["NET_BIND_SERVICE"]);
    check_contexts(
        "capabilities_restricted",
        vec![
            (21, json!({}), none(), ""),
            (22, json!({}), contexts(good.clone(), good.clone(), capabilities(&["KILL", "ALL"], &[])), ""),
            (
                22,
                json!({}),
                contexts(capabilities(&["all"], &[]), good.clone(), good.clone()),
                "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"])",
            ),
            (
                22,
                json!({}),
                contexts(capabilities(&["ALL"], &["CHOWN"]), good.clone(), good.clone()),
                "unrestricted capabilities (container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add)",
            ),
            (
                37,
                json!({}),
                contexts(json!({}), capabilities(&[], &["KILL", "CHOWN"]), good),
                "unrestricted capabilities (containers \"a\", \"b\" must set securityContext.capabilities.drop=[\"ALL\"]; \
                 container \"b\" must not include \"CHOWN\", \"KILL\" in securityContext.capabilities.add)",
            ),
        ],
    );
}

#[test]
fn no_process_is_one_of_a_windows_host() {
    let [yes, no] = [true, false].map(|it| json!({"windowsOptions": {"hostProcess": it}}));
    check_contexts(
        "windowsHostProcess",
        vec![
            (0, no.clone(), contexts(no.clone(), json!({}), json!({"windowsOptions": {}})), ""),
            (
                0,
                yes.clone(),
                none(),
                "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
            ),
            (
                0,
                yes.clone(),
                contexts(no, yes, json!({})),
                "hostProcess (pod and container \"b\" must not set securityContext.windowsOptions.hostProcess=true)",
            ),
        ],
    );
}

#[test]
fn sysctls_are_safe_ones_of_their_time() {
    for (minor, name, is_safe) in [
        (0, "kernel.shm_rmid_forced", true),
        (0, "net.ipv4.ip_unprivileged_port_start", true),
        (0, "net.core.somaxconn", false),
        (37, "net.core.somaxconn", false),
        (26, "net.ipv4.ip_local_reserved_ports", false),
        (27, "net.ipv4.ip_local_reserved_ports", true),
        (28, "net.ipv4.tcp_keepalive_time", false),
        (29, "net.ipv4.tcp_keepalive_probes", true),
        (31, "net.ipv4.tcp_rmem", false),
        (32, "net.ipv4.tcp_wmem", true),
        (36, "net.ipv4.tcp_notsent_lowat", false),
        (37, "net.ipv4.tcp_slow_start_after_idle", true),
    ] {
        let sysctls =
            json!([{"name": name, "value": "1"}, {"name": "net.ipv4.tcp_syncookies", "value": "1"}]);
        let pod = pod(json!({"securityContext": {"sysctls": sysctls}}), none(), json!({}));
        let expected = if is_safe { String::new() } else { format!("forbidden sysctls ({name})") };
        assert_eq!(says("sysctls", minor, &pod), expected, "v1.{minor} {name}");
    }
}

#[test]
fn no_namespace_is_the_hosts() {
    let spec =
        |network: bool, pid: bool, ipc: bool| json!({"hostNetwork": network, "hostPID": pid, "hostIPC": ipc});
    for (spec, expected) in [
        (json!({}), ""),
        (spec(false, false, false), ""),
        (spec(true, false, false), "host namespaces (hostNetwork=true)"),
        (spec(true, true, true), "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
    ] {
        assert_eq!(says("hostNamespaces", 37, &pod(spec, none(), json!({}))), expected);
    }
}

#[test]
fn no_port_is_the_hosts() {
    let ports = |ports: &[u16]| {
        let ports: Vec<Value> =
            ports.iter().map(|port| json!({"containerPort": 1, "hostPort": port})).collect();
        json!({"ports": ports})
    };
    for (containers, expected) in [
        ([ports(&[]), ports(&[0]), json!({"ports": [{"containerPort": 80}]})], ""),
        ([ports(&[80]), json!({}), json!({})], "hostPort (container \"a\" uses hostPort 80)"),
        (
            [ports(&[80, 10250]), ports(&[80]), ports(&[0])],
            "hostPort (containers \"a\", \"b\" use hostPorts 10250, 80)",
        ),
    ] {
        assert_eq!(says("hostPorts", 0, &pod(json!({}), containers, json!({}))), expected);
    }
}

#[test]
fn probes_and_hooks_ask_the_pod_alone() {
    let http = |host: &str| json!({"httpGet": {"port": 1, "host": host}});
    let tcp = |host: &str| json!({"tcpSocket": {"port": 1, "host": host}});
    let one = "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")";
    for (minor, containers, expected) in [
        (
            37,
            [
                json!({"livenessProbe": {"httpGet": {"port": 1}}}),
                json!({"readinessProbe": tcp("")}),
                json!({}),
            ],
            "",
        ),
        (33, [json!({"livenessProbe": http("h")}), json!({}), json!({})], ""),
        (34, [json!({"livenessProbe": http("h")}), json!({}), json!({})], one),
        (34, [json!({"readinessProbe": tcp("h")}), json!({}), json!({})], one),
        (34, [json!({"startupProbe": http("h")}), json!({}), json!({})], one),
        (34, [json!({"lifecycle": {"postStart": http("h")}}), json!({}), json!({})], one),
        (34, [json!({"lifecycle": {"preStop": tcp("h")}}), json!({}), json!({})], one),
        (
            37,
            [
                json!({"livenessProbe": http("y"), "readinessProbe": tcp("x")}),
                json!({}),
                json!({"startupProbe": tcp("y")}),
            ],
            "probe or lifecycle host (containers \"a\", \"i\" use probe or lifecycle hosts \"x\", \"y\")",
        ),
    ] {
        let found = says("hostProbesAndHostLifecycle", minor, &pod(json!({}), containers, json!({})));
        assert_eq!(found, expected);
    }
}

#[test]
fn volumes_hold_nothing_of_the_host() {
    let spec = |volumes: Value| pod(json!({ "volumes": volumes }), none(), json!({}));
    let path = json!({"path": "/x"});
    let allowed = spec(json!([{"name": "e", "emptyDir": {}}, {"name": "d"}]));
    assert_eq!(says("hostPathVolumes", 0, &allowed), "");
    let two = spec(
        json!([{"name": "h", "hostPath": path}, {"name": "e", "emptyDir": {}}, {"name": "k", "hostPath": path}]),
    );
    assert_eq!(says("hostPathVolumes", 0, &two), "hostPath volumes (volumes \"h\", \"k\")");
}

#[test]
fn restricted_volumes_are_of_few_kinds() {
    let spec = |volumes: Value| pod(json!({ "volumes": volumes }), none(), json!({}));
    let allowed = json!([
        {"name": "a", "configMap": {}}, {"name": "b", "csi": {"driver": "d"}}, {"name": "c", "downwardAPI": {}},
        {"name": "d", "emptyDir": {}}, {"name": "e", "ephemeral": {}}, {"name": "f", "image": {}},
        {"name": "g", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "h", "projected": {}}, {"name": "i", "secret": {}},
    ]);
    assert_eq!(says("restrictedVolumes", 0, &spec(allowed)), "");
    for (kind, source) in [
        ("hostPath", json!({"path": "/x"})),
        ("gcePersistentDisk", json!({"pdName": "x"})),
        ("awsElasticBlockStore", json!({"volumeID": "x"})),
        ("gitRepo", json!({"repository": "x"})),
        ("nfs", json!({"server": "x", "path": "x"})),
        ("iscsi", json!({"targetPortal": "x", "iqn": "x", "lun": 0})),
        ("glusterfs", json!({"endpoints": "x", "path": "x"})),
        ("rbd", json!({"monitors": [], "image": "x"})),
        ("flexVolume", json!({"driver": "x"})),
        ("cinder", json!({"volumeID": "x"})),
        ("cephfs", json!({"monitors": []})),
        ("flocker", json!({})),
        ("fc", json!({})),
        ("azureFile", json!({"secretName": "x", "shareName": "x"})),
        ("vsphereVolume", json!({"volumePath": "x"})),
        ("quobyte", json!({"registry": "x", "volume": "x"})),
        ("azureDisk", json!({"diskName": "x", "diskURI": "x"})),
        ("photonPersistentDisk", json!({"pdID": "x"})),
        ("portworxVolume", json!({"volumeID": "x"})),
        ("scaleIO", json!({"gateway": "x", "system": "x", "secretRef": {}})),
        ("storageos", json!({})),
    ] {
        let expected =
            format!("restricted volume types (volume \"v\" uses restricted volume type \"{kind}\")");
        assert_eq!(says("restrictedVolumes", 0, &spec(json!([{"name": "v", kind: source}]))), expected);
    }
    assert_eq!(
        says("restrictedVolumes", 0, &spec(json!([{"name": "x"}, {"name": "y", "hostPath": {"path": "/"}}]))),
        "restricted volume types (volumes \"x\", \"y\" use restricted volume types \"hostPath\", \"unknown\")"
    );
}
