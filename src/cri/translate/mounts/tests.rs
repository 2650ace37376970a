use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::container::{ImageUser, VolumeImage, VolumeMountSource};
use super::super::host::{HandlerFeatures, UserNamespaceRange};
use super::super::testing;
use super::*;

fn source(host_path: &str) -> VolumeMountSource {
    VolumeMountSource { host_path: PathBuf::from(host_path), ..VolumeMountSource::default() }
}

struct Case {
    host: Host,
    volumes: BTreeMap<String, VolumeMountSource>,
    sub_paths: BTreeMap<usize, PathBuf>,
    users: Option<UserNamespaceRange>,
}

impl Case {
    fn new() -> Self {
        let config = VolumeMountSource { read_only: true, selinux_relabel: true, ..source("/v/config") };
        let volumes = [("data", source("/v/data")), ("config", config)];
        Self {
            host: Host::for_tests(),
            volumes: volumes.map(|(name, source)| (name.to_owned(), source)).into(),
            sub_paths: BTreeMap::new(),
            users: None,
        }
    }

    fn of(&self, mounts: &Value) -> Result<Vec<Mount>, String> {
        let mut container = testing::container("c", "{}");
        container.termination_message_path = Some("/dev/termination-log".to_owned());
        container.volume_mounts = serde_json::from_value(mounts.clone()).unwrap();
        let mut spec = testing::pod_spec(vec![container.clone()]);
        spec.host_users = self.users.map(|_| false);
        let mut pod = testing::pod(spec);
        pod.metadata.annotations = Some([("note".to_owned(), "x".to_owned())].into());
        let inputs = ContainerInputs {
            attempt: 0,
            image_ref: "",
            image_user: &ImageUser::default(),
            env: &[("SUB".to_owned(), "logs".to_owned())],
            volumes: &self.volumes,
            sub_paths: &self.sub_paths,
            hosts_file: Some(PathBuf::from("/pod/etc-hosts")),
            termination_log: Some(PathBuf::from("/pod/0a1b2c3d")),
            runtime_handler: "",
            users: self.users,
            marks: &BTreeMap::new(),
        };
        super::mounts(&PodView::of(&pod).unwrap(), &container, &inputs, &self.host)
            .map_err(|error| error.to_string())
    }
}

#[test]
fn volumes_come_first_then_hosts_then_the_termination_log() {
    use MountPropagation::{PropagationBidirectional, PropagationHostToContainer, PropagationPrivate};
    let made = Case::new()
        .of(&json!([
            {"name": "data", "mountPath": "relative", "mountPropagation": "Bidirectional"},
            {"name": "config", "mountPath": "/config"},
            {"name": "data", "mountPath": "/ro", "readOnly": true, "mountPropagation": "HostToContainer"},
        ]))
        .unwrap();
    let seen: Vec<_> = made
        .iter()
        .map(|m| {
            (m.container_path.as_str(), m.host_path.as_str(), m.readonly, m.propagation(), m.selinux_relabel)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("/relative", "/v/data", false, PropagationBidirectional, false),
            ("/config", "/v/config", true, PropagationPrivate, false),
            ("/ro", "/v/data", true, PropagationHostToContainer, false),
            ("/etc/hosts", "/pod/etc-hosts", false, PropagationPrivate, false),
            ("/dev/termination-log", "/pod/0a1b2c3d", false, PropagationPrivate, false),
        ]
    );
}

#[test]
fn a_volume_on_etc_hosts_replaces_the_managed_file() {
    let made = Case::new().of(&json!([{"name": "data", "mountPath": "/etc/hosts"}])).unwrap();
    let paths: Vec<_> = made.iter().map(|mount| mount.container_path.as_str()).collect();
    assert_eq!(paths, ["/etc/hosts", "/dev/termination-log"]);
}

#[test]
fn selinux_labels_only_what_is_the_agents_own() {
    let mut case = Case::new();
    case.host.selinux = true;
    let made = case
        .of(&json!([{"name": "data", "mountPath": "/d"}, {"name": "config", "mountPath": "/c"}]))
        .unwrap();
    assert_eq!(made.iter().map(|mount| mount.selinux_relabel).collect::<Vec<_>>(), [false, true, true, true]);
}

