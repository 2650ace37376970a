//! Why a pod or a container can't be translated, in the kubelet's words, and the reason it then waits with.
//!
//! One variant is one message of the kubelet; nothing here decides what happens next.

use thiserror::Error;

/// The reason shown on a pod or container that can't be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The pod is refused for its sysctls.
    SysctlForbidden,
    /// The pod is refused because the node can't enforce its `AppArmor` profile.
    AppArmor,
    /// The pod is refused because the runtime would give it the image's groups, too.
    SupplementalGroupsPolicyNotSupported,
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
            Reason::SupplementalGroupsPolicyNotSupported => "SupplementalGroupsPolicyNotSupported",
            Reason::CreatePodSandboxError => "CreatePodSandboxError",
            Reason::CreateContainerConfigError => "CreateContainerConfigError",
        }
    }

    /// Whether trying again is pointless: only another pod can do better.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Reason::SysctlForbidden | Reason::AppArmor | Reason::SupplementalGroupsPolicyNotSupported
        )
    }
}

/// Why a request can't be made of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the message of each variant says what it and its fields are")]
pub enum TranslateError {
    // The pod as a whole.
    #[error("pod without {field}")]
    Incomplete { field: &'static str },
    #[error("forbidden sysctl: {0}")]
    Sysctl(#[from] super::sysctl::SysctlCause),
    #[error("Cannot enforce AppArmor: AppArmor is not enabled on the host")]
    AppArmorOff,
    #[error("runtimeclass.node.k8s.io \"{0}\" not found")]
    RuntimeClass(String),
    #[error("can't set `spec.hostUsers: false`, runtime handler \"{0}\" does not support user namespaces")]
    UserNamespaces(String),
    #[error("no user namespace is allocated for the pod")]
    UserNamespaceMissing,
    #[error("can't allocate a user namespace for the pod: {0}")]
    UserNamespaceAllocation(String),

    // Its name on the network.
    #[error("pod Hostname {name:?} is not a valid DNS label: {problem}")]
    Hostname { name: String, problem: String },
    #[error("pod Subdomain {name:?} is not a valid DNS label: {problem}")]
    Subdomain { name: String, problem: String },
    #[error("pod HostnameOverride {name:?} is not a valid DNS subdomain: {problem}")]
    HostnameOverride { name: String, problem: String },
    #[error("hostname for pod {pod:?} was invalid: {name:?}")]
    EmptyHostname { pod: String, name: String },
    #[error(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long ({limit} characters is \
         the max, {length} characters requested)"
    )]
    FqdnTooLong { fqdn: String, limit: usize, length: usize },

    // Security.
    #[error("unsupported supplementalGroupsPolicy: {0}")]
    SupplementalGroupsPolicy(String),
    #[error("SupplementalGroupsPolicy=Strict is not supported in this node")]
    StrictGroupsNotSupported,
    #[error("localhostProfile must be set if seccompProfile type is Localhost.")]
    SeccompProfileMissing,
    #[error("missing localhost apparmor profile name")]
    AppArmorProfileMissing,
    #[error("unknown apparmor profile type: {0}")]
    AppArmorProfileType(String),
    #[error("container's runAsUser breaks non-root policy (pod: {pod:?}, container: {container})")]
    RunsAsRoot { pod: String, container: String },
    #[error("container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})")]
    ImageRunsAsRoot { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: \
         {pod:?}, container: {container})"
    )]
    ImageUserUnknown { user: String, pod: String, container: String },

    // Environment.
    #[error("nil pod.spec.enableServiceLinks encountered, cannot construct envvars")]
    NoServiceLinks,
    #[error("configmap {0:?} not found")]
    ConfigMapMissing(String),
    #[error("secret {0:?} not found")]
    SecretMissing(String),
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    ConfigMapKey { key: String, namespace: String, name: String },
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    SecretKey { key: String, namespace: String, name: String },
    #[error("key {key} in Secret {name} is not UTF-8 text, which an environment variable has to be")]
    SecretNotText { key: String, name: String },
    #[error("unsupported pod version: {0}")]
    FieldVersion(String),
    #[error("field label not supported: {0}")]
    FieldPath(String),
    #[error("Unsupported container resource : {0}")]
    Resource(String),
    #[error("container {0} not found")]
    ContainerMissing(String),
    #[error("environment variable {0} is read from a file in a volume, which this agent does not support")]
    FileKeyRef(String),

    // Mounts.
    #[error("cannot find volume {volume:?} to mount into container {container:?}")]
    VolumeMissing { volume: String, container: String },
    #[error("missing value for {}", .0.join(", "))]
    SubPathVariables(Vec<String>),
    #[error("error SubPath `{0}` must not be an absolute path")]
    SubPathAbsolute(String),
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    SubPathBacksteps(String),
    #[error("failed to prepare subPath for volumeMount {volume:?} of container {container:?}")]
    SubPathUnprepared { volume: String, container: String },
    #[error("invalid MountPropagation mode: {0:?}")]
    Propagation(String),
    #[error("volume {0:?} requested recursive read-only mode, but it is not read-only")]
    RecursiveNotReadOnly(String),
    #[error(
        "volume {volume:?} requested recursive read-only mode, but it is not compatible with propagation {propagation:?}"
    )]
    RecursivePropagation { volume: String, propagation: String },
    #[error("volume {0:?} requested recursive read-only mode, but it is not supported by the runtime")]
    RecursiveUnsupported(String),
    #[error("unknown recursive read-only mode {0:?}")]
    RecursiveMode(String),
    #[error("cannot find volume {volume:?} to pass into container {container:?}")]
    DeviceMissing { volume: String, container: String },
}

impl TranslateError {
    /// The reason that a pod waits, or is refused, with when its sandbox can't be translated.
    pub const fn sandbox_reason(&self) -> Reason {
        match self {
            TranslateError::Sysctl(_) => Reason::SysctlForbidden,
            TranslateError::AppArmorOff => Reason::AppArmor,
            TranslateError::StrictGroupsNotSupported => Reason::SupplementalGroupsPolicyNotSupported,
            _ => Reason::CreatePodSandboxError,
        }
    }

    /// The reason that a container waits with when it can't be translated.
    pub const fn container_reason(&self) -> Reason {
        match self {
            TranslateError::Sysctl(_) => Reason::SysctlForbidden,
            TranslateError::AppArmorOff => Reason::AppArmor,
            TranslateError::StrictGroupsNotSupported => Reason::SupplementalGroupsPolicyNotSupported,
            _ => Reason::CreateContainerConfigError,
        }
    }
}
