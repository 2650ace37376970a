//! Why a pod or a container can't be translated, in the kubelet's words, and the reason it then waits with.
//!
//! One variant is one message of the kubelet; nothing here decides what happens next.

use thiserror::Error;

/// The reason shown on a pod or container that can't be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The pod is refused for its sysctls.
    SysctlForbidden,
    /// The pod is refused because the node can't enforce its AppArmor profile.
    AppArmor,
    /// The sandbox can't be made; tried again.
    CreatePodSandboxError,
    /// The container can't be made; tried again.
    CreateContainerConfigError,
}

impl Reason {
    /// The reason as it stands in a status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::SysctlForbidden => "SysctlForbidden",
            Reason::AppArmor => "AppArmor",
            Reason::CreatePodSandboxError => "CreatePodSandboxError",
            Reason::CreateContainerConfigError => "CreateContainerConfigError",
        }
    }

    /// Whether trying again is pointless: only another pod can do better.
    pub const fn is_final(self) -> bool {
        matches!(self, Reason::SysctlForbidden | Reason::AppArmor)
    }
}