#[test]
fn a_sub_path_is_mounted_from_where_it_was_prepared() {
    let mut case = Case::new();
    let mounts = json!([{"name": "data", "mountPath": "/a"}, {"name": "data", "mountPath": "/b", "subPathExpr": "$(SUB)"}]);
    let told = case.of(&mounts);
    assert_eq!(told, Err("failed to prepare subPath for volumeMount \"data\" of container \"c\"".to_owned()));
    case.sub_paths.insert(1, PathBuf::from("/pod/volume-subpaths/data/c/1"));
    let made = case.of(&mounts).unwrap();
    assert_eq!(
        (made[0].host_path.as_str(), made[1].host_path.as_str()),
        ("/v/data", "/pod/volume-subpaths/data/c/1")
    );
}

#[test]
fn an_image_volume_has_no_path_on_the_node() {
    let mut case = Case::new();
    let image = VolumeImage { reference: "sha256:1".to_owned(), user_specified: "tools:1".to_owned() };
    let source = VolumeMountSource { image: Some(image), read_only: true, ..VolumeMountSource::default() };
    case.volumes.insert("image".to_owned(), source);
    let made = case.of(&json!([{"name": "image", "mountPath": "/i", "subPath": "bin"}])).unwrap().remove(0);
    let image = made.image.unwrap();
    assert_eq!((made.host_path.as_str(), made.image_sub_path.as_str(), made.readonly), ("", "bin", true));
    assert_eq!((image.image.as_str(), image.user_specified_image.as_str()), ("sha256:1", "tools:1"));
    assert_eq!(image.annotations["note"], "x");
}

#[test]
fn recursive_read_only_needs_a_plain_read_only_mount_and_a_runtime_that_can() {
    let mount = |fields: &Value| {
        let mut mount = json!({"name": "data", "mountPath": "/d"});
        mount.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!([mount])
    };
    let mut case = Case::new();
    let of = |case: &Case, fields: &Value| case.of(&mount(fields)).map(|made| made[0].recursive_read_only);
    let told =
        |text: &str| Err(format!("volume \"data\" requested recursive read-only mode, but it is {text}"));
    let enabled = json!({"recursiveReadOnly": "Enabled", "readOnly": true});
    let possible = json!({"recursiveReadOnly": "IfPossible", "readOnly": true});
    assert_eq!(of(&case, &json!({"recursiveReadOnly": "Disabled"})), Ok(false));
    assert_eq!(of(&case, &json!({"recursiveReadOnly": "Enabled"})), told("not read-only"));
    let shared =
        json!({"recursiveReadOnly": "Enabled", "readOnly": true, "mountPropagation": "HostToContainer"});
    assert_eq!(of(&case, &shared), told("not compatible with propagation \"HostToContainer\""));
    assert_eq!(of(&case, &enabled), told("not supported by the runtime"));
    assert_eq!(of(&case, &possible), Ok(false));
    let features = HandlerFeatures { recursive_read_only_mounts: true, ..HandlerFeatures::default() };
    case.host.handlers.insert(String::new(), features);
    assert_eq!(of(&case, &enabled), Ok(true));
    assert_eq!(of(&case, &possible), Ok(true));
}

#[test]
fn every_mount_of_a_pod_with_its_own_users_is_mapped() {
    let case = Case { users: Some(UserNamespaceRange { host_id: 65_536, length: 65_536 }), ..Case::new() };
    let made = case.of(&json!([{"name": "data", "mountPath": "/d"}])).unwrap();
    assert!(
        made.iter().all(|mount| mount.uid_mappings[0].host_id == 65_536 && mount.gid_mappings.len() == 1)
    );
}

#[test]
fn what_cannot_be_mounted_is_told_in_the_kubelets_words() {
    for (mount, told) in [
        (json!({"name": "z", "mountPath": "/z"}), "cannot find volume \"z\" to mount into container \"c\""),
        (
            json!({"name": "data", "mountPath": "/z", "mountPropagation": "Odd"}),
            "invalid MountPropagation mode: \"Odd\"",
        ),
        (json!({"name": "data", "mountPath": "/z", "subPathExpr": "$(B)/$(A)"}), "missing value for A, B"),
        (
            json!({"name": "data", "mountPath": "/z", "subPath": "/etc"}),
            "error SubPath `/etc` must not be an absolute path",
        ),
        (
            json!({"name": "data", "mountPath": "/z", "subPath": "a/../../b"}),
            "unable to provision SubPath `a/../../b`: must not contain '..'",
        ),
    ] {
        assert_eq!(Case::new().of(&json!([mount])), Err(told.to_owned()));
    }
}
