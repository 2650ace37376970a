//! The row of a DaemonSet.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::jiff::Timestamp;

use super::cell::containers;
use super::{Cell, Column, format_label_selector, format_labels, since};

pub(super) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::number("Desired", "How many pods are wanted on this node."),
    Column::number("Current", "How many pods there are on this node."),
    Column::number("Ready", "How many pods are ready."),
    Column::number("Up-to-date", "How many pods are of the present template."),
    Column::number("Available", "How many pods have been ready for minReadySeconds."),
    Column::text("Node Selector", "The labels a node must have."),
    Column::AGE,
    Column::text("Containers", "The names of the template's containers.").wide(),
    Column::text("Images", "The images of the template's containers.").wide(),
    Column::text("Selector", "The labels by which the DaemonSet knows its pods.").wide(),
];

pub(super) fn cells(daemon_set: &DaemonSet, now: Timestamp) -> Vec<Cell> {
    let status = daemon_set.status.as_ref();
    let number =
        |read: fn(&k8s_openapi::api::apps::v1::DaemonSetStatus) -> i32| Cell::from(status.map_or(0, read));
    let spec = daemon_set.spec.as_ref();
    let pod = spec.and_then(|spec| spec.template.spec.as_ref());
    let (names, images) = containers(pod.map(|pod| pod.containers.as_slice()).unwrap_or_default());
    vec![
        daemon_set.metadata.name.as_deref().unwrap_or_default().into(),
        number(|status| status.desired_number_scheduled),
        number(|status| status.current_number_scheduled),
        number(|status| status.number_ready),
        number(|status| status.updated_number_scheduled.unwrap_or_default()),
        number(|status| status.number_available.unwrap_or_default()),
        format_labels(pod.and_then(|pod| pod.node_selector.as_ref())).into(),
        since(daemon_set.metadata.creation_timestamp.as_ref(), now).into(),
        names.into(),
        images.into(),
        spec.map(|spec| format_label_selector(&spec.selector)).unwrap_or_default().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_set_is_shown_with_its_counts_and_selectors() {
        let daemon_set: DaemonSet = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "logs", "namespace": "kube-system", "creationTimestamp": "2024-01-01T00:00:00Z"},
            "spec": {
                "selector": {
                    "matchLabels": {"name": "logs", "app": "fluentd", "app-tier": "1"},
                    "matchExpressions": [
                        {"key": "tier", "operator": "In", "values": ["b", "a"]},
                        {"key": "canary", "operator": "DoesNotExist"},
                    ],
                },
                "template": {"spec": {
                    "nodeSelector": {"b": "2", "a": "1", "a-b": "3"},
                    "containers": [{"name": "x", "image": "x:1"}, {"name": "y", "image": "y:2"}],
                }},
            },
            "status": {
                "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberReady": 1, "numberMisscheduled": 0,
                "updatedNumberScheduled": 1,
            },
        }))
        .unwrap();
        let shown: Vec<String> = cells(&daemon_set, "2024-01-01T00:05:00Z".parse().unwrap())
            .into_iter()
            .map(|cell| match cell {
                Cell::Number(number) => number.to_string(),
                Cell::Text(text) => text,
            })
            .collect();
        assert_eq!(
            shown,
            [
                "logs",
                "1",
                "1",
                "1",
                "1",
                "0",
                "a-b=3,a=1,b=2",
                "5m",
                "x,y",
                "x:1,y:2",
                "app=fluentd,app-tier=1,!canary,name=logs,tier in (a,b)"
            ]
        );
        assert_eq!(shown.len(), COLUMNS.len());
    }

    #[test]
    fn a_daemon_set_without_status_counts_nothing() {
        let shown = cells(&DaemonSet::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(shown[1], Cell::Number(0));
        assert_eq!(shown[6], Cell::from("<none>"));
        assert_eq!(shown[7], Cell::from("<unknown>"));
    }
}
