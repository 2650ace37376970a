//! Every key there is: its shape, its default and its meaning. The sample file and the checks are made from this table.

/// What a key's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text, a duration, an amount, a word of a list: what YAML calls a string.
    Text,
    /// A number, or `true` or `false`.
    Bare,
    /// A list of texts; comma-separated in the environment and in flags.
    List,
    /// Names with a value each; `name=value`, comma-separated, in the environment and in flags.
    Map,
}

/// A key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Its name, after its section's and a dot where it is in one.
    pub(super) path: &'static str,
    /// What its value looks like.
    pub(super) shape: Shape,
    /// The default as the environment would have it.
    pub(super) default: &'static str,
    /// What it means, in the sample file's words.
    pub(super) about: &'static str,
}

const fn text(path: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { path, shape: Shape::Text, default, about }
}

const fn bare(path: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { path, shape: Shape::Bare, default, about }
}

const fn list(path: &'static str, about: &'static str) -> Key {
    Key { path, shape: Shape::List, default: "", about }
}

const fn map(path: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { path, shape: Shape::Map, default, about }
}

/// Sections, with what they are about.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("store", "Where manifests come from."),
    ("crashLoopBackOff", "How long a container that keeps failing is waited for."),
    ("apiServer", "Where pods find the Kubernetes API, if there is one."),
    (
        "podSecurity",
        "The Pod Security Standards of namespaces whose labels (pod-security.kubernetes.io/…) don't say: privileged, baseline or restricted.",
    ),
    ("logging", "The agent's own log."),
];

