//! Why images can't be looked after, in the kubelet's words where it has the same trouble.

use std::io;
use std::path::PathBuf;

use tonic::Status;

use crate::cri::CriError;
use crate::image::garbage::{NoCapacity, UnknownSandboxImage};

/// Why images can't be looked after now, or not enough of them could be removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum GcError {
    #[error(transparent)]
    Runtime(#[from] CriError),
    #[error("find out how full the disk of {} is", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("the runtime does not say where its images lie")]
    NoMountPoint,
    #[error(transparent)]
    Capacity(#[from] NoCapacity),
    #[error(transparent)]
    Sandbox(#[from] UnknownSandboxImage),
    #[error("ask containerd which images are pinned: {}", .0.message())]
    Pinned(Box<Status>),
    #[error(
        "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
    )]
    TooLittle { wanted: u64, freed: u64 },
    #[error(
        "wanted to free {wanted} bytes, but freed {freed} bytes space with errors in image deletion: {problem}"
    )]
    Removal { wanted: u64, freed: u64, problem: String },
}

impl GcError {
    /// The reason of the Event that tells of it at once, if one does.
    pub(super) const fn event(&self) -> Option<&'static str> {
        match self {
            Self::TooLittle { .. } => Some("FreeDiskSpaceFailed"),
            Self::Capacity(_) => Some("InvalidDiskCapacity"),
            _ => None,
        }
    }
}
