//! Resource names and amounts. Rule: `ValidateResourceRequirements`, `validateContainerResourceName` in `core/validation`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::error::{Errors, FieldError};
use super::names;
use crate::manifest::path::FieldPath;
use crate::manifest::quantity::Quantity;

type Amounts = BTreeMap<String, ApiQuantity>;

pub(super) fn requirements(resources: &ResourceRequirements, path: &FieldPath, errors: &mut Errors) {
    let none = Amounts::new();
    let limits = resources.limits.as_ref().unwrap_or(&none);
    let requests = resources.requests.as_ref().unwrap_or(&none);
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    amounts(limits, &limits_path, errors);
    amounts(requests, &requests_path, errors);
    for (name, request) in requests {
        let Ok(request) = Quantity::try_from(request) else { continue };
        match limits.get(name).map(Quantity::try_from) {
            Some(Ok(limit)) if !may_overcommit(name) && request != limit => {
                let detail = format!("must be equal to {name} limit of {limit}");
                errors.invalid(requests_path.clone(), &request.to_string(), detail);
            }
            Some(Ok(limit)) if request > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                errors.invalid(requests_path.clone(), &request.to_string(), detail);
            }
            None if !may_overcommit(name) => {
                errors.required(limits_path.clone(), "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
    let names = || limits.keys().chain(requests.keys());
    if names().any(|name| is_huge_pages(name)) && !names().any(|name| name == "cpu" || name == "memory") {
        errors.forbidden(path.clone(), "HugePages require cpu or memory");
    }
}

/// Names and amounts, each by itself.
pub(super) fn amounts(amounts: &Amounts, path: &FieldPath, errors: &mut Errors) {
    for (name, amount) in amounts {
        let path = path.key(name);
        resource_name(name, &path, errors);
        match Quantity::try_from(amount) {
            Ok(quantity) => amount_of(name, quantity, &path, errors),
            Err(error) => errors.invalid(path, &amount.0, error.to_string()),
        }
    }
}

fn amount_of(name: &str, amount: Quantity, path: &FieldPath, errors: &mut Errors) {
    if amount.is_negative() {
        let detail = "must be greater than or equal to 0";
        errors.invalid(path.clone(), &amount.to_string(), detail);
    }
    if is_extended(name) && !amount.is_whole() {
        errors.invalid(path.clone(), &amount.to_string(), "must be an integer");
    }
    if let Some(size) = name.strip_prefix("hugepages-") {
        let size = size.parse::<Quantity>().map_or(0, Quantity::value);
        if size <= 0 || !amount.is_whole() || amount.value() % size != 0 {
            let detail = format!("{amount} is not positive integer multiple of {name}");
            errors.invalid(path.clone(), &amount.to_string(), detail);
        }
    }
}

fn resource_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    let broken = names::qualified_name(name);
    if !broken.is_empty() {
        errors.format(path, name, broken);
        return;
    }
    if !name.contains('/') {
        if !is_standard(name) {
            errors.invalid(path.clone(), name, "must be a standard resource type or fully qualified");
        }
        if !is_standard_for_containers(name) {
            errors.invalid(path.clone(), name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.add(FieldError::invalid(path.clone(), name, "doesn't follow extended resource name standard"));
    }
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_pages(name)
}

fn is_standard(name: &str) -> bool {
    let counted = [
        "storage",
        "pods",
        "services",
        "secrets",
        "configmaps",
        "resourcequotas",
        "replicationcontrollers",
        "persistentvolumeclaims",
        "services.loadbalancers",
        "services.nodeports",
    ];
    let bare = name.strip_prefix("requests.").or(name.strip_prefix("limits.")).unwrap_or(name);
    is_standard_for_containers(bare) || counted.contains(&bare)
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}
