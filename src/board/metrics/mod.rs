//! What `/metrics` tells, in `OpenMetrics` text.
//!
//! Two sources: counters that their owners raise, and gauges read off the board at the time of the scrape, so that no number
//! is kept twice. Every name begins with `daemonlet_`, but for what every process has; the kubelet's names stay the kubelet's.

mod at_scrape;
mod classic;
mod process;

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI64;
use std::time::SystemTime;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::at_scrape::AtScrape;
pub use self::classic::CLASSIC_CONTENT_TYPE;
use self::process::{Process, seconds};
use super::Board;

/// The media type of [`Metrics::encode`]'s text.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    store_listed: Gauge,
    runtime_listed: Gauge,
    at_scrape: AtScrape,
    process: Process,
    of_process: Registry,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Metrics {
    /// All counters at zero, for a build of this version.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("daemonlet");
        registry.register("build", "The build that runs", Info::new([("version", version)]));

        let at_scrape = AtScrape::register(&mut registry);
        let mut of_process = Registry::default();
        let process = Process::register(&mut of_process);
        let metrics = Self {
            call_counts: OnceLock::new(),
            reconciles: Counter::default(),
            worker_syncs: Counter::default(),
            worker_panics: Counter::default(),
            evictions: Family::default(),
            event_stream_up: Gauge::<i64, AtomicI64>::default(),
            store_changes: Family::default(),
            store_listed: Gauge::default(),
            runtime_listed: Gauge::default(),
            at_scrape,
            process,
            of_process,
            registry: Registry::default(),
        };
        registry.register(
            "store_last_list_timestamp_seconds",
            "When the store was last listed completely, since unix epoch",
            metrics.store_listed.clone(),
        );
        registry.register(
            "runtime_last_list_timestamp_seconds",
            "When the container runtime was last listed, since unix epoch",
            metrics.runtime_listed.clone(),
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

    /// Notes that the store has just been listed completely.
    pub fn note_store_listed(&self) {
        self.store_listed.set(seconds(SystemTime::now()));
    }

    /// Notes that the container runtime has just been listed.
    pub fn note_runtime_listed(&self) {
        self.runtime_listed.set(seconds(SystemTime::now()));
    }

    /// All metrics as `OpenMetrics` text, the gauges as the board has them now.
    pub fn encode(&self, board: &Board) -> String {
        self.at_scrape.read(board);
        self.process.read();
        if let Some(counts) = self.call_counts.get() {
            self.at_scrape.read_calls(&counts());
        }
        let mut out = String::new();
        // Writing to a String can't fail; a metric that can't be encoded leaves the text without its end mark, and the scrape fails.
        let _ = text::encode_registry(&mut out, &self.of_process)
            .and_then(|()| text::encode_registry(&mut out, &self.registry))
            .and_then(|()| text::encode_eof(&mut out));
        out
    }

    /// All metrics in Prometheus' older text format.
    pub fn encode_classic(&self, board: &Board) -> String {
        classic::classic(&self.encode(board))
    }
}
