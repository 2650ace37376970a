//! emptyDir volumes: a directory, a tmpfs or huge pages. configMap, secret, downwardAPI and projected wrap one.
//!
//! A `ready` file tells a volume that pods may already have written to from one whose set-up was cut short, so neither an
//! agent's restart nor its death changes the mode or owner of a directory in use. Rule: `pkg/volume/emptydir`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, PodSpec};
use nix::errno::Errno;

use super::error::{At, PathError, Reason};
use super::layout::{make_private_dirs, set_mode};
use super::mounts;
use super::ownership::{self, Access};
use crate::manifest::Quantity;

/// Every user may write to an emptyDir.
const MODE: u32 = 0o777;
const READY: &str = "ready";
const HUGE_PAGES: &str = "HugePages";
const HUGE_PAGES_OF: &str = "HugePages-";
const HUGE_PAGES_RESOURCE: &str = "hugepages-";

/// What holds the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Medium {
    /// The file system of the agent's root directory.
    Disk,
    /// A tmpfs of at most so many bytes, if a bound is known.
    Memory { size: Option<u64> },
    /// A hugetlbfs with pages of this size (`2Mi`).
    HugePages { page_size: String },
}

/// The most that a tmpfs may hold: the least of what the node gives to pods, the pod's own limit and the volume's.
pub(super) fn memory_size(allocatable: Option<u64>, pod: Option<u64>, volume: Option<u64>) -> Option<u64> {
    [allocatable, pod, volume].into_iter().flatten().filter(|bytes| *bytes > 0).min()
}

/// A `sizeLimit` in bytes.
pub(super) fn size_limit(source: &EmptyDirVolumeSource) -> Option<u64> {
    let amount = Quantity::try_from(source.size_limit.as_ref()?).ok()?;
    u64::try_from(amount.value()).ok()
}

/// What the volume's `medium` asks for.
pub(super) fn medium(
    source: &EmptyDirVolumeSource,
    spec: &PodSpec,
    allocatable: Option<u64>,
    pod_limit: Option<u64>,
) -> Result<Medium, Reason> {
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Medium::Disk),
        "Memory" => Ok(Medium::Memory { size: memory_size(allocatable, pod_limit, size_limit(source)) }),
        HUGE_PAGES => Ok(Medium::HugePages { page_size: page_size(HUGE_PAGES, None, spec)? }),
        other => match other.strip_prefix(HUGE_PAGES_OF) {
            Some(size) if !size.is_empty() => {
                Ok(Medium::HugePages { page_size: page_size(other, Some(size), spec)? })
            }
            _ => Err(Reason::UnknownMedium(other.to_owned())),
        },
    }
}

/// The size of huge pages that containers request: the `wanted` one, or the only one.
fn page_size(medium: &str, wanted: Option<&str>, spec: &PodSpec) -> Result<String, Reason> {
    let bytes = |size: &str| size.parse::<Quantity>().ok().map(Quantity::value);
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let requests =
        containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref()).flatten();
    let mut found: Option<&str> = None;
    for size in requests.filter_map(|(name, _)| name.strip_prefix(HUGE_PAGES_RESOURCE)) {
        match (wanted, found) {
            (Some(wanted), _) if bytes(wanted) != bytes(size) => {}
            (None, Some(found)) if bytes(found) != bytes(size) => return Err(Reason::SeveralHugePageSizes),
            _ => found = Some(size),
        }
    }
    found.map(str::to_owned).ok_or_else(|| Reason::NoHugePagesRequest(medium.to_owned()))
}

/// Makes the volume's directory and mounts what it needs; does nothing if it is ready.
pub(super) fn ensure(
    dir: &Path,
    ready_dir: &Path,
    medium: &Medium,
    group: Option<u32>,
) -> Result<(), Reason> {
    let mounted = mounts::at(dir).at("list the mounts at", dir)?;
    if is_ready(ready_dir) && dir.is_dir() && (mounted.is_some() || *medium == Medium::Disk) {
        return expect_mount(dir, mounted.as_ref(), medium);
    }
    make_dir(dir)?;
    if mounted.is_some() {
        expect_mount(dir, mounted.as_ref(), medium)?;
    } else {
        mount(dir, medium)?;
    }
    if let Some(group) = group {
        ownership::apply(dir, group, Access::ReadWrite)?;
    }
    make_private_dirs(ready_dir).at("make directory", ready_dir)?;
    let ready = ready_dir.join(READY);
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&ready);
    made.at("create", &ready)?;
    Ok(())
}

fn is_ready(ready_dir: &Path) -> bool {
    fs::symlink_metadata(ready_dir.join(READY)).is_ok_and(|metadata| metadata.is_file())
}

