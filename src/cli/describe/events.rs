//! The events at the end of a description.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::description::Description;
use crate::api::table::since;

pub(super) fn describe(description: &mut Description, events: &[Event], now: Timestamp) {
    if events.is_empty() {
        description.field(0, "Events", "<none>");
        return;
    }
    description.break_columns();
    description.line(0, "Events:");
    description.line(1, "Type\tReason\tAge\tFrom\tMessage");
    description.line(1, "----\t------\t----\t----\t-------");
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    for event in sorted {
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let message = event.message.as_deref().unwrap_or_default().trim();
        let message = match event.involved_object.field_path.as_deref() {
            None | Some("") => message.to_owned(),
            Some(path) => format!("{path}: {message}"),
        };
        let source = event.source.as_ref().and_then(|source| source.component.as_ref());
        description.line(
            1,
            format_args!(
                "{}\t{}\t{}\t{}\t{message}",
                text(event.type_.as_ref()),
                text(event.reason.as_ref()),
                age(event, now),
                text(source.or(event.reporting_component.as_ref())),
            ),
        );
    }
}

fn age(event: &Event, now: Timestamp) -> String {
    let first = match &event.event_time {
        Some(time) => since(Some(&Time(time.0)), now),
        None => since(event.first_timestamp.as_ref(), now),
    };
    match event.count {
        Some(count @ 2..) => format!("{} (x{count} over {first})", since(event.last_timestamp.as_ref(), now)),
        _ => first,
    }
}
