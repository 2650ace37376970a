//! The configuration from its sources to the settings.

mod problems;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::cgroup::Driver;
use crate::manifest::Quantity;
use crate::node::{Reserved, Threshold};

struct Bench(tempfile::TempDir);

impl Bench {
    fn new(config: &str) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::write(bench.file(), config).unwrap();
        bench
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("config.yaml")
    }

    fn drop_in(self, name: &str, text: &str) -> Self {
        let directory = self.0.path().join("config.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), text).unwrap();
        self
    }

    fn sources(&self) -> Sources {
        Sources { file: self.file(), file_required: true, ..Sources::default() }
    }

    fn load(&self) -> Result<Settings, Vec<String>> {
        let shown = |refused: Refused| {
            let folder = format!("{}/", self.0.path().display());
            refused.problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
        };
        load(&self.sources()).map(|loaded| loaded.settings).map_err(shown)
    }
}

fn defaults() -> Settings {
    Bench::new("").load().expect("defaults without a problem")
}

#[test]
fn what_pods_may_do_is_configured_and_checked() {
    let found = Bench::new(
        "podSecurity: {enforce: baseline, enforceVersion: v1.34, warn: restricted, exemptNamespaces: [kube-system]}\n\
         allowedHostPaths: [/var/log/, /run]\nallowedImageRegistries: [registry.example:5000/team, docker.io]\n",
    );
    let policy = found.load().unwrap().policy;
    let shown = |standard: crate::policy::pod_security::Standard| standard.to_string();
    let modes = policy.defaults;
    assert_eq!(
        [shown(modes.enforce), shown(modes.audit), shown(modes.warn)],
        ["baseline:v1.34", "privileged:latest", "restricted:latest"]
    );
    assert!(policy.exempt_namespaces.contains("kube-system"));
    assert_ne!(policy.host_paths, crate::policy::host_paths::HostPaths::default());
    assert_ne!(policy.registries, crate::policy::registries::Registries::default());
    assert_eq!(defaults().policy, crate::policy::Policy::default());

    let wrong = Bench::new(
        "podSecurity: {enforce: strict, warnVersion: '1.30', exemptNamespaces: [Kube]}\n\
         allowedHostPaths: [var, /var/../etc]\nallowedImageRegistries: [team/app]\n",
    );
    let problems = wrong.load().unwrap_err();
    assert_eq!(problems.len(), 6, "{problems:#?}");
    for piece in
        ["podSecurity.enforce:", "podSecurity.warnVersion:", "no namespace's name", "/var/../etc", "team/app"]
    {
        assert!(problems.iter().any(|problem| problem.contains(piece)), "{piece}: {problems:#?}");
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn removals_may_wait_for_a_confirmation_for_ever() {
    let held = |text: &str| {
        Bench::new(&format!("store: {{emptyHold: {text}}}\n")).load().map(|it| it.store.empty_hold)
    };
    assert_eq!(held("never"), Ok(Duration::MAX));
    assert_eq!(held("1h"), Ok(Duration::from_secs(3600)));
    assert!(held("always").is_err());
}

#[test]
fn the_defaults_are_those_of_the_kubelet_where_it_has_them() {
    let found = defaults();
    assert_eq!((found.node_name, found.node_file.as_path()), (None, Path::new("/etc/daemonlet/node.yaml")));
    assert_eq!(found.container_runtime_endpoint, Path::new("/run/containerd/containerd.sock"));
    assert_eq!(found.containerd_endpoint, found.container_runtime_endpoint);
    assert_eq!(found.runtime_request_timeout, Duration::from_secs(120));
    assert_eq!(found.store.settle, Duration::from_millis(100));
    assert_eq!(found.store.empty_hold, Duration::from_secs(900));
    assert_eq!((found.resources.max_pods, found.pod_pids_limit), (110, None));
    assert_eq!(
        found.resources.eviction_hard.memory_available,
        Some(Threshold::Amount(Quantity::from_value(100 << 20)))
    );
    let thresholds: Vec<_> =
        found.eviction.thresholds.iter().map(|it| (it.signal.as_str(), it.value, it.is_hard())).collect();
    assert_eq!(
        thresholds,
        [
            ("memory.available", Threshold::Amount(Quantity::from_value(100 << 20)), true),
            ("allocatableMemory.available", Threshold::Amount(Quantity::from_value(100 << 20)), true),
            ("nodefs.available", Threshold::Part(0.1), true),
            ("nodefs.inodesFree", Threshold::Part(0.05), true),
            ("imagefs.available", Threshold::Part(0.15), true),
            ("imagefs.inodesFree", Threshold::Part(0.05), true),
        ]
    );
    assert_eq!(found.eviction.pressure_transition, Duration::from_secs(300));
    assert_eq!(found.eviction.max_pod_grace, Duration::ZERO);
    assert_eq!((found.cpu_cfs_quota, found.cpu_cfs_quota_period), (true, Duration::from_millis(100)));
    assert_eq!(found.resolv_conf.as_deref(), Some(Path::new("/etc/resolv.conf")));
    assert_eq!((found.api_server, found.cluster_domain), (None, None));
    assert_eq!(found.logging, Logging::default());
}

#[test]
fn the_sample_says_nothing_and_uncommented_says_the_defaults() {
    let sample = sample();
    assert_eq!(Bench::new(&sample).load(), Ok(defaults()));
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    let written: String = sample.lines().map(uncomment).collect();
    assert_eq!(Bench::new(&written).load(), Ok(defaults()), "{written}");
    for key in keys::KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(written.lines().any(|line| line.trim_start().starts_with(&format!("{name}:"))), "{name}");
    }
    assert!(sample.lines().all(|line| line.len() <= 120), "{sample}");
}

#[test]
fn the_packaged_file_is_the_sample() {
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/config.yaml");
    assert_eq!(
        fs::read_to_string(packaged).unwrap(),
        sample(),
        "write what `check-config --print-default` prints"
    );
}

#[test]
fn every_key_can_be_written() {
    let found = Bench::new(
        "nodeName: edge-1\nnodeIPs: [192.0.2.7, '2001:db8::7']\nstore: {path: /m, poll: always, pollInterval: 1m30s}\n\
         containerdEndpoint: /run/c.sock\ncgroupDriver: systemd\nclusterDNS:\n- 10.96.0.10\nclusterDomain: cluster.local\n\
         resolvConf: ''\nmaxPods: 20\npodPidsLimit: 4096\nseccompDefault: yes\nallowedUnsafeSysctls: [net.ipv4.*]\n\
         cpuCFSQuota: false\ncrashLoopBackOff: {maxContainerRestartPeriod: 10s}\nmaxParallelImagePulls: 3\ncontainerLogMaxSize: 1Gi\ncontainerLogMaxFiles: 3\n\
         apiServer: {host: 192.0.2.1, port: 6443}\nsystemReserved: {cpu: 1, memory: 1Gi}\n\
         evictionHard: {memory.available: 5%}\nlogging: {level: debug, format: json}\n",
    )
    .load()
    .unwrap();
    assert_eq!(found.node_name.unwrap().as_str(), "edge-1");
    assert_eq!(found.node_ips.len(), 2);
    assert_eq!((found.store.poll, found.store.poll_interval), (Poll::Always, Duration::from_secs(90)));
    assert_eq!(found.containerd_endpoint, Path::new("/run/c.sock"));
    assert_eq!(found.cgroup_driver, Some(Driver::Systemd));
    assert_eq!((found.cluster_dns.len(), found.cluster_domain.as_deref()), (1, Some("cluster.local")));
    assert_eq!((found.resolv_conf, found.resources.max_pods, found.pod_pids_limit), (None, 20, Some(4096)));
    assert!(found.seccomp_default && !found.cpu_cfs_quota);
    assert_eq!(found.max_container_restart_period, Duration::from_secs(10));
    assert_eq!((found.container_logs.max_size, found.container_logs.max_files), (Some(1 << 30), 3));
    assert_eq!((found.image_gc.high_percent, found.image_gc.low_percent), (85, 80));
    assert_eq!(found.api_server, Some(ApiServer { host: "192.0.2.1".to_owned(), port: 6443 }));
    assert_eq!(
        found.resources.system_reserved,
        Reserved { cpu_millis: 1000, memory_bytes: 1 << 30, ephemeral_storage_bytes: 0 }
    );
    let eviction = found.resources.eviction_hard;
    assert_eq!((eviction.memory_available, eviction.nodefs_available), (Some(Threshold::Part(0.05)), None));
    assert_eq!(found.logging, Logging { level: LogLevel::Debug, format: LogFormat::Json });
}

#[test]
fn eviction_is_configured_under_the_kubelets_names() {
    let found = Bench::new(
        "evictionHard: {memory.available: 0%, pid.available: 100, containerfs.available: 5%}\n\
         evictionSoft: {nodefs.available: 20%}\nevictionSoftGracePeriod: {nodefs.available: 1m30s}\n\
         evictionMinimumReclaim: {nodefs.available: 1Gi}\nevictionMaxPodGracePeriod: 30\n\
         evictionPressureTransitionPeriod: 10s\n",
    )
    .load()
    .unwrap()
    .eviction;
    let soft = crate::eviction::policy::Threshold {
        signal: crate::eviction::Signal::NodeFsAvailable,
        value: Threshold::Part(0.2),
        grace: Duration::from_secs(90),
        min_reclaim: Some(Threshold::Amount(Quantity::from_value(1 << 30))),
    };
    assert_eq!(found.thresholds.len(), 2, "{found:?}");
    assert_eq!(found.thresholds[0], soft);
    assert_eq!(found.max_pod_grace, Duration::from_secs(30));
    let refused = Bench::new("evictionSoft: {memory.available: 1Gi, disk: 1}\n").load().unwrap_err();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().any(|problem| problem.contains("evictionSoftGracePeriod")), "{refused:?}");
}

