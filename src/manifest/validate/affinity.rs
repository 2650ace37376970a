//! Affinity and topology spread. Rule: `ValidateNodeSelector`, `validatePodAffinityTerm` in `core/validation`.
//!
//! The *values* of a required node affinity are not looked at beyond their number, as in v1.32: a term with values that no
//! label can have is stored, and matches nothing.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    WeightedPodAffinityTerm,
};

use super::error::Errors;
use super::{names, selector};
use crate::manifest::path::FieldPath;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const WEIGHT: &str = "must be in the range 1-100";

pub(super) fn affinity(affinity: &Affinity, path: &FieldPath, errors: &mut Errors) {
    if let Some(node) = &affinity.node_affinity {
        node_affinity(node, &path.child("nodeAffinity"), errors);
    }
    if let Some(pod) = &affinity.pod_affinity {
        let path = path.child("podAffinity");
        required_terms(pod.required_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
        preferred_terms(pod.preferred_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
    }
    if let Some(pod) = &affinity.pod_anti_affinity {
        let path = path.child("podAntiAffinity");
        required_terms(pod.required_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
        preferred_terms(pod.preferred_during_scheduling_ignored_during_execution.as_deref(), &path, errors);
    }
}

fn node_affinity(affinity: &NodeAffinity, path: &FieldPath, errors: &mut Errors) {
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        let terms_path = path.child(REQUIRED).child("nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            errors.required(terms_path.clone(), "must have at least one node selector term");
        }
        for (index, term) in required.node_selector_terms.iter().enumerate() {
            node_term(term, &terms_path.index(index), errors);
        }
    }
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    for (index, preferred) in preferred.enumerate() {
        let path = path.child(PREFERRED).index(index);
        weight(preferred.weight, &path, errors);
        node_term(&preferred.preference, &path.child("preference"), errors);
    }
}

fn weight(weight: i32, path: &FieldPath, errors: &mut Errors) {
    if !(1..=100).contains(&weight) {
        errors.invalid(path.child("weight"), &weight, WEIGHT);
    }
}

fn node_term(term: &NodeSelectorTerm, path: &FieldPath, errors: &mut Errors) {
    for (index, expression) in term.match_expressions.iter().flatten().enumerate() {
        node_expression(expression, &path.child("matchExpressions").index(index), errors);
    }
    for (index, field) in term.match_fields.iter().flatten().enumerate() {
        node_field(field, &path.child("matchFields").index(index), errors);
    }
}

fn node_expression(expression: &NodeSelectorRequirement, path: &FieldPath, errors: &mut Errors) {
    let count = expression.values.as_ref().map_or(0, Vec::len);
    let values = path.child("values");
    match expression.operator.as_str() {
        "In" | "NotIn" if count == 0 => {
            errors.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            errors.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if count != 1 => {
            errors.required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(path.child("operator"), other, "not a valid selector operator"),
    }
    errors.format(&path.child("key"), &expression.key, names::qualified_name(&expression.key));
}

fn node_field(field: &NodeSelectorRequirement, path: &FieldPath, errors: &mut Errors) {
    let values = field.values.as_deref().unwrap_or_default();
    match field.operator.as_str() {
        "In" | "NotIn" if values.len() != 1 => errors.required(
            path.child("values"),
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
        "In" | "NotIn" => {}
        other => errors.invalid(path.child("operator"), other, "not a valid selector operator"),
    }
    if field.key != "metadata.name" {
        errors.invalid(path.child("key"), &field.key, "not a valid field selector key");
        return;
    }
    for (index, name) in values.iter().enumerate() {
        errors.format(&path.child("values").index(index), name, names::dns_subdomain(name));
    }
}

fn required_terms(terms: Option<&[PodAffinityTerm]>, path: &FieldPath, errors: &mut Errors) {
    for (index, term) in terms.unwrap_or_default().iter().enumerate() {
        pod_term(term, &path.child(REQUIRED).index(index), errors);
    }
}

fn preferred_terms(terms: Option<&[WeightedPodAffinityTerm]>, path: &FieldPath, errors: &mut Errors) {
    for (index, term) in terms.unwrap_or_default().iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        weight(term.weight, &path, errors);
        pod_term(&term.pod_affinity_term, &path.child("podAffinityTerm"), errors);
    }
}

fn pod_term(term: &PodAffinityTerm, path: &FieldPath, errors: &mut Errors) {
    if let Some(labels) = &term.label_selector {
        selector::label_selector(labels, &path.child("labelSelector"), errors);
    }
    if let Some(namespaces) = &term.namespace_selector {
        selector::label_selector(namespaces, &path.child("namespaceSelector"), errors);
    }
    for namespace in term.namespaces.iter().flatten() {
        // The API server says `namespace` here, though the field is `namespaces`.
        errors.format(&path.child("namespace"), namespace, names::dns_label(namespace));
    }
    if term.topology_key.is_empty() {
        errors.required(path.child("topologyKey"), "can not be empty");
    }
    errors.format(&path.child("topologyKey"), &term.topology_key, names::qualified_name(&term.topology_key));
}
