//! The requests of this translation beside those that a real kubelet sent for the same templates.
//!
//! The cases lie in `cases/cri` of the folder that `DAEMONLET_SHARED` names; each holds a `daemonset.yaml` and the recorded
//! `expected.json`. They were recorded from static pods on one machine, which [`recorder`] describes.

mod compare;
mod recorder;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Map, Value, json};

use super::{Host, ImageUser};
use crate::cri::json::Printer;
use crate::manifest::{self, Object, Objects, Severity};
use crate::pod::blueprint::Blueprint;
use crate::pod::classes::Classes;
use crate::pod::requests::{ContainerRun, NamedFiles, PodRequests};
use crate::volume::{self, PodVolumes, VolumeRoot};

const ENV: &str = "DAEMONLET_SHARED";

#[test]
fn every_recorded_kubelet_request_is_ours() {
    let Some(cases) = cases() else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {ENV} names no folder with cases/cri: nothing was compared"
        );
        return;
    };
    let mut different = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy();
        let expected: Value = serde_json::from_slice(&fs::read(case.join("expected.json")).unwrap()).unwrap();
        let made = requests(&daemon_set(&case.join("daemonset.yaml")), &recorder::pod_ips(&expected, case));
        different
            .extend(compare::differences(&made, &expected).into_iter().map(|line| format!("{name}: {line}")));
    }
    let _ = writeln!(std::io::stderr(), "{} recorded cases compared", cases.len());
    assert!(different.is_empty(), "{} differences:\n{}", different.len(), different.join("\n"));
    assert!(!cases.is_empty(), "{ENV} names a folder without a case");
}

fn cases() -> Option<Vec<PathBuf>> {
    let folder = PathBuf::from(std::env::var_os(ENV)?).join("cases/cri");
    let entries = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.join("expected.json").is_file()).collect();
    cases.sort();
    Some(cases)
}

fn daemon_set(file: &Path) -> DaemonSet {
    let mut text = fs::read_to_string(file).unwrap();
    // One manifest was recorded without the selector that apps/v1 wants; requests don't depend on it.
    if !text.contains("\n  selector:") {
        let labels = text.split("    metadata:\n      labels:\n").nth(1).unwrap();
        let label = labels.lines().next().unwrap().trim().to_owned();
        text = text.replacen("\nspec:\n", &format!("\nspec:\n  selector: {{matchLabels: {{{label}}}}}\n"), 1);
    }
    let reading = manifest::read(file, text.as_bytes());
    let errors: Vec<_> =
        reading.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut objects = reading.objects.into_iter().map(|stored| stored.object);
    match (objects.next(), objects.next()) {
        (Some(Object::DaemonSet(found)), None) => *found,
        other => panic!("{}: not a single DaemonSet: {other:?}", file.display()),
    }
}

/// All requests for the pod of `daemon_set`, in the shape of `expected.json`.
fn requests(daemon_set: &DaemonSet, pod_ips: &[IpAddr]) -> Value {
    let host = recorder::host();
    let printer = Printer::new().unwrap();
    let mut pod = Blueprint {
        daemon_set,
        template: &daemon_set.spec.as_ref().unwrap().template,
        revision_hash: "hash",
        template_generation: Some(1),
        name: recorder::POD,
        uid: recorder::UID,
        node_name: &host.node_name,
        classes: Classes::default(),
    }
    .pod();
    recorder::as_static_pod(&mut pod);
    let spec = pod.spec.as_ref().unwrap();
    let marks = BTreeMap::from([("daemonlet.dev/test".to_owned(), "golden".to_owned())]);
    let objects = Objects::default();
    let plan = PodRequests { pod: &pod, host: &host, objects: &objects, marks: &marks, users: None }
        .sandbox(0)
        .unwrap();
    let mut containers = Map::new();
    let mut order = Vec::new();
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let config = container_request(&pod, container, pod_ips, &marks, &host);
        containers.insert(container.name.clone(), printer.print(&config).unwrap());
        order.push(container.name.clone());
    }
    json!({
        "sandbox": printer.print(&plan.config).unwrap(),
        "runtime_handler": plan.runtime_handler,
        "containers": containers,
        "order": order,
    })
}

fn container_request(
    pod: &Pod,
    container: &Container,
    pod_ips: &[IpAddr],
    marks: &BTreeMap<String, String>,
    host: &Host,
) -> crate::cri::proto::ContainerConfig {
    let objects = Objects::default();
    let root = VolumeRoot::of_layout(&host.root_dir);
    let allocatable = BTreeMap::new();
    let wanted = PodVolumes { pod, objects: &objects, allocatable: &allocatable, memory_limit: None };
    let (volumes, problems) = volume::planned(&root, &wanted);
    assert!(problems.is_empty(), "{problems:?}");
    let run = ContainerRun {
        container,
        attempt: 0,
        image_ref: "sha256:of-the-image",
        image_user: &ImageUser::of_image(None, ""),
        volumes: &volumes,
        volume_images: &BTreeMap::new(),
        pod_ips,
    };
    let files = NamedFiles { root: &root, uid: recorder::UID, termination_log: recorder::LOG_ID };
    PodRequests { pod, host, objects: &objects, marks, users: None }.container(&run, &files).unwrap()
}
