//! Defaults of a DaemonSet.

use k8s_openapi::api::apps::v1::{DaemonSet, RollingUpdateDaemonSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{pod, text};

/// Fills in the defaults of a DaemonSet and of its pod template.
pub fn daemon_set(daemon_set: &mut DaemonSet) {
    let spec = daemon_set.spec.get_or_insert_default();
    let strategy = spec.update_strategy.get_or_insert_default();
    text(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let update = strategy.rolling_update.get_or_insert_with(RollingUpdateDaemonSet::default);
        update.max_unavailable.get_or_insert(IntOrString::Int(1));
        update.max_surge.get_or_insert(IntOrString::Int(0));
    }
    spec.revision_history_limit.get_or_insert(10);
    pod::spec(spec.template.spec.get_or_insert_default());
}