#[test]
fn later_sources_are_laid_over_earlier_ones() {
    let bench =
        Bench::new("nodeName: file\nmaxPods: 1\nrootDir: /file\napiSocket: /file\nclusterDNS: [192.0.2.1]\n")
            .drop_in("20-b.yaml", "maxPods: 20\n")
            .drop_in("10-a.yaml", "maxPods: 10\nrootDir: /drop-in\napiSocket: /drop-in\nnodeName: null\n")
            .drop_in("30-c.yaml.backup", "maxPods: 30\n")
            .drop_in(".40-d.yaml", "maxPods: 40\n");
    let mut sources = bench.sources();
    sources.environment = pairs(&[
        ("DAEMONLET_ROOT_DIR", "/environment"),
        ("DAEMONLET_API_SOCKET", "/environment"),
        ("DAEMONLET_CLUSTER_DNS", "192.0.2.2, 192.0.2.3"),
        ("HOME", "/root"),
    ]);
    sources.flags = pairs(&[("apiSocket", "/flag")]);
    let found = load(&sources).unwrap().settings;
    assert_eq!(found.node_name, None, "null is the default again");
    assert_eq!(found.resources.max_pods, 20);
    assert_eq!((found.root_dir, found.api_socket), (PathBuf::from("/environment"), PathBuf::from("/flag")));
    assert_eq!(found.cluster_dns.len(), 2);
}

#[test]
fn maps_are_united_over_files_but_never_with_the_defaults() {
    let bench = Bench::new("kubeReserved: {cpu: 1, memory: 1Gi}\nevictionHard: {pid.available: 10%}\n")
        .drop_in("a.yaml", "kubeReserved: {memory: 2Gi}\nevictionHard: {memory.available: 1Gi}\n");
    let Settings { resources: found, eviction, .. } = bench.load().unwrap();
    assert_eq!((found.kube_reserved.cpu_millis, found.kube_reserved.memory_bytes), (1000, 2 << 30));
    assert_eq!(found.eviction_hard.nodefs_available, None);
    assert_eq!(found.eviction_hard.memory_available, Some(Threshold::Amount(Quantity::from_value(1 << 30))));
    let of_pids = |it: &&crate::eviction::policy::Threshold| it.signal.as_str() == "pid.available";
    let of_pids = eviction.thresholds.iter().find(of_pids).map(|threshold| threshold.value);
    assert_eq!(of_pids, Some(Threshold::Part(0.1)));
}
