//! A node that runs out of memory, disk, inodes or processes: what it says of itself, whom it refuses, and whom it sacrifices, in which order.
//!
//! The kubelet's eviction manager (`pkg/kubelet/eviction`). Everything that decides is pure: [`policy`] (the thresholds), [`assessment`] (which
//! are crossed, for how long, and what the node is therefore short of), [`rank`], [`admission`], [`local_storage`], [`usage`] and [`message`]. [`control`]
//! is the loop that follows them over whatever it is given as surroundings; [`measure`], [`disk`], [`stall`] and [`oom`] are the ways to find out.
//! Nothing here touches a pod: whoever is to go is named, and its own worker ends it.

pub mod admission;
pub mod assessment;
pub mod control;
pub mod disk;
pub mod local_storage;
pub mod measure;
pub mod message;
pub mod oom;
pub mod policy;
pub mod rank;
pub mod signal;
pub mod stall;
pub mod usage;

pub use policy::EvictionPolicy;
pub use signal::Signal;
