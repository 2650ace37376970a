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
    ListContainerStats, ReopenContainerLog, ExecSync, GetContainerEvents,
    ListImages, ImageStatus, PullImage, RemoveImage, ImageFsInfo,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often a method was called since the agent started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallCount {
    /// Which.
    pub method: Method,
    /// How often.
    pub calls: u64,
    /// How often of these in vain.
    pub failures: u64,
}

/// How often each method was called, and failed, since the agent started.
#[derive(Debug)]
pub(super) struct Counts {
    calls: [AtomicU64; Method::ALL.len()],
    failures: [AtomicU64; Method::ALL.len()],
}

impl Counts {
    pub(super) fn new() -> Self {
        let none = || [const { AtomicU64::new(0) }; Method::ALL.len()];
        Self { calls: none(), failures: none() }
    }

    pub(super) fn add(&self, method: Method) {
        if let Some(count) = self.calls.get(method as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn add_failure(&self, method: Method) {
        if let Some(count) = self.failures.get(method as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every method with its counts, those never called too.
    pub(super) fn iter(&self) -> impl Iterator<Item = CallCount> + '_ {
        let counts = self.calls.iter().zip(&self.failures);
        Method::ALL.iter().zip(counts).map(|(method, (calls, failures))| CallCount {
            method: *method,
            calls: calls.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
        })
    }
}
