//! How pods are to be spread over a cluster: checked, though one node alone spreads nothing.
//!
//! Rules: `validateTopologySpreadConstraints` in `pkg/apis/core/validation/validation.go`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, TopologySpreadConstraint};

use super::error::{Errors, FieldError};
use super::{names, selector};
use crate::manifest::path::FieldPath;

const POLICIES: [&str; 2] = ["Honor", "Ignore"];

pub(super) fn spread(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        let kind = |of: &TopologySpreadConstraint| (of.topology_key.clone(), of.when_unsatisfiable.clone());
        one(constraint, &path, errors);
        if constraints[index + 1..].iter().any(|later| kind(later) == kind(constraint)) {
            let (key, when) = kind(constraint);
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.add(FieldError::duplicate(path, &format!("{{{key}, {when}}}")));
        }
    }
}

fn one(constraint: &TopologySpreadConstraint, path: &FieldPath, errors: &mut Errors) {
    if constraint.max_skew <= 0 {
        errors.invalid(path.child("maxSkew"), &constraint.max_skew, "must be greater than zero");
    }
    if constraint.topology_key.is_empty() {
        errors.required(path.child("topologyKey"), "can not be empty");
    }
    let when = constraint.when_unsatisfiable.as_str();
    errors.one_of(path.child("whenUnsatisfiable"), when, &["DoNotSchedule", "ScheduleAnyway"]);
    if let Some(domains) = constraint.min_domains {
        if domains <= 0 {
            errors.invalid(path.child("minDomains"), &domains, "must be greater than zero");
        }
        if when != "DoNotSchedule" {
            let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
            errors.invalid(path.child("minDomains"), &domains, &detail);
        }
    }
    let policies = [
        ("nodeAffinityPolicy", &constraint.node_affinity_policy),
        ("nodeTaintsPolicy", &constraint.node_taints_policy),
    ];
    for (field, policy) in policies {
        if let Some(policy) = policy {
            errors.one_of(path.child(field), policy, &POLICIES);
        }
    }
    match_label_keys(constraint, &path.child("matchLabelKeys"), errors);
    if let Some(labels) = &constraint.label_selector {
        selector::label_selector(labels, &path.child("labelSelector"), errors);
    }
}

fn match_label_keys(constraint: &TopologySpreadConstraint, path: &FieldPath, errors: &mut Errors) {
    let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
    if keys.is_empty() {
        return;
    }
    let mut selected = BTreeSet::new();
    match &constraint.label_selector {
        Some(labels) => {
            selected.extend(labels.match_labels.iter().flatten().map(|(key, _)| key.as_str()));
            selected.extend(labels.match_expressions.iter().flatten().map(|it| it.key.as_str()));
        }
        None => errors.forbidden(path.clone(), "must not be specified when labelSelector is not set"),
    }
    for (index, key) in keys.iter().enumerate() {
        errors.format(&path.index(index), key, names::qualified_name(key));
        if selected.contains(key.as_str()) {
            errors.invalid(path.index(index), key, "exists in both matchLabelKeys and labelSelector");
        }
    }
}
