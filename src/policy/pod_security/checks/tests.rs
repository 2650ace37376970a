//! Each check by what it lets pass and what it forbids, in upstream's words.

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
fn a_windows_pod_cannot_set_what_linux_must() {
    for id in ["allowPrivilegeEscalation", "capabilities_restricted", "seccompProfile_restricted"] {
        let windows = pod(json!({"os": {"name": "windows"}}), none(), json!({}));
        let linux = pod(json!({"os": {"name": "linux"}}), none(), json!({}));
        assert_ne!(says(id, 24, &windows), "", "{id}");
        assert_eq!(says(id, 25, &windows), "", "{id}");
        assert_ne!(says(id, 25, &linux), "", "{id}");
    }
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
fn nobody_is_root() {
    let [yes, no] = [true, false].map(|it| json!({"runAsNonRoot": it}));
    let words = |words: &str| format!("runAsNonRoot != true ({words})");
    let must_not = "must not set securityContext.runAsNonRoot=false";
    let rows = vec![
        (yes.clone(), none(), String::new()),
        (json!({}), contexts(yes.clone(), yes.clone(), yes.clone()), String::new()),
        (
            json!({}),
            none(),
            words("pod or containers \"i\", \"a\", \"b\" must set securityContext.runAsNonRoot=true"),
        ),
        (
            json!({}),
            contexts(yes.clone(), json!({}), yes.clone()),
            words("pod or container \"b\" must set securityContext.runAsNonRoot=true"),
        ),
        (no.clone(), contexts(yes.clone(), yes.clone(), yes.clone()), words(&format!("pod {must_not}"))),
        (yes, contexts(json!({}), no.clone(), json!({})), words(&format!("container \"b\" {must_not}"))),
        (
            no.clone(),
            contexts(no.clone(), no, json!({})),
            words(&format!("pod and containers \"a\", \"b\" {must_not}")),
        ),
    ];
    for (of_pod, containers, expected) in rows {
        let with = |host_users: Value| {
            let spec = json!({"securityContext": of_pod, "hostUsers": host_users});
            pod(spec, containers.clone(), json!({}))
        };
        assert_eq!(says("runAsNonRoot", 0, &with(Value::Null)), expected);
        assert_eq!(says("runAsNonRoot", 37, &with(json!(true))), expected);
        assert_eq!(says("runAsNonRoot", 34, &with(json!(false))), expected);
        assert_eq!(says("runAsNonRoot", 35, &with(json!(false))), "");
    }
}

#[test]
fn nobody_is_user_0() {
    let [root, other] = [0, 1000].map(|it| json!({"runAsUser": it}));
    check_contexts(
        "runAsUser",
        vec![
            (22, root.clone(), none(), ""),
            (23, other.clone(), contexts(other.clone(), json!({}), json!({})), ""),
            (
                23,
                root.clone(),
                contexts(other, json!({}), json!({})),
                "runAsUser=0 (pod must not set runAsUser=0)",
            ),
            (
                37,
                root.clone(),
                contexts(root.clone(), json!({}), root.clone()),
                "runAsUser=0 (pod and containers \"i\", \"a\" must not set runAsUser=0)",
            ),
        ],
    );
    let own = pod(json!({"hostUsers": false, "securityContext": root}), none(), json!({}));
    assert_ne!(says("runAsUser", 34, &own), "");
    assert_eq!(says("runAsUser", 35, &own), "");
}

#[test]
fn proc_is_masked() {
    let mount = |kind: &str| json!({"procMount": kind});
    let containers = || contexts(mount("Unmasked"), mount("Default"), mount("Other"));
    let words = "procMount (containers \"i\", \"a\" must not set securityContext.procMount to \"Other\", \"Unmasked\")";
    check_contexts(
        "procMount",
        vec![
            (0, json!({}), contexts(mount("Default"), json!({}), json!({})), ""),
            (37, json!({}), containers(), words),
        ],
    );
    let own = pod(json!({"hostUsers": false}), containers(), json!({}));
    assert_eq!(says("procMount", 34, &own), words);
    assert_eq!(says("procMount", 35, &own), "");
    assert_eq!(says("procMount_restricted", 34, &own), "");
    assert_eq!(says("procMount_restricted", 35, &own), words);
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
fn selinux_has_few_types_and_no_users() {
    let options = |options: Value| json!({"seLinuxOptions": options});
    check_contexts(
        "seLinuxOptions",
        vec![
            (
                0,
                options(json!({"type": "container_t", "level": "s0"})),
                contexts(options(json!({})), json!({}), json!({})),
                "",
            ),
            (31, options(json!({"type": "container_engine_t"})), none(), ""),
            (
                30,
                options(json!({"type": "container_engine_t"})),
                none(),
                "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
            ),
            (
                37,
                options(json!({"role": "r"})),
                contexts(
                    options(json!({"type": "z"})),
                    options(json!({"type": "x", "user": "u"})),
                    json!({}),
                ),
                "seLinuxOptions (pod and containers \"a\", \"b\" set forbidden securityContext.seLinuxOptions: types \"x\", \"z\"; \
                 user may not be set; role may not be set)",
            ),
        ],
    );
}

#[test]
fn app_armor_is_not_turned_off() {
    let kind = |kind: &str| json!({"appArmorProfile": {"type": kind}});
    check_contexts(
        "appArmorProfile",
        vec![
            (0, kind("RuntimeDefault"), contexts(kind("Localhost"), json!({}), json!({})), ""),
            (
                0,
                kind("Unconfined"),
                contexts(kind("Unconfined"), json!({}), json!({})),
                "forbidden AppArmor profile (pod and container \"a\" must not set AppArmor profile type to \"Unconfined\")",
            ),
        ],
    );
    let key = "container.apparmor.security.beta.kubernetes.io/";
    let annotated =
        |a: &str, b: &str| json!({format!("{key}a"): a, format!("{key}b"): b, "other": "unconfined"});
    for allowed in ["", "runtime/default", "localhost/x"] {
        assert_eq!(says("appArmorProfile", 37, &pod(json!({}), none(), annotated(allowed, allowed))), "");
    }
    let context = json!({"securityContext": kind("Unconfined")});
    assert_eq!(
        says("appArmorProfile", 37, &pod(context, none(), annotated("unconfined", "bogus"))),
        format!(
            "forbidden AppArmor profiles (pod and annotations must not set AppArmor profile type to \"Unconfined\", \
             \"{key}a=\"unconfined\"\", \"{key}b=\"bogus\"\")"
        )
    );
}

#[test]
fn seccomp_is_not_turned_off_in_the_baseline() {
    let kind = |kind: &str| json!({"seccompProfile": {"type": kind}});
    check_contexts(
        "seccompProfile_baseline",
        vec![
            (19, json!({}), none(), ""),
            (18, kind("Unconfined"), none(), ""),
            (19, kind("RuntimeDefault"), contexts(kind("Localhost"), json!({}), json!({})), ""),
            (
                19,
                kind("Unconfined"),
                contexts(kind("Bogus"), json!({}), json!({})),
                "seccompProfile (pod and container \"a\" must not set securityContext.seccompProfile.type to \"Bogus\", \"Unconfined\")",
            ),
        ],
    );
    let (of_pod, of_container) =
        ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/a");
    let annotated = |value: &str| {
        let other = "container.seccomp.security.alpha.kubernetes.io/nobody";
        pod(json!({}), none(), json!({of_pod: value, of_container: value, other: "unconfined"}))
    };
    for allowed in ["runtime/default", "docker/default", "localhost/x"] {
        assert_eq!(says("seccompProfile_baseline", 18, &annotated(allowed)), "");
    }
    let expected = format!(
        "seccompProfile (forbidden annotations {of_container}=\"unconfined\", {of_pod}=\"unconfined\")"
    );
    assert_eq!(says("seccompProfile_baseline", 18, &annotated("unconfined")), expected);
    assert_eq!(says("seccompProfile_baseline", 19, &annotated("unconfined")), "");
}

#[test]
fn seccomp_is_asked_for_where_restricted() {
    let kind = |kind: &str| json!({"seccompProfile": {"type": kind}});
    let good = || kind("RuntimeDefault");
    check_contexts(
        "seccompProfile_restricted",
        vec![
            (18, json!({}), none(), ""),
            (19, good(), none(), ""),
            (19, json!({}), contexts(good(), good(), kind("Localhost")), ""),
            (
                19,
                json!({}),
                contexts(good(), json!({}), good()),
                "seccompProfile (pod or container \"b\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
                 \"Localhost\")",
            ),
            (
                37,
                good(),
                contexts(kind("Unconfined"), json!({}), json!({})),
                "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
            ),
        ],
    );
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
