//! The merged layers to [`Settings`]: every value checked, every problem told.

use std::time::Duration;

use super::eviction::eviction;
use super::layer::Layer;
use super::policy::policy;
use super::problem::Problem;
use super::reader::{Names, Reader};
use super::settings::{
    ApiServer, AppliedBundles, LogBounds, LogFormat, LogLevel, Logging, OnKubelet, Poll, Settings, Store,
};
use super::value::{
    amount, cpu_millis, domain, duration_within, endpoint, flag, hold_within, ip, log_size, node_name,
    number_within, path, sysctl,
};
use crate::cgroup::Driver;
use crate::image::garbage::Thresholds as ImageThresholds;
use crate::node::{Reserved, ResourcePolicy};
use crate::rollout::hold::LONGEST as LONGEST_HOLD;
use crate::shutdown::{Period, Schedule};

/// The default port of the Kubernetes API's Service.
const HTTPS: i64 = 443;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Checks what is written and fills in defaults. With any problem among `problems` the result must not be used.
pub(super) fn settings(layer: &Layer, problems: &mut Vec<Problem>) -> Settings {
    let mut read = Reader::new(layer, problems);
    let container_runtime_endpoint = read.text("containerRuntimeEndpoint", endpoint);
    let (eviction, eviction_hard) = eviction(&mut read);
    let logging = Logging {
        level: read.word(
            "logging.level",
            &[
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("trace", LogLevel::Trace),
            ],
        ),
        format: read.word(
            "logging.format",
            &[
                ("auto", LogFormat::Auto),
                ("text", LogFormat::Text),
                ("json", LogFormat::Json),
                ("journald", LogFormat::Journald),
            ],
        ),
    };
    Settings {
        node_name: read.optional("nodeName", node_name),
        node_file: read.text("nodeFile", path),
        node_ips: node_ips(&mut read),
        root_dir: read.text("rootDir", path),
        store: store(&mut read),
        containerd_endpoint: read
            .optional("containerdEndpoint", endpoint)
            .unwrap_or_else(|| container_runtime_endpoint.clone()),
        container_runtime_endpoint,
        runtime_request_timeout: read.text("runtimeRequestTimeout", duration_within(SECOND, HOUR)),
        runtime_relist_interval: read.text("runtimeRelistInterval", duration_within(SECOND, YEAR)),
        api_socket: read.text("apiSocket", path),
        pod_logs_dir: read.text("podLogsDir", path),
        container_logs_dir: read.text("containerLogsDir", path),
        cgroup_driver: read.word(
            "cgroupDriver",
            &[("auto", None), ("cgroupfs", Some(Driver::Cgroupfs)), ("systemd", Some(Driver::Systemd))],
        ),
        cgroup_root: read.text("cgroupRoot", |text| Ok(text.to_owned())),
        cluster_dns: read.list("clusterDNS", ip),
        cluster_domain: read.optional("clusterDomain", domain),
        resolv_conf: read.optional("resolvConf", path),
        pod_pids_limit: u64::try_from(read.text("podPidsLimit", number_within(-1, i64::MAX)))
            .ok()
            .filter(|limit| *limit > 0),
        seccomp_default: read.text("seccompDefault", flag),
        allowed_unsafe_sysctls: read.list("allowedUnsafeSysctls", sysctl),
        cpu_cfs_quota: read.text("cpuCFSQuota", flag),
        cpu_cfs_quota_period: read
            .text("cpuCFSQuotaPeriod", duration_within(Duration::from_millis(1), SECOND)),
        max_container_restart_period: read
            .text("crashLoopBackOff.maxContainerRestartPeriod", duration_within(SECOND, 300 * SECOND)),
        container_logs: LogBounds {
            max_size: read.text("containerLogMaxSize", log_size),
            max_files: read.number("containerLogMaxFiles", 2),
        },
        image_gc: image_gc(&mut read),
        image_credentials_file: read.optional("imageCredentialsFile", path),
        image_archives_dir: read.optional("imageArchivesDir", path),
        built_in_sandbox_image: read.text("builtInSandboxImage", flag),
        trust_file: read.optional("trustFile", path),
        bundles: if read.text("keepBundles", flag) { AppliedBundles::Kept } else { AppliedBundles::LetGo },
        max_parallel_image_pulls: read.number("maxParallelImagePulls", 1),
        api_server: api_server(&mut read),
        policy: policy(&mut read),
        resources: ResourcePolicy {
            max_pods: read.number("maxPods", 0),
            system_reserved: reserved(&mut read, "systemReserved"),
            kube_reserved: reserved(&mut read, "kubeReserved"),
            eviction_hard,
        },
        eviction,
        holds_dir: read.text("holdsDir", path),
        hold_file_ttl: read.text("holdFileTTL", duration_within(SECOND, LONGEST_HOLD)),
        on_kubelet: read.word(
            "onKubelet",
            &[("refuse", OnKubelet::Refuse), ("yield", OnKubelet::Yield), ("handover", OnKubelet::HandOver)],
        ),
        static_pod_path: read.optional("staticPodPath", path),
        static_pod_start_deadline: read.text("staticPodStartDeadline", duration_within(Duration::ZERO, HOUR)),
        shutdown: shutdown(&mut read),
        logging,
    }
}

