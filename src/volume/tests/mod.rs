//! Volumes of real pods on a real file system, as root. Whatever a test mounts goes with it, also when it fails.

mod kinds;
mod ownership;
mod set_up;
mod sub_path;
mod tear_down;
mod updates;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nix::mount::{MntFlags, umount2};
use serde_json::{Value, json};

use super::*;
use crate::manifest::{Object, Objects, Origin, Stored};

const UID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

/// A root directory and a store of its own.
struct Fixture {
    temp: Option<tempfile::TempDir>,
    root: VolumeRoot,
    objects: Objects,
    allocatable: BTreeMap<String, Quantity>,
    memory_limit: Option<u64>,
}

impl Fixture {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = VolumeRoot::prepare(&temp.path().join("root")).unwrap();
        let allocatable = BTreeMap::from([
            ("cpu".to_owned(), Quantity("4".to_owned())),
            ("memory".to_owned(), Quantity("64Mi".to_owned())),
        ]);
        Self { temp: Some(temp), root, objects: Objects::default(), allocatable, memory_limit: None }
    }

    /// A directory beside the root: the rest of the host.
    fn host(&self) -> PathBuf {
        let host = self.root.dir().with_file_name("host");
        fs::create_dir_all(&host).unwrap();
        host
    }

    fn put(&mut self, object: Object) {
        let origin = Origin { file: Arc::from(Path::new("test.yaml")), line: 1 };
        self.objects.0.insert(object.key(), Arc::new(Stored { origin, object }));
    }

    fn put_config_map(&mut self, name: &str, data: &Value) {
        let object = json!({"metadata": {"namespace": "ns", "name": name}, "data": data});
        self.put(Object::ConfigMap(serde_json::from_value(object).unwrap()));
    }

    /// A Secret of plain text.
    fn put_secret(&mut self, name: &str, data: &[(&str, &str)]) {
        use k8s_openapi::ByteString;
        let mut secret: k8s_openapi::api::core::v1::Secret =
            serde_json::from_value(json!({"metadata": {"namespace": "ns", "name": name}})).unwrap();
        let bytes = |text: &&str| ByteString(text.as_bytes().to_vec());
        secret.data = Some(data.iter().map(|(key, text)| ((*key).to_owned(), bytes(text))).collect());
        self.put(Object::Secret(secret));
    }

    fn volumes<'a>(&'a self, pod: &'a Pod) -> PodVolumes<'a> {
        let Self { objects, allocatable, memory_limit, .. } = self;
        PodVolumes { pod, objects, allocatable, memory_limit: *memory_limit }
    }

    fn set_up(&self, pod: &Pod) -> Result<SetUp, Vec<VolumeError>> {
        set_up(&self.root, &self.volumes(pod))
    }

    /// Sets up a pod that mounts only this volume, named `v`.
    fn set_up_one(&self, volume: &Value) -> Result<MountSource, String> {
        let done = self.set_up(&pod_with(volume));
        done.map(|mut done| done.sources.remove("v").unwrap()).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(VolumeError::event_message).collect();
            texts.join("; ")
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let Some(temp) = self.temp.take() else { return };
        let mounts = || mounts::at_or_beneath(&fs::canonicalize(temp.path()).unwrap()).unwrap();
        for mount in mounts().iter().rev() {
            let _ = umount2(&mount.point, MntFlags::MNT_DETACH);
        }
        // Removing the directory through a mount would take the host's files along.
        if !mounts().is_empty() {
            let _ = temp.keep();
        }
    }
}

/// Something for another thread to watch: true once the test is over, also when it failed.
#[derive(Default)]
struct Over(std::sync::atomic::AtomicBool);

impl Over {
    fn is_over(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn at_end(&self) -> impl Drop + '_ {
        struct AtEnd<'a>(&'a Over);
        impl Drop for AtEnd<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        AtEnd(self)
    }
}

/// A pod of one container, `c`, that mounts the volume `v`.
fn pod_with(volume: &Value) -> Pod {
    let mut volume = volume.clone();
    volume["name"] = json!("v");
    pod(&json!({
        "volumes": [volume],
        "containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    }))
}

fn pod(spec: &Value) -> Pod {
    let metadata = json!({"name": "p", "namespace": "ns", "uid": UID, "labels": {"app": "x"}});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// What a container sees in a volume: each file that is not hidden, with its mode and text.
fn seen(dir: &Path) -> BTreeMap<String, (u32, String)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(sub) = dirs.pop() {
        for entry in fs::read_dir(&sub).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            if name.starts_with("..") {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.insert(name, (mode(&path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

fn fs_type(dir: &Path) -> Option<String> {
    mounts::at(dir).unwrap().map(|mount| mount.fs_type)
}
