//! What a translation has to tell the pod's user although it goes on.

/// A warning Event on the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The Event's reason.
    pub reason: &'static str,
    /// The Event's message, in the kubelet's words.
    pub message: String,
}

impl Warning {
    pub(super) const fn dns_config_forming(message: String) -> Self {
        Self { reason: "DNSConfigForming", message }
    }

    pub(super) const fn missing_cluster_dns(message: String) -> Self {
        Self { reason: "MissingClusterDNS", message }
    }
}