fn make_dir(dir: &Path) -> Result<(), PathError> {
    if let Some(parent) = dir.parent() {
        make_private_dirs(parent).at("make directory", parent)?;
    }
    match DirBuilder::new().mode(MODE).create(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        other => other.at("make directory", dir)?,
    }
    let metadata = fs::symlink_metadata(dir).at("look at", dir)?;
    if !metadata.is_dir() {
        return Err(Errno::ENOTDIR).at("use", dir);
    }
    if metadata.permissions().mode() & 0o777 != MODE {
        set_mode(dir, MODE).at("change the mode of", dir)?;
    }
    Ok(())
}

fn mount(dir: &Path, medium: &Medium) -> Result<(), PathError> {
    match medium {
        Medium::Disk => Ok(()),
        Medium::Memory { size } => {
            let size = size.map(|bytes| format!("size={bytes}")).unwrap_or_default();
            let comma = if size.is_empty() { "" } else { "," };
            // Linux before 6.4 doesn't know noswap and refuses the mount.
            let mounted = match mounts::mount_virtual("tmpfs", "tmpfs", dir, &format!("{size}{comma}noswap"))
            {
                Err(Errno::EINVAL) => mounts::mount_virtual("tmpfs", "tmpfs", dir, &size),
                other => other,
            };
            mounted.at("mount tmpfs on", dir)
        }
        Medium::HugePages { page_size } => {
            let options = format!("pagesize={page_size}");
            mounts::mount_virtual("nodev", "hugetlbfs", dir, &options).at("mount hugetlbfs on", dir)
        }
    }
}

/// Refuses a mount that isn't the volume's own: what lies in it is somebody else's.
fn expect_mount(dir: &Path, mounted: Option<&mounts::Mount>, medium: &Medium) -> Result<(), Reason> {
    let expected = match medium {
        Medium::Disk => None,
        Medium::Memory { .. } => Some("tmpfs"),
        Medium::HugePages { .. } => Some("hugetlbfs"),
    };
    match mounted {
        Some(mount) if Some(mount.fs_type.as_str()) != expected => {
            Err(Reason::OtherMount(PathBuf::from(dir), mount.fs_type.clone()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

    use super::*;
    use serde_json::json;

    fn spec(requests: &[&str]) -> PodSpec {
        let requests: serde_json::Map<_, _> =
            requests.iter().map(|name| ((*name).to_owned(), json!("4Mi"))).collect();
        serde_json::from_value(json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
            .unwrap()
    }

    #[test]
    fn the_least_bound_that_is_known_sizes_a_tmpfs() {
        for (bounds, size) in [
            ((None, None, None), None),
            ((Some(100), None, None), Some(100)),
            ((Some(100), Some(50), None), Some(50)),
            ((Some(100), Some(50), Some(20)), Some(20)),
            ((Some(100), Some(500), Some(200)), Some(100)),
            ((Some(100), Some(0), Some(0)), Some(100)),
            ((None, None, Some(20)), Some(20)),
        ] {
            assert_eq!(memory_size(bounds.0, bounds.1, bounds.2), size, "{bounds:?}");
        }
    }

    #[test]
    fn the_medium_says_what_is_mounted() {
        let huge = |size: &str| Ok(Medium::HugePages { page_size: size.to_owned() });
        for (medium_name, requests, expected) in [
            ("", &[][..], Ok(Medium::Disk)),
            ("Memory", &[], Ok(Medium::Memory { size: Some(1 << 20) })),
            ("HugePages", &["cpu", "hugepages-2Mi"], huge("2Mi")),
            ("HugePages-2Mi", &["hugepages-1Gi", "hugepages-2Mi"], huge("2Mi")),
            ("HugePages-1Gi", &["hugepages-1024Mi"], huge("1024Mi")),
            ("HugePages", &["hugepages-1Gi", "hugepages-2Mi"], Err("multiple huge page sizes")),
            ("HugePages", &[], Err("no resource request for huge pages")),
            ("HugePages-1Gi", &["hugepages-2Mi"], Err("no resource request for huge pages")),
            ("Floppy", &[], Err("\"Floppy\" is not known")),
            ("HugePages-", &[], Err("\"HugePages-\" is not known")),
        ] {
            let source = EmptyDirVolumeSource {
                medium: Some(medium_name.to_owned()),
                size_limit: Some(ApiQuantity("1Mi".to_owned())),
            };
            match (medium(&source, &spec(requests), Some(1 << 30), None), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{medium_name}"),
                (Err(reason), Err(part)) => assert!(reason.to_string().contains(part), "{reason}"),
                (found, expected) => panic!("{medium_name}: {found:?} is not {expected:?}"),
            }
        }
    }
}
