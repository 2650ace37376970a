//! The gauges that are read off the board when somebody asks, so that no number is kept twice.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::process::seconds;
use super::{MethodCount, StaticLabels};
use crate::board::Board;
use crate::boot_time;
use crate::manifest::Severity;
use crate::store::Freshness;

const POD_PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

type Labels<const N: usize> = [(&'static str, String); N];

#[derive(Debug, Default)]
pub(super) struct AtScrape {
    ready: Gauge,
    standing_by: Gauge,
    runtime_up: Gauge,
    cri_calls: Family<StaticLabels, Counter>,
    cri_errors: Family<StaticLabels, Counter>,
    pods: Family<StaticLabels, Gauge>,
    node_conditions: Family<Labels<1>, Gauge>,
    desired: Family<Labels<2>, Gauge>,
    updated: Family<Labels<2>, Gauge>,
    pods_ready: Family<Labels<2>, Gauge>,
    available: Family<Labels<2>, Gauge>,
    conditions: Family<Labels<3>, Gauge>,
    restarts: Family<Labels<3>, Counter>,
    waiting: Family<Labels<1>, Gauge>,
    store_problems: Family<StaticLabels, Gauge>,
    store_objects: Gauge,
    store_fresh: Gauge,
    store_refused: Gauge,
    removals_held: Gauge,
    removals_held_until: Gauge,
}

impl AtScrape {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        for (name, about, gauge) in [
            ("ready", "1 if the agent is ready", &all.ready),
            ("standing_by", "1 if the agent stands by because the node is a kubelet's", &all.standing_by),
            ("runtime_up", "1 if the container runtime answers and is ready", &all.runtime_up),
            ("store_objects", "Good objects in the store", &all.store_objects),
            (
                "store_fresh",
                "1 if what is used is what the store says now, 0 if the last good content is used or removals are held",
                &all.store_fresh,
            ),
            ("store_refused", "1 if the store is not trusted", &all.store_refused),
            (
                "store_removals_held",
                "Objects that the store has no longer and that are kept",
                &all.removals_held,
            ),
            (
                "store_removals_held_until_timestamp_seconds",
                "When held removals are believed, since unix epoch; 0 if no time ends the hold, or nothing is held",
                &all.removals_held_until,
            ),
        ] {
            registry.register(name, about, gauge.clone());
        }
        for (name, about, family) in [
            ("daemonset_desired", "Pods a DaemonSet wants on this node", &all.desired),
            ("daemonset_updated", "Pods of a DaemonSet's present revision", &all.updated),
            ("daemonset_ready", "Ready pods of a DaemonSet on this node", &all.pods_ready),
            ("daemonset_available", "Available pods of a DaemonSet on this node", &all.available),
        ] {
            registry.register(name, about, family.clone());
        }
        registry.register("pods", "Pods on this node by phase", all.pods.clone());
        registry.register(
            "daemonset_condition",
            "1 for what is out of the ordinary with a DaemonSet: UpdateHeld, Refused, TemplateOverridden, PodUnattended …",
            all.conditions.clone(),
        );
        registry.register(
            "node_condition",
            "1 if this condition of the node is true",
            all.node_conditions.clone(),
        );
        registry.register(
            "containers_waiting",
            "Containers that wait to start, by reason",
            all.waiting.clone(),
        );
        registry.register("container_restarts", "Restarts of a container", all.restarts.clone());
        registry.register("store_problems", "Problems in the store by severity", all.store_problems.clone());
        registry.register("cri_calls", "CRI calls by method", all.cri_calls.clone());
        registry.register("cri_errors", "CRI calls that failed, by method", all.cri_errors.clone());
        all
    }

    pub(super) fn read(&self, board: &Board) {
        self.ready.set(i64::from(board.readiness().is_ready()));
        self.standing_by.set(i64::from(board.stepped_back().is_some()));
        let runtime = board.runtime_status();
        self.runtime_up.set(i64::from(!runtime.version.is_empty() && runtime.problem.is_none()));
        self.node_conditions.clear();
        let node = board.node().and_then(|node| node.status.as_ref()?.conditions.clone());
        for condition in node.into_iter().flatten() {
            let is_true = i64::from(condition.status == "True");
            self.node_conditions.get_or_create(&[("condition", condition.type_)]).set(is_true);
        }
        self.read_pods(&board.pods());
        self.read_daemon_sets(&board.daemon_sets());
        self.read_store(board);
    }

    pub(super) fn read_calls(&self, counts: &[MethodCount]) {
        self.cri_calls.clear();
        self.cri_errors.clear();
        for count in counts.iter().filter(|count| count.calls > 0) {
            let labels = [("method", count.method)];
            self.cri_calls.get_or_create(&labels).inc_by(count.calls);
            self.cri_errors.get_or_create(&labels).inc_by(count.failures);
        }
    }

    fn read_store(&self, board: &Board) {
        let store = board.store_status();
        for (severity, label) in
            [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Notice, "notice")]
        {
            let count = store.problems.iter().filter(|problem| problem.severity == severity).count();
            self.store_problems.get_or_create(&[("severity", label)]).set(gauge(count));
        }
        self.store_objects.set(gauge(store.objects));
        self.store_fresh.set(i64::from(store.freshness == Freshness::Current));
        self.store_refused.set(i64::from(store.refused.is_some()));
        self.removals_held.set(store.held.as_ref().map_or(0, |held| gauge(held.objects.max(1))));
        let remaining = store.held.as_ref().and_then(|held| held.remaining(boot_time::uptime()));
        let until = remaining.map_or(0, |remaining| seconds(SystemTime::now() + remaining));
        self.removals_held_until.set(until);
    }

    fn read_daemon_sets(&self, daemon_sets: &[std::sync::Arc<DaemonSet>]) {
        for family in [&self.desired, &self.updated, &self.pods_ready, &self.available] {
            family.clear();
        }
        self.conditions.clear();
        for daemon_set in daemon_sets {
            let namespace = ("namespace", daemon_set.metadata.namespace.clone().unwrap_or_default());
            let name = ("daemonset", daemon_set.metadata.name.clone().unwrap_or_default());
            let status = daemon_set.status.clone().unwrap_or_default();
            let labels = [namespace, name];
            self.desired.get_or_create(&labels).set(i64::from(status.desired_number_scheduled));
            self.updated
                .get_or_create(&labels)
                .set(i64::from(status.updated_number_scheduled.unwrap_or_default()));
            self.pods_ready.get_or_create(&labels).set(i64::from(status.number_ready));
            self.available.get_or_create(&labels).set(i64::from(status.number_available.unwrap_or_default()));
            for condition in status.conditions.into_iter().flatten() {
                let [namespace, name] = labels.clone();
                let labels = [namespace, name, ("condition", condition.type_)];
                self.conditions.get_or_create(&labels).set(i64::from(condition.status == "True"));
            }
        }
    }

    fn read_pods(&self, pods: &[std::sync::Arc<Pod>]) {
        let phase_of = |pod: &Pod| {
            let phase = pod.status.as_ref()?.phase.as_deref()?;
            POD_PHASES.into_iter().find(|known| *known == phase)
        };
        for phase in POD_PHASES {
            let count = pods.iter().filter(|pod| phase_of(pod).unwrap_or("Unknown") == phase).count();
            self.pods.get_or_create(&[("phase", phase)]).set(gauge(count));
        }
        self.restarts.clear();
        self.waiting.clear();
        let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
        for pod in pods {
            for container in containers(pod) {
                let labels = [
                    ("namespace", pod.metadata.namespace.clone().unwrap_or_default()),
                    ("pod", pod.metadata.name.clone().unwrap_or_default()),
                    ("container", container.name.clone()),
                ];
                self.restarts
                    .get_or_create(&labels)
                    .inc_by(u64::try_from(container.restart_count).unwrap_or_default());
                let state = container.state.as_ref().and_then(|state| state.waiting.as_ref());
                if let Some(reason) = state.and_then(|waiting| waiting.reason.clone()) {
                    *waiting.entry(reason).or_default() += 1;
                }
            }
        }
        for (reason, count) in waiting {
            self.waiting.get_or_create(&[("reason", reason)]).set(gauge(count));
        }
    }
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status
        .flat_map(|status| [&status.init_container_statuses, &status.container_statuses])
        .flatten()
        .flatten()
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
