//! What only containerd's own API gives: its event stream, how far a pull is, the end of a task that its CRI lost, and images that come from no
//! registry; and what it and its network library leave behind.
//!
//! Everything that the CRI can do is done there; daemonlet runs on any CRI v1 runtime, and with containerd it learns of changes
//! at once. Nothing here decides anything: an event only says when to look.

mod cni_cache;
mod content;
mod event;
mod image_store;
mod import;
mod ingest;
mod lease;
mod pause;
mod shim;
mod task;
mod watch;

use tonic::Request;
use tonic::metadata::MetadataValue;

pub use cni_cache::{discard_broken_results, is_broken_result};
pub use content::{ReadError, read_blob};
pub use event::{EventSource, RuntimeEvent};
pub use image_store::{StoredImage, image, images, pinned_images, unpin};
pub use import::{Brought, Existing, Import, ImportError};
pub use ingest::{Ingest, ingests};
pub use pause::built_in_sandbox_image;
pub use shim::end_shims;
pub use task::{delete_task, left_task};
pub use watch::watch;

/// Where containerd's CRI keeps its containers.
const NAMESPACE: &str = "k8s.io";

fn in_namespace<T>(mut request: Request<T>) -> Request<T> {
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request
}
