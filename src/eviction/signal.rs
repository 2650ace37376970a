//! What a node may run short of, under the kubelet's names (`pkg/kubelet/eviction/api/types.go`, `helpers.go`).
//!
//! `containerfs.*` is missing on purpose: its thresholds are never its own but those of the file system that the containers' layers lie
//! on, which is watched as nodefs or imagefs already.

use crate::node::PressureKind;

/// Something that is measured, and must not fall below its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Memory of the node that is free or can be made so.
    MemoryAvailable,
    /// What is left to the pods of the memory that they may have together.
    AllocatableMemoryAvailable,
    /// Room on the file system of the agent's root directory.
    NodeFsAvailable,
    /// Inodes there.
    NodeFsInodesFree,
    /// Room on the file system of the runtime's images.
    ImageFsAvailable,
    /// Inodes there.
    ImageFsInodesFree,
    /// Processes that may still be started.
    PidAvailable,
}

/// What is taken back when a signal is low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of memory.
    Memory,
    /// Bytes on disk.
    EphemeralStorage,
    /// Files on disk.
    Inodes,
    /// Processes.
    Pids,
}

impl Signal {
    /// Those that a configuration may name.
    pub const CONFIGURABLE: [Self; 6] = [
        Signal::MemoryAvailable,
        Signal::NodeFsAvailable,
        Signal::NodeFsInodesFree,
        Signal::ImageFsAvailable,
        Signal::ImageFsInodesFree,
        Signal::PidAvailable,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory.available",
            Signal::AllocatableMemoryAvailable => "allocatableMemory.available",
            Signal::NodeFsAvailable => "nodefs.available",
            Signal::NodeFsInodesFree => "nodefs.inodesFree",
            Signal::ImageFsAvailable => "imagefs.available",
            Signal::ImageFsInodesFree => "imagefs.inodesFree",
            Signal::PidAvailable => "pid.available",
        }
    }

    /// The signal of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::CONFIGURABLE.into_iter().find(|signal| signal.as_str() == name)
    }

    /// The condition that the node has when the signal is low.
    pub const fn pressure(self) -> PressureKind {
        match self {
            Signal::MemoryAvailable | Signal::AllocatableMemoryAvailable => PressureKind::Memory,
            Signal::NodeFsAvailable
            | Signal::NodeFsInodesFree
            | Signal::ImageFsAvailable
            | Signal::ImageFsInodesFree => PressureKind::Disk,
            Signal::PidAvailable => PressureKind::Pid,
        }
    }

    /// What the node then lacks.
    pub const fn resource(self) -> Resource {
        match self {
            Signal::MemoryAvailable | Signal::AllocatableMemoryAvailable => Resource::Memory,
            Signal::NodeFsAvailable | Signal::ImageFsAvailable => Resource::EphemeralStorage,
            Signal::NodeFsInodesFree | Signal::ImageFsInodesFree => Resource::Inodes,
            Signal::PidAvailable => Resource::Pids,
        }
    }
}

impl Resource {
    /// Its name in messages and in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::EphemeralStorage => "ephemeral-storage",
            Resource::Inodes => "inodes",
            Resource::Pids => "pids",
        }
    }
}
