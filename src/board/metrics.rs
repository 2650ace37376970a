//! What `/metrics` tells, in `OpenMetrics` text.
//!
//! Two sources: counters that their owners raise, and gauges read off the board at the time of the scrape, so that no number
//! is kept twice. Every name begins with `daemonlet_`; the kubelet's names stay the kubelet's.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Board;
use crate::manifest::Severity;
use crate::store::Freshness;

/// The media type of [`Metrics::encode`]'s text.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const POD_PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

/// How often one method of the runtime was called, and how often of these in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodCount {
    /// The method's name in the CRI.
    pub method: &'static str,
    /// How often it was called.
    pub calls: u64,
    /// How often it failed.
    pub failures: u64,
}

/// What may happen to an object of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreChange {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

/// Who counts the calls of the runtime.
type CallCounts = Box<dyn Fn() -> Vec<MethodCount> + Send + Sync>;

type Labels<const N: usize> = [(&'static str, String); N];
type StaticLabels = [(&'static str, &'static str); 1];

/// The agent's metrics. Shared as `Arc<Metrics>`; raising a counter costs no lock after its first time.
pub struct Metrics {
    registry: Registry,
    call_counts: OnceLock<CallCounts>,
    reconciles: Counter,
    worker_syncs: Counter,
    worker_panics: Counter,
    evictions: Family<StaticLabels, Counter>,
    event_stream_up: Gauge,
    store_changes: Family<StaticLabels, Counter>,
    at_scrape: AtScrape,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("registry", &self.registry).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct AtScrape {
    cri_calls: Family<StaticLabels, Counter>,
    cri_errors: Family<StaticLabels, Counter>,
    pods: Family<StaticLabels, Gauge>,
    desired: Family<Labels<2>, Gauge>,
    ready: Family<Labels<2>, Gauge>,
    restarts: Family<Labels<3>, Counter>,
    store_problems: Family<StaticLabels, Gauge>,
    store_objects: Gauge,
    store_fresh: Gauge,
}

impl Metrics {
    /// All counters at zero, for a build of this version.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("daemonlet");
        registry.register("build", "The build that runs", Info::new([("version", version)]));

        let at_scrape = AtScrape::default();
        registry.register("pods", "Pods on this node by phase", at_scrape.pods.clone());
        registry.register(
            "daemonset_desired",
            "Pods a DaemonSet wants on this node",
            at_scrape.desired.clone(),
        );
        registry.register(
            "daemonset_ready",
            "Ready pods of a DaemonSet on this node",
            at_scrape.ready.clone(),
        );
        registry.register("container_restarts", "Restarts of a container", at_scrape.restarts.clone());
        registry.register(
            "store_problems",
            "Problems in the store by severity",
            at_scrape.store_problems.clone(),
        );
        registry.register("store_objects", "Good objects in the store", at_scrape.store_objects.clone());
        registry.register(
            "store_fresh",
            "1 if the store can be read, 0 if the last good content is used",
            at_scrape.store_fresh.clone(),
        );

        let metrics = Self {
            call_counts: OnceLock::new(),
            reconciles: Counter::default(),
            worker_syncs: Counter::default(),
            worker_panics: Counter::default(),
            evictions: Family::default(),
            event_stream_up: Gauge::<i64, AtomicI64>::default(),
            store_changes: Family::default(),
            at_scrape,
            registry: Registry::default(),
        };
        registry.register("cri_calls", "CRI calls by method", metrics.at_scrape.cri_calls.clone());
        registry.register(
            "cri_errors",
            "CRI calls that failed, by method",
            metrics.at_scrape.cri_errors.clone(),
        );
        registry.register("reconciles", "Times the whole node was reconciled", metrics.reconciles.clone());
        registry.register("worker_syncs", "Times a pod worker synced its pod", metrics.worker_syncs.clone());
        registry.register("worker_panics", "Panics caught in pod workers", metrics.worker_panics.clone());
        registry.register(
            "store_changes",
            "Objects that came into the store, changed or left it",
            metrics.store_changes.clone(),
        );
        registry.register(
            "evictions",
            "Pods that were evicted, by the signal for which",
            metrics.evictions.clone(),
        );
        registry.register(
            "runtime_event_stream_up",
            "1 while the runtime's event stream is connected",
            metrics.event_stream_up.clone(),
        );
        Self { registry, ..metrics }
    }

    /// Says who counts the calls of the runtime. The first to be named stays.
    pub fn count_calls_by(&self, counts: impl Fn() -> Vec<MethodCount> + Send + Sync + 'static) {
        let _ = self.call_counts.set(Box::new(counts));
    }

    /// Counts a reconciliation of the node.
    pub fn count_reconcile(&self) {
        self.reconciles.inc();
    }

    /// Counts a sync of one pod.
    pub fn count_worker_sync(&self) {
        self.worker_syncs.inc();
    }

    /// Counts a panic that ended one pod's sync.
    pub fn count_worker_panic(&self) {
        self.worker_panics.inc();
    }

    /// Counts a pod that was evicted, under the kubelet's name for what it went for.
    pub fn count_eviction(&self, signal: &'static str) {
        self.evictions.get_or_create(&[("eviction_signal", signal)]).inc();
    }

    /// Counts objects of the store to which the same has happened.
    pub fn count_store_changes(&self, change: StoreChange, count: usize) {
        let label = match change {
            StoreChange::Added => "added",
            StoreChange::Changed => "changed",
            StoreChange::Removed => "removed",
        };
        self.store_changes.get_or_create(&[("change", label)]).inc_by(count as u64);
    }

    /// Says whether the runtime's event stream is connected.
    pub fn set_event_stream_up(&self, is_up: bool) {
        self.event_stream_up.set(i64::from(is_up));
    }

    /// All metrics as `OpenMetrics` text, the gauges as the board has them now.
    pub fn encode(&self, board: &Board) -> String {
        self.at_scrape.read(board);
        if let Some(counts) = self.call_counts.get() {
            self.at_scrape.read_calls(&counts());
        }
        let mut out = String::new();
        // Writing to a String can't fail; a metric that can't be encoded leaves the text without its end mark, and the scrape fails.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

impl AtScrape {
    fn read(&self, board: &Board) {
        self.read_pods(board);
        self.desired.clear();
        self.ready.clear();
        for daemon_set in board.daemon_sets() {
            let labels = [
                ("namespace", daemon_set.metadata.namespace.clone().unwrap_or_default()),
                ("daemonset", daemon_set.metadata.name.clone().unwrap_or_default()),
            ];
            let status = daemon_set.status.as_ref();
            self.desired
                .get_or_create(&labels)
                .set(status.map_or(0, |status| i64::from(status.desired_number_scheduled)));
            self.ready.get_or_create(&labels).set(status.map_or(0, |status| i64::from(status.number_ready)));
        }
        let store = board.store_status();
        for (severity, label) in
            [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Notice, "notice")]
        {
            let count = store.problems.iter().filter(|problem| problem.severity == severity).count();
            self.store_problems.get_or_create(&[("severity", label)]).set(gauge(count));
        }
        self.store_objects.set(gauge(store.objects));
        self.store_fresh.set(i64::from(store.freshness == Freshness::Current));
    }

    fn read_calls(&self, counts: &[MethodCount]) {
        self.cri_calls.clear();
        self.cri_errors.clear();
        for count in counts.iter().filter(|count| count.calls > 0) {
            let labels = [("method", count.method)];
            self.cri_calls.get_or_create(&labels).inc_by(count.calls);
            self.cri_errors.get_or_create(&labels).inc_by(count.failures);
        }
    }

    fn read_pods(&self, board: &Board) {
        let pods = board.pods();
        let phase_of = |pod: &k8s_openapi::api::core::v1::Pod| {
            let phase = pod.status.as_ref()?.phase.as_deref()?;
            POD_PHASES.into_iter().find(|known| *known == phase)
        };
        for phase in POD_PHASES {
            let count = pods.iter().filter(|pod| phase_of(pod).unwrap_or("Unknown") == phase).count();
            self.pods.get_or_create(&[("phase", phase)]).set(gauge(count));
        }
        self.restarts.clear();
        for pod in &pods {
            let Some(status) = &pod.status else { continue };
            let containers = [&status.init_container_statuses, &status.container_statuses];
            for container in containers.into_iter().flatten().flatten() {
                let labels = [
                    ("namespace", pod.metadata.namespace.clone().unwrap_or_default()),
                    ("pod", pod.metadata.name.clone().unwrap_or_default()),
                    ("container", container.name.clone()),
                ];
                self.restarts
                    .get_or_create(&labels)
                    .inc_by(u64::try_from(container.restart_count).unwrap_or_default());
            }
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
