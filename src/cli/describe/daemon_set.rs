//! All about a DaemonSet.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetCondition};
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;

use super::description::Description;
use super::{events, lists, template};
use crate::api::table::{format_label_selector, format_labels};

pub(super) fn describe(daemon_set: &DaemonSet, pods: &[Pod], events: &[Event], now: Timestamp) -> String {
    let metadata = &daemon_set.metadata;
    let spec = daemon_set.spec.clone().unwrap_or_default();
    let status = daemon_set.status.clone().unwrap_or_default();
    let node_selector = spec.template.spec.as_ref().and_then(|pod| pod.node_selector.as_ref());
    let mut description = Description::default();
    description.field(0, "Name", metadata.name.as_deref().unwrap_or_default());
    description.field(0, "Namespace", metadata.namespace.as_deref().unwrap_or_default());
    description.field(0, "Selector", format_label_selector(&spec.selector));
    description.field(0, "Node-Selector", format_labels(node_selector));
    lists::labels(&mut description, 0, "Labels", metadata.labels.as_ref());
    lists::annotations(&mut description, 0, metadata.annotations.as_ref());
    for (name, count) in [
        ("Desired Number of Nodes Scheduled", status.desired_number_scheduled),
        ("Current Number of Nodes Scheduled", status.current_number_scheduled),
        (
            "Number of Nodes Scheduled with Up-to-date Pods",
            status.updated_number_scheduled.unwrap_or_default(),
        ),
        ("Number of Nodes Scheduled with Available Pods", status.number_available.unwrap_or_default()),
        ("Number of Nodes Misscheduled", status.number_misscheduled),
    ] {
        description.line(0, format_args!("{name}: {count}"));
    }
    let count = |phase: &str| {
        let phase_of = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
        pods.iter().filter(|pod| phase_of(pod).as_deref() == Some(phase)).count()
    };
    description.field(
        0,
        "Pods Status",
        format_args!(
            "{} Running / {} Waiting / {} Succeeded / {} Failed",
            count("Running"),
            count("Pending"),
            count("Succeeded"),
            count("Failed")
        ),
    );
    conditions(&mut description, status.conditions.as_deref().unwrap_or_default());
    template::describe(&mut description, &spec.template);
    events::describe(&mut description, events, now);
    description.finish()
}

/// kubectl shows none, as its controller sets none; here they say what is out of the ordinary.
fn conditions(description: &mut Description, conditions: &[DaemonSetCondition]) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    description.conditions(
        ["Type", "Status", "Reason", "Message"],
        conditions
            .iter()
            .map(|it| [it.type_.clone(), it.status.clone(), text(&it.reason), text(&it.message)]),
    );
}
