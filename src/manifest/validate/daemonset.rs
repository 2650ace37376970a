//! A DaemonSet. Rule: `pkg/apis/apps/validation/validation.go`.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::error::{Errors, FieldError};
use super::{Written, apparmor, metadata, names, pod_spec, selector};
use crate::manifest::path::FieldPath;

pub(super) fn daemon_set(daemon_set: &DaemonSet, written: Written<'_>, errors: &mut Errors) {
    metadata::common(&daemon_set.metadata, names::dns_subdomain, errors);
    let path = FieldPath::new("spec");
    let Some(spec) = &daemon_set.spec else {
        errors.required(path, "");
        return;
    };
    let before = errors.0.len();
    selector::label_selector(&spec.selector, &path.child("selector"), errors);
    let well_formed = errors.0.len() == before;
    let labels = spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let empty = spec.selector.match_labels.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
        && spec.selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    // A selector that is not written matches nothing; one that is written but empty matches everything.
    if empty && written(&path.child("selector")) {
        errors.invalid(
            path.child("selector"),
            &serde_json::json!({}),
            "empty selector is invalid for daemonset",
        );
    } else if empty || (well_formed && !selector::matches(&spec.selector, labels)) {
        let labels = serde_json::json!(labels.cloned().unwrap_or_default());
        let remedy = if empty { ": spec.selector is missing" } else { "" };
        errors.invalid(
            path.child("template.metadata.labels"),
            &labels,
            format!("`selector` does not match template `labels`{remedy}"),
        );
    }
    template(&spec.template, &path.child("template"), errors);
    errors.not_negative(path.child("minReadySeconds"), spec.min_ready_seconds.map(i64::from));
    if let Some(strategy) = &spec.update_strategy {
        update_strategy(strategy, &path.child("updateStrategy"), errors);
    }
    errors.not_negative(path.child("revisionHistoryLimit"), spec.revision_history_limit.map(i64::from));
}

/// What a DaemonSet allows in a pod template, and then the template's own rules.
fn template(template: &PodTemplateSpec, path: &FieldPath, errors: &mut Errors) {
    if let Some(metadata) = &template.metadata {
        // The API server reports these without `metadata`.
        metadata::labels(metadata.labels.as_ref(), &path.child("labels"), errors);
        metadata::annotations(metadata.annotations.as_ref(), &path.child("annotations"), errors);
    }
    let above = path;
    let path = path.child("spec");
    let Some(spec) = &template.spec else {
        errors.required(path.child("containers"), "");
        return;
    };
    if let Some(annotations) = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref()) {
        apparmor::annotations(annotations, spec, &above.child("annotations"), errors);
        apparmor::agree(annotations, spec, &path, errors);
    }
    pod_spec::pod_spec(spec, &path, errors);
    let restart_policy = spec.restart_policy.as_deref().unwrap_or_default();
    errors.one_of(path.child("restartPolicy"), restart_policy, &["Always"]);
    if spec.active_deadline_seconds.is_some() {
        let detail = "activeDeadlineSeconds in DaemonSet is not Supported";
        errors.forbidden(path.child("activeDeadlineSeconds"), detail);
    }
    if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
        let detail = "ephemeral containers not allowed in pod template";
        errors.forbidden(path.child("ephemeralContainers"), detail);
    }
}

fn update_strategy(strategy: &DaemonSetUpdateStrategy, path: &FieldPath, errors: &mut Errors) {
    match strategy.type_.as_deref().unwrap_or_default() {
        "OnDelete" => {}
        "RollingUpdate" => match &strategy.rolling_update {
            Some(update) => rolling_update(update, &path.child("rollingUpdate"), errors),
            None => errors.required(path.child("rollingUpdate"), ""),
        },
        other => errors.add(FieldError::not_supported(path.clone(), other, &["RollingUpdate", "OnDelete"])),
    }
}

fn rolling_update(update: &RollingUpdateDaemonSet, path: &FieldPath, errors: &mut Errors) {
    let (unavailable_path, surge_path) = (path.child("maxUnavailable"), path.child("maxSurge"));
    let unavailable = amount(update.max_unavailable.as_ref(), &unavailable_path, errors);
    let surge = amount(update.max_surge.as_ref(), &surge_path, errors);
    match (unavailable, surge, &update.max_surge) {
        (1.., 1.., Some(IntOrString::Int(written))) => {
            errors.invalid(surge_path, written, "may not be set when maxUnavailable is non-zero");
        }
        (1.., 1.., Some(IntOrString::String(written))) => {
            errors.invalid(surge_path, written, "may not be set when maxUnavailable is non-zero");
        }
        (0, 0, _) => errors.required(unavailable_path, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

/// Checks a number or percentage, and tells how far it is from zero.
fn amount(value: Option<&IntOrString>, path: &FieldPath, errors: &mut Errors) -> u64 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => {
            errors.not_negative(path.clone(), Some((*number).into()));
            number.unsigned_abs().into()
        }
        Some(IntOrString::String(text)) => {
            let broken = names::percent(text);
            if !broken.is_empty() {
                errors.format(path, text, broken);
                return 0;
            }
            let percent = text.trim_end_matches('%').parse().unwrap_or(u64::MAX);
            if percent > 100 {
                errors.invalid(path.clone(), text, "must not be greater than 100%");
            }
            percent
        }
    }
}
