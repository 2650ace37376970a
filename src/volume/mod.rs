//! A pod's volumes on disk: set up as the kubelet lays them out, kept up to date, taken down safely.
//!
//! Everything lives under `<root>/pods/<uid>` ([`VolumeRoot`]). What the files of a configMap, secret, downwardAPI or
//! projected volume hold is decided by pure functions (`payload` and one file a kind); the rest of the room makes
//! directories, mounts and links. All functions block: callers on the runtime's thread go through `spawn_blocking` where a volume
//! is not the agent's own (a hostPath may lie on a file system that hangs) or much is to be removed; one pod is worked on by
//! one caller at a time.
//!
//! What this room must never do: follow a link out of a volume, or delete anything that is mounted. Paths from
//! manifests are resolved beneath their volume by the kernel (`openat2`), and removal never leaves the file system and
//! mount it began on. Rules: the kubelet's `pkg/volume/*`, `pkg/volume/util/subpath` and `pkg/kubelet/volumemanager`.

mod atomic_writer;
mod beneath;
mod config_map;
mod contents;
mod downward_api;
mod empty_dir;
mod error;
mod field_ref;
mod host_path;
mod layout;
mod mounts;
mod nested;
mod ownership;
mod payload;
mod planned;
mod pod_files;
mod projected;
mod remove;
mod secret;
mod set_up;
mod sub_path;
mod tear_down;
mod unsupported;

#[cfg(test)]
mod tests;

pub use error::{PathError, Reason, VolumeError};
pub use field_ref::FieldRefError;
pub use layout::{InvalidName, VolumeRoot};
pub use payload::InvalidPath;
pub use planned::{planned, planned_termination_log};
pub use pod_files::{termination_log, write_hosts_file};
pub use remove::{RemoveError, remove_dir};
pub use set_up::{MountSource, PodVolumes, Refreshed, SetUp, refresh, set_up};
pub use sub_path::{SubPathError, SubPathRequest, prepare_sub_path, sub_path_place};
pub use tear_down::{TearDownError, keep_dir, pod_dirs, tear_down};