fn shutdown(read: &mut Reader<'_>) -> Schedule {
    let grace = duration_within(Duration::ZERO, HOUR);
    let (total, critical) =
        (read.text("shutdownGracePeriod", &grace), read.text("shutdownGracePeriodCriticalPods", &grace));
    let mut periods = Vec::new();
    read.map("shutdownGracePeriodByPodPriority", Names::Any, |priority, text| {
        let priority = priority.parse().map_err(|_| "is not a pod priority".to_owned())?;
        periods.push(Period { priority, grace: grace(text)? });
        Ok(())
    });
    if !periods.is_empty() {
        return Schedule::new(periods);
    }
    if critical > total && !total.is_zero() {
        let message =
            "shutdownGracePeriodCriticalPods is more than shutdownGracePeriod, of which it is a part";
        let keys = ["shutdownGracePeriodCriticalPods", "shutdownGracePeriod"];
        read.refuse_together(keys, format!("{message} ({critical:?} of {total:?})"));
    }
    Schedule::of(total, critical)
}

fn store(read: &mut Reader<'_>) -> Store {
    Store {
        path: read.text("store.path", path),
        settle: read.text("store.settle", duration_within(Duration::from_millis(1), 60 * SECOND)),
        poll: read
            .word("store.poll", &[("auto", Poll::Auto), ("always", Poll::Always), ("never", Poll::Never)]),
        poll_interval: read.text("store.pollInterval", duration_within(SECOND, HOUR)),
        relist_interval: read.text("store.relistInterval", duration_within(SECOND, YEAR)),
        empty_hold: read.text("store.emptyHold", hold_within(YEAR)),
    }
}

fn image_gc(read: &mut Reader<'_>) -> ImageThresholds {
    let mut percent = |path| u8::try_from(read.text(path, number_within(0, 100))).unwrap_or(100);
    let (high_percent, low_percent) =
        (percent("imageGCHighThresholdPercent"), percent("imageGCLowThresholdPercent"));
    if low_percent >= high_percent {
        let keys = ["imageGCHighThresholdPercent", "imageGCLowThresholdPercent"];
        let message = format!(
            "imageGCHighThresholdPercent ({high_percent}) is not above imageGCLowThresholdPercent ({low_percent})"
        );
        read.refuse_together(keys, message);
    }
    let min_age = read.text("imageMinimumGCAge", duration_within(Duration::ZERO, YEAR));
    ImageThresholds { high_percent, low_percent, min_age }
}

fn node_ips(read: &mut Reader<'_>) -> Vec<std::net::IpAddr> {
    let found = read.list("nodeIPs", |text| {
        let found = ip(text)?;
        let unusable = found.is_unspecified() || found.is_loopback() || found.is_multicast();
        if unusable { Err(format!("{found} cannot be reached from elsewhere")) } else { Ok(found) }
    });
    let of_family = |v4: bool| found.iter().filter(|ip| ip.is_ipv4() == v4).count();
    if of_family(true) > 1 || of_family(false) > 1 {
        read.refuse("nodeIPs", "at most one IPv4 and one IPv6 address".to_owned());
    }
    found
}

fn api_server(read: &mut Reader<'_>) -> Option<ApiServer> {
    let host = read.optional("apiServer.host", |text| Ok::<_, String>(text.to_owned()));
    let port = read.text("apiServer.port", number_within(1, i64::from(u16::MAX)));
    if host.is_none() && port != HTTPS {
        read.refuse("apiServer.port", "a port without apiServer.host".to_owned());
    }
    Some(ApiServer { host: host?, port: u16::try_from(port).unwrap_or_default() })
}

fn reserved(read: &mut Reader<'_>, path: &'static str) -> Reserved {
    let mut found = Reserved::default();
    read.map(path, Names::Known(&["cpu", "memory", "ephemeral-storage"]), |name, text| {
        match name {
            "cpu" => found.cpu_millis = cpu_millis(text)?,
            "memory" => found.memory_bytes = amount(text)?,
            _ => found.ephemeral_storage_bytes = amount(text)?,
        }
        Ok(())
    });
    found
}
