//! The row of an Event.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Cell, Column, since};

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Last Seen", "When this was last seen."),
    Column::text("Type", "Normal or Warning."),
    Column::text("Reason", "A word for machines."),
    Column::text("Object", "What it happened to."),
    Column::text("Subobject", "Which part of the object.").wide(),
    Column::text("Source", "Who reports it.").wide(),
    Column::text("Message", "A sentence for people."),
    Column::text("First Seen", "When this was first seen.").wide(),
    Column::number("Count", "How often this was seen.").wide(),
    Column { format: "name", ..Column::text("Name", "The event's own name.").wide() },
];

pub(super) fn cells(event: &Event, now: Timestamp) -> Vec<Cell> {
    let first = match (&event.first_timestamp, &event.event_time) {
        (None, Some(time)) => since(Some(&Time(time.0)), now),
        (first, _) => since(first.as_ref(), now),
    };
    let last = match &event.last_timestamp {
        Some(_) => since(event.last_timestamp.as_ref(), now),
        None => first.clone(),
    };
    let subject = &event.involved_object;
    let kind = subject.kind.as_deref().unwrap_or_default().to_lowercase();
    let object = match subject.name.as_deref().unwrap_or_default() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or_default());
    vec![
        last.into(),
        text(&event.type_),
        text(&event.reason),
        object.into(),
        text(&subject.field_path),
        source(event).into(),
        event.message.as_deref().unwrap_or_default().trim().into(),
        first.into(),
        event.count.unwrap_or_default().into(),
        text(&event.metadata.name),
    ]
}

fn source(event: &Event) -> String {
    let source = event.source.as_ref();
    let given = |text: Option<&String>, other: Option<&String>| {
        text.filter(|text| !text.is_empty()).or(other).cloned().unwrap_or_default()
    };
    let component =
        given(source.and_then(|source| source.component.as_ref()), event.reporting_component.as_ref());
    let host = given(source.and_then(|source| source.host.as_ref()), event.reporting_instance.as_ref());
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_shown_with_when_it_was_last_seen_and_on_what() {
        let event: Event = serde_json::from_value(json!({
            "metadata": {"name": "p.1"},
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
            "type": "Warning", "reason": "BackOff", "message": " Back-off restarting \n", "count": 4,
            "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:03:00Z",
            "source": {"component": "kubelet", "host": "n"},
        }))
        .unwrap();
        let shown = cells(&event, "2024-01-01T00:03:30Z".parse().unwrap());
        let mut expected: Vec<Cell> = [
            "30s",
            "Warning",
            "BackOff",
            "pod/p",
            "spec.containers{c}",
            "kubelet, n",
            "Back-off restarting",
            "3m30s",
        ]
        .map(Cell::from)
        .into();
        expected.extend([Cell::Number(4), Cell::from("p.1")]);
        assert_eq!(shown, expected);
        assert_eq!(shown.len(), COLUMNS.len());
    }

    #[test]
    fn an_event_of_the_new_kind_has_only_an_event_time() {
        let event: Event = serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {"kind": "Node"}, "eventTime": "2024-01-01T00:00:00.000000Z",
        }))
        .unwrap();
        let shown = cells(&event, "2024-01-01T00:00:09Z".parse().unwrap());
        assert_eq!((&shown[0], &shown[3], &shown[7]), (&"9s".into(), &"node".into(), &"9s".into()));
    }
}
