//! The CRI's methods by name, and how often each was called.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! methods {
    ($($name:ident),* $(,)?) => {
        /// A method of the CRI, by its own name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Method { $($name),* }

        impl Method {
            /// Every method that daemonlet calls.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The method's name in the CRI.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

methods! {
    Version, Status, RuntimeConfig,
    RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus, ListPodSandbox,
    CreateContainer, StartContainer, StopContainer, RemoveContainer, ListContainers, ContainerStatus,
    ReopenContainerLog, ExecSync, GetContainerEvents,
    ListImages, ImageStatus, PullImage, RemoveImage, ImageFsInfo,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each method was called since the agent started.
#[derive(Debug)]
pub(super) struct Counts([AtomicU64; Method::ALL.len()]);

impl Counts {
    pub(super) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; Method::ALL.len()])
    }

    pub(super) fn add(&self, method: Method) {
        if let Some(count) = self.0.get(method as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every method with its count, those never called too.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Method, u64)> + '_ {
        Method::ALL.iter().copied().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}
