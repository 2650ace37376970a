//! A pod's name resolution. Rule: `validateDNSPolicy`, `validatePodDNSConfig` in `core/validation`.

use k8s_openapi::api::core::v1::PodSpec;

use super::error::Errors;
use super::names;
use crate::manifest::path::FieldPath;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;

pub(super) fn dns(spec: &PodSpec, path: &FieldPath, errors: &mut Errors) {
    let policy = spec.dns_policy.as_deref().unwrap_or_default();
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.one_of(path.child("dnsPolicy"), policy, &policies);
    let path = path.child("dnsConfig");
    let Some(config) = &spec.dns_config else {
        if policy == "None" {
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        return;
    };
    let nameservers = config.nameservers.as_deref().unwrap_or_default();
    let servers_path = path.child("nameservers");
    if policy == "None" && nameservers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.required(servers_path.clone(), detail);
    }
    if nameservers.len() > MAX_NAMESERVERS {
        let value = serde_json::json!(nameservers);
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.invalid(servers_path.clone(), &value, detail);
    }
    for (index, server) in nameservers.iter().enumerate() {
        errors.format(&servers_path.index(index), server, names::ip_address(server));
    }
    searches(config.searches.as_deref().unwrap_or_default(), &path.child("searches"), errors);
    for (index, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            errors.required(path.child("options").index(index), "must not be empty");
        }
    }
}

fn searches(searches: &[String], path: &FieldPath, errors: &mut Errors) {
    let value = serde_json::json!(searches);
    if searches.len() > MAX_SEARCHES {
        let detail = format!("must not have more than {MAX_SEARCHES} search paths");
        errors.invalid(path.clone(), &value, detail);
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARACTERS {
        let detail = format!(
            "must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        errors.invalid(path.clone(), &value, detail);
    }
    for (index, search) in searches.iter().enumerate() {
        let name = search.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(search);
        // A lone dot means: no search list. Underscores are allowed, as resolvers allow them.
        if name != "." {
            let broken = names::dns_subdomain(&name.replace('_', "a"));
            errors.format(&path.index(index), search, broken);
        }
    }
}
