use std::collections::BTreeMap;

use super::*;
use crate::manifest::read;
use crate::store::guard::DirectoryId;

const ONE_OF_EACH: &str = r"
{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {k: v}, binaryData: {b: AAEC}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, data: {k: dg==}}
---
{apiVersion: v1, kind: Node, metadata: {name: here, labels: {a: b}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: ns}}
---
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: p}, value: 1000}
---
{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: r}, handler: h}
---
{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: v, namespace: ns}, revision: 1, data: {a: [1, x]}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: d, namespace: ns}
spec:
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      containers:
      - {name: main, image: i, resources: {limits: {cpu: 100m}}, livenessProbe: {tcpSocket: {port: http}}}
";

fn objects() -> Objects {
    let reading = read(Path::new("/s/all.yaml"), ONE_OF_EACH.as_bytes());
    assert_eq!(reading.problems, []);
    Objects(reading.objects.into_iter().map(|stored| (stored.object.key(), Arc::new(stored))).collect())
}

fn memory() -> Memory {
    let id = DirectoryId { device: 1, inode: 2, file_system: 3 };
    let place = Place { boot: "b".into(), directories: BTreeMap::from([(PathBuf::from("/s"), id)]) };
    let hold = Hold {
        since: BootTime { boot: "b".into(), uptime: std::time::Duration::from_millis(1500) },
        cause: Cause::Many(3, 4),
        vanishing: objects().0.into_keys().collect(),
    };
    Memory { place: Some(place), hold: Some(hold), signed: Some(1_700_000_000) }
}

#[test]
fn what_is_saved_is_loaded_whole_for_every_kind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last-good.json");
    assert_eq!(objects().0.len(), Kind::ALL.len());
    save(&path, &objects(), &memory()).unwrap();
    let (loaded, remembered) = load(&path).unwrap().unwrap();
    assert_eq!(loaded, objects());
    assert_eq!(remembered, memory());
}

#[test]
fn nothing_saved_is_nothing_loaded() {
    let directory = tempfile::tempdir().unwrap();
    assert!(load(&directory.path().join("last-good.json")).unwrap().is_none());
}

#[test]
fn a_file_cut_off_anywhere_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last-good.json");
    save(&path, &objects(), &memory()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(97) {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(matches!(load(&path), Err(LoadError::Damaged { .. })), "cut off after {length} bytes");
    }
}

#[test]
fn another_version_and_an_unknown_kind_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last-good.json");
    fs::write(&path, r#"{"version":2,"objects":"something new"}"#).unwrap();
    let error = load(&path).unwrap_err();
    assert!(error.to_string().ends_with("is of version 2, this agent writes version 1"), "{error}");
    let text = r#"{"version":1,"place":null,"hold":null,"objects":[{"file":"/a","line":1,"object":{"kind":"Pod"}}]}"#;
    fs::write(&path, text).unwrap();
    assert!(matches!(load(&path), Err(LoadError::Damaged { .. })));
}
