//! The merged layers to [`Settings`]: every value checked, every problem told.

use std::time::Duration;

use super::eviction::eviction;
use super::keys::{Key, Shape, find};
use super::layer::{Given, Layer, kind, leaf};
use super::policy::policy;
use super::problem::{Origin, Problem};
use super::settings::{
    ApiServer, AppliedBundles, LogBounds, LogFormat, LogLevel, Logging, OnKubelet, Poll, Settings, Store,
};
use super::value::{
    amount, cpu_millis, domain, duration_within, endpoint, flag, ip, log_size, node_name, number_within,
    path, sysctl,
};
use crate::cgroup::Driver;
use crate::image::garbage::Thresholds as ImageThresholds;
use crate::manifest::tree::{Entry, Node, Value};
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
    let mut read = Reader { layer, problems };
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
        let message = "is more than shutdownGracePeriod, of which it is a part".to_owned();
        read.refuse("shutdownGracePeriodCriticalPods", message);
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
        empty_hold: read.text("store.emptyHold", duration_within(Duration::ZERO, YEAR)),
    }
}

fn image_gc(read: &mut Reader<'_>) -> ImageThresholds {
    let mut percent = |path| u8::try_from(read.text(path, number_within(0, 100))).unwrap_or(100);
    let (high_percent, low_percent) =
        (percent("imageGCHighThresholdPercent"), percent("imageGCLowThresholdPercent"));
    if low_percent >= high_percent {
        let message = format!("{high_percent} is not above imageGCLowThresholdPercent ({low_percent})");
        read.refuse("imageGCHighThresholdPercent", message);
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

/// Which names a map may have.
#[derive(Clone, Copy)]
pub(super) enum Names<'a> {
    Known(&'a [&'a str]),
    /// Whatever can be made sense of.
    Any,
}

/// Takes values out of a layer. Where one is wrong it notes the problem and goes on with a stand-in.
pub(super) struct Reader<'a> {
    layer: &'a Layer,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// A single value.
    pub(super) fn text<T: Default>(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let (key, given) = self.given(path);
        let read = scalar(key, &given.node.value).and_then(|text| parse(&text));
        read.unwrap_or_else(|message| {
            self.note(path, &given, 0, message);
            T::default()
        })
    }

    /// A single value, or none where it is empty.
    fn optional<T>(&mut self, path: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.text(path, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }

    /// A whole number from `least` on.
    fn number(&mut self, path: &'static str, least: i64) -> u32 {
        u32::try_from(self.text(path, number_within(least, i64::from(u32::MAX)))).unwrap_or_default()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy + Default>(&mut self, path: &'static str, words: &[(&str, T)]) -> T {
        self.text(path, |text| {
            let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            found.ok_or_else(|| format!("{text:?} is none of {}", all.join(", ")))
        })
    }

    /// A list of single values.
    pub(super) fn list<T>(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let (key, given) = self.given(path);
        let items = match &given.node.value {
            Value::List(items) => items.clone(),
            Value::String(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| leaf(Value::String(part.to_owned()))).collect()
            }
            other => {
                self.note(path, &given, 0, format!("must be a list, not {}", kind(other)));
                Vec::new()
            }
        };
        let mut found = Vec::new();
        for item in items {
            match scalar(key, &item.value).and_then(|text| parse(&text)) {
                Ok(value) => found.push(value),
                Err(message) => self.note(path, &given, item.line, message),
            }
        }
        found
    }

    /// A map whose names are such as `names` allows, each given to `take`.
    pub(super) fn map(
        &mut self,
        path: &'static str,
        names: Names<'_>,
        mut take: impl FnMut(&str, &str) -> Result<(), String>,
    ) {
        let (key, given) = self.given(path);
        let entries = match &given.node.value {
            Value::Map(entries) => entries.clone(),
            Value::String(text) => pairs(text),
            other => {
                self.note(
                    path,
                    &given,
                    0,
                    format!("must have a value for each name, not be {}", kind(other)),
                );
                Vec::new()
            }
        };
        for Entry { key: name, line, node } in entries {
            let read = match names {
                Names::Known(known) if !known.contains(&name.as_str()) => {
                    Err(format!("there is no such name, only {}", known.join(", ")))
                }
                Names::Known(_) | Names::Any => scalar(key, &node.value).and_then(|text| take(&name, &text)),
            };
            if let Err(message) = read {
                self.note(path, &given, line, format!("{name}: {message}"));
            }
        }
    }

    pub(super) fn refuse(&mut self, path: &'static str, message: String) {
        let (_, given) = self.given(path);
        self.note(path, &given, 0, message);
    }

    /// What is written, or the default.
    fn given(&self, path: &'static str) -> (Option<&'static Key>, Given) {
        let key = find(path);
        let written = self.layer.0.get(path).filter(|given| given.node.value != Value::Null).cloned();
        let given = written.unwrap_or_else(|| {
            let default = key.map(|key| key.default).unwrap_or_default();
            Given { node: leaf(Value::String(default.to_owned())), origin: Origin::Default }
        });
        (key, given)
    }

    /// Notes a problem at a line of its own, where there is one.
    fn note(&mut self, path: &str, given: &Given, line: u32, message: String) {
        let origin = match &given.origin {
            Origin::File { path, .. } if line > 0 => Origin::File { path: path.clone(), line },
            origin => origin.clone(),
        };
        self.problems.push(Problem { origin, key: path.to_owned(), message });
    }
}

/// The text of a single value. A number where a text is due is refused: YAML has read it already, and `010` is 8 by now.
fn scalar(key: Option<&Key>, value: &Value) -> Result<String, String> {
    let numbers = key.is_none_or(|key| matches!(key.shape, Shape::Bare | Shape::Map));
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) if numbers => Ok(flag.to_string()),
        Value::Int(number) if numbers => Ok(number.to_string()),
        Value::Float(number) if numbers => Ok(number.to_string()),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => Err(format!(
            "must be a string, not {}: write it in quotes, and with its unit if it has one",
            kind(value)
        )),
        Value::Null => Err("has no value".to_owned()),
        Value::List(_) | Value::Map(_) => Err(format!("must be a single value, not {}", kind(value))),
    }
}

fn pairs(text: &str) -> Vec<Entry> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let node = Node { line: 0, value: Value::String(value.to_owned()) };
            Entry { key: name.to_owned(), line: 0, node }
        })
        .collect()
}
