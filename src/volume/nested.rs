//! Directories inside a read-only volume on which a container mounts another volume: the runtime could not make them.
//! Rule: `pkg/volume/util/nested_volumes.go`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{PodSpec, VolumeMount};

use super::error::Reason;

/// The mount points that lie inside the volume, relative to it.
pub(super) fn mount_points(spec: &PodSpec, volume: &str) -> Result<BTreeSet<PathBuf>, Reason> {
    let regular = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let regular = regular.map(|container| container.volume_mounts.as_deref());
    let ephemeral =
        spec.ephemeral_containers.iter().flatten().map(|container| container.volume_mounts.as_deref());
    let mut found = BTreeSet::new();
    for mounts in regular.chain(ephemeral).flatten() {
        of_container(mounts, volume, &mut found)?;
    }
    Ok(found)
}

fn of_container(mounts: &[VolumeMount], volume: &str, found: &mut BTreeSet<PathBuf>) -> Result<(), Reason> {
    let paths: BTreeSet<PathBuf> = mounts.iter().map(|mount| clean(&mount.mount_path)).collect();
    for mount in mounts.iter().filter(|mount| mount.name == volume) {
        let own = clean(&mount.mount_path);
        if own.starts_with("..") {
            return Err(Reason::MountPoint(mount.mount_path.clone()));
        }
        let mut previous: Option<&Path> = None;
        for path in &paths {
            let Ok(inside) = path.strip_prefix(&own) else { continue };
            if inside.as_os_str().is_empty() || previous.is_some_and(|previous| path.starts_with(previous)) {
                continue;
            }
            previous = Some(path);
            found.insert(inside.to_owned());
        }
    }
    Ok(())
}

/// The path with `.` and `..` worked out by its letters, as Go's `path.Clean` does.
fn clean(path: &str) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if cleaned.as_os_str() == "/" => {}
            Component::ParentDir if cleaned.file_name().is_some() => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mounts_inside_a_volume_are_found_once_and_outermost() {
        for (mounts, inside) in [
            (&[("v", "/etc/x"), ("o", "/etc/x/sub")][..], &["sub"][..]),
            (&[("v", "/etc/x"), ("o", "/etc/x/a"), ("p", "/etc/x/a/b"), ("q", "/etc/x/c/d")], &["a", "c/d"]),
            (&[("v", "/etc/x"), ("o", "/etc/xy")], &[]),
            (&[("v", "/a"), ("v", "/b"), ("o", "/b/c")], &["c"]),
            (&[("v", "/a/./b/"), ("o", "/a/b/../b/c")], &["c"]),
            (&[("o", "/etc"), ("v", "/etc/x")], &[]),
        ] {
            let mounts: Vec<_> =
                mounts.iter().map(|(name, path)| json!({"name": name, "mountPath": path})).collect();
            let spec = serde_json::from_value(json!({"containers": [{"name": "c", "volumeMounts": mounts}]}))
                .unwrap();
            let inside: BTreeSet<PathBuf> = inside.iter().map(PathBuf::from).collect();
            assert_eq!(mount_points(&spec, "v").unwrap(), inside);
        }
    }

    #[test]
    fn a_mount_path_above_the_container_is_refused() {
        let spec =
            json!({"containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "../x"}]}]});
        let spec = serde_json::from_value(spec).unwrap();
        assert!(matches!(mount_points(&spec, "v"), Err(Reason::MountPoint(path)) if path == "../x"));
    }
}
