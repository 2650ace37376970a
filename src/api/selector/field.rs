//! Field selectors as text: `metadata.name=x,spec.nodeName!=y`.
//!
//! Rule: apimachinery's `pkg/fields/selector.go`; which fields each kind knows is in Kubernetes' registry strategies
//! (`ToSelectableFields`). `\` escapes `,`, `=` and itself.

use crate::board::Item;

/// What an object's fields must be: every term.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    is_negated: bool,
    value: String,
}

/// Why a text is no field selector for these objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    /// A term without operator.
    #[error("invalid selector: {0:?}; can't understand {1:?}")]
    Term(String, String),
    /// A field by which these objects can't be selected.
    #[error("field label not supported: {0}")]
    Field(String),
}

impl FieldSelector {
    /// Reads a selector; the empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let terms = split(text).into_iter().filter(|term| !term.trim().is_empty());
        terms
            .map(|term| {
                Term::parse(term).ok_or_else(|| FieldSelectorError::Term(text.to_owned(), term.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The selector, if each of its fields is one by which objects of this kind can be selected.
    pub fn for_kind(self, kind: crate::board::ItemKind) -> Result<Self, FieldSelectorError> {
        match self.0.iter().find(|term| !is_supported(kind, &term.field)) {
            Some(term) => Err(FieldSelectorError::Field(term.field.clone())),
            None => Ok(self),
        }
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this object is selected.
    pub fn matches(&self, item: &Item) -> bool {
        self.0
            .iter()
            .all(|term| (value(item, &term.field).unwrap_or_default() == term.value) != term.is_negated)
    }
}

/// Splits at the commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut is_escaped) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find('=')?;
        let (left, right) = (&text[..at], &text[at + 1..]);
        let (field, is_negated) = match left.strip_suffix('!') {
            Some(field) => (field, true),
            None => (left, false),
        };
        let value = if is_negated { right } else { right.strip_prefix('=').unwrap_or(right) };
        Some(Self { field: field.trim().to_owned(), is_negated, value: unescape(value) })
    }
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        out.push(if letter == '\\' { letters.next().unwrap_or('\\') } else { letter });
    }
    out
}

const POD_FIELDS: [&str; 6] = [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "spec.hostNetwork",
];
const EVENT_FIELDS: [&str; 11] = [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

fn is_supported(kind: crate::board::ItemKind, field: &str) -> bool {
    use crate::board::ItemKind;
    let own: &[&str] = match kind {
        ItemKind::Pod => &POD_FIELDS,
        ItemKind::Event => &EVENT_FIELDS,
        ItemKind::Node => &["spec.unschedulable"],
        ItemKind::DaemonSet => &[],
    };
    field == "metadata.name" || field == "metadata.namespace" || own.contains(&field)
}

fn value<'a>(item: &'a Item, field: &str) -> Option<&'a str> {
    match field {
        "metadata.name" => return Some(item.name()),
        "metadata.namespace" => return Some(item.namespace()),
        _ => {}
    }
    match item {
        Item::Pod(pod) => {
            let spec = pod.spec.as_ref();
            let status = pod.status.as_ref();
            match field {
                "spec.nodeName" => spec?.node_name.as_deref(),
                "spec.restartPolicy" => spec?.restart_policy.as_deref(),
                "spec.serviceAccountName" => spec?.service_account_name.as_deref(),
                "spec.hostNetwork" => Some(truth(spec?.host_network)),
                "status.phase" => status?.phase.as_deref(),
                "status.podIP" => status?.pod_ip.as_deref(),
                _ => None,
            }
        }
        Item::Event(event) => {
            let subject = &event.involved_object;
            match field {
                "involvedObject.kind" => subject.kind.as_deref(),
                "involvedObject.namespace" => subject.namespace.as_deref(),
                "involvedObject.name" => subject.name.as_deref(),
                "involvedObject.uid" => subject.uid.as_deref(),
                "involvedObject.apiVersion" => subject.api_version.as_deref(),
                "involvedObject.resourceVersion" => subject.resource_version.as_deref(),
                "involvedObject.fieldPath" => subject.field_path.as_deref(),
                "reason" => event.reason.as_deref(),
                "reportingComponent" => event.reporting_component.as_deref(),
                "source" => event.source.as_ref()?.component.as_deref(),
                "type" => event.type_.as_deref(),
                _ => None,
            }
        }
        Item::Node(node) => Some(truth(node.spec.as_ref().and_then(|spec| spec.unschedulable))),
        Item::DaemonSet(_) => None,
    }
}

const fn truth(value: Option<bool>) -> &'static str {
    if let Some(true) = value { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::board::ItemKind;

    fn pod() -> Item {
        let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": "Running"},
        }))
        .unwrap();
        Item::Pod(Arc::new(pod))
    }

    #[test]
    fn a_pod_is_selected_by_its_fields() {
        for (text, is_selected) in [
            ("", true),
            ("metadata.name=p", true),
            ("metadata.name==p,metadata.namespace=ns", true),
            ("metadata.name=p,spec.nodeName=other", false),
            ("spec.nodeName=n,status.phase!=Failed,status.phase!=Succeeded", true),
            ("status.phase!=Running", false),
            ("status.podIP=", true),
            (r"metadata.name=a\,b", false),
        ] {
            let selector = FieldSelector::parse(text).unwrap().for_kind(ItemKind::Pod).unwrap();
            assert_eq!(selector.matches(&pod()), is_selected, "{text}");
        }
    }

    #[test]
    fn an_event_is_selected_by_what_it_is_about() {
        let event: k8s_openapi::api::core::v1::Event = serde_json::from_value(json!({
            "metadata": {}, "type": "Warning", "reason": "BackOff", "source": {"component": "kubelet"},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "ns", "uid": "u", "fieldPath": "spec.containers{c}"},
        }))
        .unwrap();
        let event = Item::Event(Arc::new(event));
        for (text, is_selected) in [
            ("involvedObject.name=p,involvedObject.namespace=ns,involvedObject.uid=u", true),
            ("involvedObject.kind=Node", false),
            ("involvedObject.fieldPath=spec.containers{c}", true),
            ("type=Warning,reason=BackOff,source=kubelet", true),
        ] {
            let selector = FieldSelector::parse(text).unwrap().for_kind(ItemKind::Event).unwrap();
            assert_eq!(selector.matches(&event), is_selected, "{text}");
        }
    }

    #[test]
    fn a_field_that_the_kind_does_not_offer_is_refused() {
        let selector = FieldSelector::parse("status.phase=Running").unwrap();
        let error = selector.for_kind(ItemKind::DaemonSet).unwrap_err();
        assert_eq!(error.to_string(), "field label not supported: status.phase");
        let error = FieldSelector::parse("metadata.name").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid selector: \"metadata.name\"; can't understand \"metadata.name\""
        );
    }
}