/// Every key, in the order of the sample file; those of a section follow one another.
pub(super) const KEYS: &[Key] = &[
    text("nodeName", "", "The node's name. Empty: the hostname in lower case."),
    text(
        "nodeFile",
        "/etc/daemonlet/node.yaml",
        "A Kubernetes Node object with this node's labels and taints. Reloaded when it changes; need not exist.",
    ),
    list(
        "nodeIPs",
        "The node's IPs, at most one of each family, the primary one first. Empty: those of the interface with the default route.",
    ),
    text("rootDir", "/var/lib/daemonlet", "Where the agent keeps its state and the pods' volumes."),
    text("store.path", "/etc/daemonlet/manifests", "A directory tree of manifests (*.yaml, *.yml, *.json)."),
    text("store.settle", "100ms", "How long a changed file must have been quiet before it is read."),
    text(
        "store.poll",
        "auto",
        "Whether the tree is also listed at intervals: always, never, or auto (on network file systems, which don't tell of changes).",
    ),
    text("store.pollInterval", "10s", "How long between two such listings."),
    text(
        "store.relistInterval",
        "5m",
        "How long between two listings that make sure that no change was missed.",
    ),
    text(
        "store.emptyHold",
        "15m",
        "How long the removal of many DaemonSets at once is held back, unless it is confirmed. never: it is never believed without that.",
    ),
    text(
        "containerRuntimeEndpoint",
        "unix:///run/containerd/containerd.sock",
        "The socket of the container runtime's CRI.",
    ),
    text(
        "containerdEndpoint",
        "",
        "The socket of containerd's own API. Empty: the same as containerRuntimeEndpoint.",
    ),
    text("runtimeRequestTimeout", "2m", "How long the runtime may take to answer."),
    text(
        "runtimeRelistInterval",
        "2m",
        "How long between two listings of containers that make sure that no event was missed.",
    ),
    text("apiSocket", "/run/daemonlet/daemonlet.sock", "The socket of the agent's own API, for root only."),
    text("podLogsDir", "/var/log/pods", "Where containers' logs are written."),
    text(
        "containerLogsDir",
        "/var/log/containers",
        "Where links to containers' logs are made, for log collectors.",
    ),
    text(
        "cgroupDriver",
        "auto",
        "Who manages control groups: cgroupfs, systemd, or auto (what the runtime says).",
    ),
    text("cgroupRoot", "", "The control group below which pods have theirs. Empty: the root."),
    list("clusterDNS", "The DNS servers of pods with dnsPolicy ClusterFirst. Empty: the host's."),
    text("clusterDomain", "", "The DNS domain of the cluster, such as cluster.local."),
    text(
        "resolvConf",
        "/etc/resolv.conf",
        "The resolver configuration of pods that use the host's. Empty: none.",
    ),
    bare("maxPods", "110", "How many pods may run."),
    bare("podPidsLimit", "-1", "How many processes a pod may have. -1: no limit."),
    bare("seccompDefault", "false", "Whether containers that name no seccomp profile get the runtime's own."),
    list(
        "allowedUnsafeSysctls",
        "Sysctls beyond the safe ones that pods may set, such as net.core.somaxconn or net.ipv4.*",
    ),
    bare("cpuCFSQuota", "true", "Whether CPU limits are enforced."),
    text("cpuCFSQuotaPeriod", "100ms", "The period over which CPU limits are enforced, 1ms to 1s."),
    text(
        "crashLoopBackOff.maxContainerRestartPeriod",
        "5m",
        "The longest wait between two starts, 1s to 5m.",
    ),
    text("containerLogMaxSize", "10Mi", "The size at which a container's log is rotated. -1: never."),
    bare("containerLogMaxFiles", "5", "How many files are kept of a container's log, at least 2."),
    bare("maxParallelImagePulls", "1", "How many images are pulled at once."),
    text(
        "imageCredentialsFile",
        "",
        "Registry credentials for every pod, in the format of docker's config.json. Empty: config.json in rootDir, if it is there.",
    ),
    text(
        "imageArchivesDir",
        "",
        "A folder of image archives (*.tar, *.tar.gz, *.tar.zst; OCI layouts or from docker save) that are imported before anything is pulled. \
         Empty: images in rootDir.",
    ),
    bare(
        "builtInSandboxImage",
        "true",
        "Whether a sandbox image that is missing and can't be pulled is replaced by a built-in one under its name.",
    ),
    text(
        "trustFile",
        "",
        "minisign's public keys, one of which must have signed every bundle that is applied (FILE.minisig beside FILE), and the list of the store's \
         manifests (SHA256SUMS with SHA256SUMS.minisig in its root). What is not signed, or is not as it was signed, is refused as a whole. \
         Empty: no signature is asked for.",
    ),
    bare(
        "keepBundles",
        "true",
        "Whether the bundle that was applied last and the one before stay among the image archives, so that images of theirs that go missing \
         come back. They are copies, and take the room of the bundles where the file system can't share it (btrfs and XFS can).",
    ),
    bare(
        "imageGCHighThresholdPercent",
        "85",
        "How full the disk must be for images that nobody needs to be removed. 100: never.",
    ),
    bare("imageGCLowThresholdPercent", "80", "How full it may be afterwards."),
    text("imageMinimumGCAge", "2m", "How long an image is kept at least."),
    text("apiServer.host", "", "KUBERNETES_SERVICE_HOST for pods. Empty: they are given none."),
    bare("apiServer.port", "443", "KUBERNETES_SERVICE_PORT for pods."),
    text(
        "podSecurity.enforce",
        "privileged",
        "Pods that break this standard are not made; those that run stay.",
    ),
    text(
        "podSecurity.enforceVersion",
        "latest",
        "The Kubernetes version of that standard: latest, or such as v1.34.",
    ),
    text("podSecurity.audit", "privileged", "Pods that break this standard are logged."),
    text("podSecurity.auditVersion", "latest", "The Kubernetes version of that standard."),
    text("podSecurity.warn", "privileged", "Pods that break this standard are made with a warning Event."),
    text("podSecurity.warnVersion", "latest", "The Kubernetes version of that standard."),
    list("podSecurity.exemptNamespaces", "Namespaces in which no standard counts, whatever their labels."),
    list(
        "allowedHostPaths",
        "Paths at and below which pods of any namespace may have hostPath volumes, such as /var/log. Empty: anywhere.",
    ),
    list(
        "allowedImageRegistries",
        "Registries, or parts of them, that images of any namespace may come from, such as registry.example:5000/team \
         or docker.io/library. Empty: any.",
    ),
    map("systemReserved", "", "What is kept for the system: cpu, memory, ephemeral-storage."),
    map("kubeReserved", "", "What is kept for the agent and the runtime: cpu, memory, ephemeral-storage."),
    map(
        "evictionHard",
        "memory.available=100Mi,nodefs.available=10%,nodefs.inodesFree=5%,imagefs.available=15%,imagefs.inodesFree=5%",
        "What must stay free, or pods are evicted at once. Writing one signal replaces all defaults; 0%: no threshold. \
         containerfs.* follows nodefs.* or imagefs.*, and is not heard.",
    ),
    map("evictionSoft", "", "What should stay free, or pods are evicted once it has not for a while."),
    map("evictionSoftGracePeriod", "", "How long that while is, for each signal of evictionSoft."),
    map(
        "evictionMinimumReclaim",
        "",
        "How much more than its threshold must be free again for a signal to count as recovered.",
    ),
    bare(
        "evictionMaxPodGracePeriod",
        "0",
        "How many seconds a pod that is evicted for a soft threshold has to end at most. Fewer than 1 are 1.",
    ),
    text(
        "evictionPressureTransitionPeriod",
        "5m",
        "How long the node keeps a pressure condition after the last time that it was true.",
    ),
    text(
        "holdsDir",
        "/run/daemonlet/holds",
        "Where a workload touches a file to hold back updates: <namespace>_<name> of a DaemonSet, or node for all.",
    ),
    text("holdFileTTL", "1h", "How long such a touch counts."),
    text(
        "onKubelet",
        "yield",
        "What happens when a kubelet is found on the same container runtime, where it kills every pod that it doesn't know: refuse (the agent ends, and doesn't start), yield (the agent leaves the pods to the kubelet and says so), or handover (it turns them into static pods of the kubelet, one DaemonSet at a time). After yield and handover, `daemonlet takeover` is the way back.",
    ),
    text(
        "staticPodPath",
        "",
        "Where handover writes static pods. Empty: where the kubelet says that it reads them, or /etc/kubernetes/manifests.",
    ),
    text(
        "staticPodStartDeadline",
        "2m",
        "How long the kubelet may take to start a static pod before handover says that it is stuck. Until the kubelet has started it, no further pod that runs is ended. 0s: handover waits for no start.",
    ),
    text(
        "shutdownGracePeriod",
        "30s",
        "How long the machine's shutdown waits, through logind, for pods to end. 0s: it does not wait.",
    ),
    text(
        "shutdownGracePeriodCriticalPods",
        "10s",
        "The last part of it, which is for critical pods alone; the others end before.",
    ),
    map(
        "shutdownGracePeriodByPodPriority",
        "",
        "Instead of these two: how long pods from each priority on may take, such as 0: 20s, 2000000000: 10s.",
    ),
    text("logging.level", "info", "The least that is logged: error, warn, info, debug or trace."),
    text("logging.format", "auto", "text, json, journald, or auto (journald under systemd, else text)."),
];

