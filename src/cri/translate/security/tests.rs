use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::super::testing;
use super::*;
use crate::cri::proto::security_profile::ProfileType;

/// A pod whose one container is `c`, with these security contexts.
fn pod_with(pods: &Value, own: &Value) -> Pod {
    let mut container = testing::container("c", "{}");
    container.security_context = serde_json::from_value(own.clone()).unwrap();
    let mut spec = testing::pod_spec(vec![container]);
    spec.security_context = serde_json::from_value(pods.clone()).unwrap();
    testing::pod(spec)
}

fn made(pods: &Value, own: &Value, image: &ImageUser) -> Result<LinuxContainerSecurityContext, String> {
    let pod = pod_with(pods, own);
    let view = PodView::of(&pod).unwrap();
    super::of_container(&view, &view.spec.containers[0], image, None, &Host::for_tests())
        .map_err(|error| error.to_string())
}

fn by_root(pods: &Value, own: &Value) -> LinuxContainerSecurityContext {
    made(pods, own, &ImageUser::of_image(None, "")).unwrap()
}

#[test]
fn a_container_overrides_its_pod() {
    let pods = json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4, 5],
        "seLinuxOptions": {"type": "pod_t", "role": "r", "user": "u"}, "supplementalGroupsPolicy": "Strict"});
    let plain = by_root(&pods, &json!({}));
    assert_eq!((plain.run_as_user, plain.run_as_group), (Some(int64(1)), Some(int64(2))));
    assert_eq!(plain.supplemental_groups, [3, 4, 5]);
    assert_eq!(plain.supplemental_groups_policy(), SupplementalGroupsPolicy::Strict);
    let selinux = plain.selinux_options.unwrap();
    assert_eq!((selinux.r#type.as_str(), selinux.role.as_str(), selinux.user.as_str()), ("pod_t", "r", "u"));
    let over = by_root(&pods, &json!({"runAsUser": 10, "runAsGroup": 0, "seLinuxOptions": {"level": "s0"}}));
    assert_eq!((over.run_as_user, over.run_as_group), (Some(int64(10)), Some(int64(0))));
    let selinux = over.selinux_options.unwrap();
    assert_eq!((selinux.r#type.as_str(), selinux.level.as_str()), ("", "s0"));
}

#[test]
fn without_a_user_the_images_counts() {
    for (uid, username, run_as_user, run_as_username) in
        [(Some(7), "", Some(int64(7)), ""), (None, "", Some(int64(0)), ""), (None, "nobody", None, "nobody")]
    {
        let image = ImageUser::of_image(uid, username);
        let context = made(&json!({}), &json!({}), &image).unwrap();
        assert_eq!((context.run_as_user, context.run_as_username.as_str()), (run_as_user, run_as_username));
        let context = made(&json!({}), &json!({"runAsUser": 5}), &image).unwrap();
        assert_eq!((context.run_as_user, context.run_as_username.as_str()), (Some(int64(5)), ""));
    }
}

#[test]
fn run_as_non_root_is_verified_in_the_kubelets_words() {
    let root = ImageUser::of_image(None, "");
    let named = ImageUser::of_image(None, "nobody");
    let someone = ImageUser::of_image(Some(5), "");
    let id = "(pod: \"p_ns(uid-1)\", container: c)";
    for (own, image, told) in [
        (
            json!({"runAsUser": 0}),
            &someone,
            Some(format!("container's runAsUser breaks non-root policy {id}")),
        ),
        (json!({}), &root, Some(format!("container has runAsNonRoot and image will run as root {id}"))),
        (
            json!({}),
            &named,
            Some(format!(
                "container has runAsNonRoot and image has non-numeric user (nobody), cannot verify user is non-root {id}"
            )),
        ),
        (json!({}), &someone, None),
        (json!({"runAsUser": 1}), &root, None),
        (json!({"runAsNonRoot": false}), &root, None),
    ] {
        assert_eq!(made(&json!({"runAsNonRoot": true}), &own, image).err(), told, "{own}");
    }
}

#[test]
fn what_only_a_container_can_set() {
    let context = by_root(
        &json!({}),
        &json!({"privileged": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}),
    );
    assert!(context.privileged && context.readonly_rootfs && context.no_new_privs);
    let capabilities = context.capabilities.unwrap();
    assert_eq!(
        (capabilities.add_capabilities, capabilities.drop_capabilities),
        (vec!["NET_ADMIN".into()], vec!["ALL".into()])
    );
    let plain = by_root(&json!({}), &json!({"allowPrivilegeEscalation": true}));
    assert!(!plain.no_new_privs && plain.capabilities.is_none());
    assert_eq!(plain.seccomp.unwrap().profile_type(), ProfileType::Unconfined);
    assert_eq!((plain.apparmor, plain.apparmor_profile), (None, String::new()));
}

#[test]
fn proc_is_masked_unless_asked_otherwise() {
    let host = Host { thermal_throttle_cpus: vec![0, 3], ..Host::for_tests() };
    let masked = masked_paths(&host);
    assert_eq!(masked.len(), 14);
    assert_eq!(masked[13], "/sys/devices/system/cpu/cpu3/thermal_throttle");
    let default = by_root(&json!({}), &json!({"procMount": "Default"}));
    assert_eq!((default.masked_paths.len(), default.readonly_paths.len()), (12, 5));
    let unmasked = by_root(&json!({}), &json!({"procMount": "Unmasked"}));
    assert!(unmasked.masked_paths.is_empty() && unmasked.readonly_paths.is_empty());
}

#[test]
fn a_sandbox_is_privileged_if_any_container_is_and_always_confined() {
    let mut pod = pod_with(&json!({"runAsUser": 1, "fsGroup": 3, "supplementalGroups": [4]}), &json!({}));
    let context = super::of_sandbox(&PodView::of(&pod).unwrap(), None).unwrap();
    assert!(!context.privileged);
    assert_eq!(context.seccomp.unwrap().profile_type(), ProfileType::RuntimeDefault);
    assert_eq!((context.run_as_user, context.supplemental_groups), (Some(int64(1)), vec![3, 4]));
    let mut init = testing::container("i", "{}");
    init.security_context = serde_json::from_value(json!({"privileged": true})).unwrap();
    pod.spec.as_mut().unwrap().init_containers = Some(vec![init]);
    assert!(super::of_sandbox(&PodView::of(&pod).unwrap(), None).unwrap().privileged);
}

#[test]
fn a_pod_without_a_context_names_no_namespaces() {
    let context =
        super::of_sandbox(&PodView::of(&pod_with(&Value::Null, &json!({}))).unwrap(), None).unwrap();
    assert_eq!(context.namespace_options, None);
}

#[test]
fn an_unheard_of_policy_is_an_error() {
    let told = made(&json!({"supplementalGroupsPolicy": "Odd"}), &json!({}), &ImageUser::default());
    assert_eq!(told.err().as_deref(), Some("unsupported supplementalGroupsPolicy: Odd"));
}
