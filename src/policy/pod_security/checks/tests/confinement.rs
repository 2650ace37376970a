//! Users, profiles and what is seen of the kernel.

use super::*;

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