/// The key of this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether there is a section of this name.
pub(super) fn is_section(name: &str) -> bool {
    SECTIONS.iter().any(|(section, _)| *section == name)
}

/// What the user may have meant by an unknown key: one that differs in a few letters, or the same name in another section.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let candidates = || KEYS.iter().map(|key| key.path).chain(SECTIONS.iter().map(|(section, _)| *section));
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_lowercase();
    let wanted = unknown.to_lowercase();
    let (nearest, steps) = candidates()
        .map(|path| (path, distance(&wanted, &path.to_lowercase())))
        .min_by_key(|(_, steps)| *steps)?;
    if steps <= (wanted.chars().count() / 4).max(1) {
        return Some(nearest);
    }
    candidates().find(|path| last(path) == last(unknown))
}

/// How many letters must be put in, taken out or replaced to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (taken, letter) in one.chars().enumerate() {
        let mut diagonal = taken;
        if let Some(first) = row.first_mut() {
            *first = taken + 1;
        }
        for (index, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *wanted);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(row[index] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_known_and_their_keys_follow_one_another() {
        let mut seen = Vec::new();
        for key in KEYS {
            let section = key.path.split_once('.').map(|(section, _)| section);
            assert!(section.is_none_or(is_section), "{}", key.path);
            if seen.last() != Some(&section) {
                assert!(section.is_none() || !seen.contains(&section), "{} is apart", key.path);
                seen.push(section);
            }
        }
    }

    #[test]
    fn the_nearest_key_is_the_one_meant() {
        let rows = [
            ("nodename", Some("nodeName")),
            ("nodNmae", None),
            ("clusterDns", Some("clusterDNS")),
            ("maxPod", Some("maxPods")),
            ("store.pollIntervall", Some("store.pollInterval")),
            ("pollInterval", Some("store.pollInterval")),
            ("maxContainerRestartPeriod", Some("crashLoopBackOff.maxContainerRestartPeriod")),
            ("stroe", None),
            ("stor", Some("store")),
            ("failSwapOn", None),
        ];
        for (unknown, expected) in rows {
            assert_eq!(nearest(unknown), expected, "{unknown}");
        }
    }
}
