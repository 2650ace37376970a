//! Defaults of a pod's specification, as far as a template gets them.

use k8s_openapi::api::core::v1::PodSpec;

use super::{container, text, volume};

pub(super) fn spec(spec: &mut PodSpec) {
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.security_context.get_or_insert_default();
    // The two names of one field: the API keeps them equal, and the newer one rules.
    if spec.service_account_name.as_deref().unwrap_or_default().is_empty() {
        spec.service_account_name = spec.service_account.take();
    }
    spec.service_account = spec.service_account_name.clone();
    for quantity in spec.overhead.iter_mut().flat_map(|amounts| amounts.values_mut()) {
        container::round(quantity);
    }
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        container::container(container);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        volume::volume(volume);
    }
}
