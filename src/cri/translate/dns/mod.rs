//! A pod's `resolv.conf`, for every `dnsPolicy`, with `dnsConfig` on top and the resolver's limits kept.
//!
//! Rules: `Configurer.GetPodDNS` in the kubelet's `pkg/kubelet/network/dns/dns.go`.

mod resolv_conf;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use k8s_openapi::api::core::v1::PodDNSConfig;

use super::host::DnsSettings;
use super::view::PodView;
use super::warning::Warning;
use crate::cri::proto::DnsConfig;

pub use resolv_conf::{ResolvConf, ResolvConfError};

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_SEARCH_LENGTH: usize = 253;

enum Mode {
    Nothing,
    Cluster,
    Host,
}

/// The pod's resolver settings, and what the pod's user must hear about them.
pub(super) fn dns_config(
    pod: &PodView<'_>,
    settings: &DnsSettings,
    node_ips: &[IpAddr],
) -> (DnsConfig, Vec<Warning>) {
    let mut warnings = Vec::new();
    let mut config = match mode(pod) {
        Mode::Nothing => DnsConfig::default(),
        Mode::Cluster if !settings.cluster_dns.is_empty() => cluster(pod.namespace, settings),
        Mode::Cluster => {
            warnings.push(missing_cluster_dns(pod));
            host(settings, node_ips)
        }
        Mode::Host => host(settings, node_ips),
    };
    if let Some(own) = &pod.spec.dns_config {
        lay_over(&mut config, own);
    }
    limit_nameservers(&mut config.servers, &mut warnings);
    limit_searches(&mut config.searches, &mut warnings);
    (config, warnings)
}

fn mode(pod: &PodView<'_>) -> Mode {
    match pod.spec.dns_policy.as_deref() {
        Some("None") => Mode::Nothing,
        Some("Default") => Mode::Host,
        Some("ClusterFirst") if pod.host_network() => Mode::Host,
        _ => Mode::Cluster,
    }
}

fn cluster(namespace: &str, settings: &DnsSettings) -> DnsConfig {
    let domain = &settings.cluster_domain;
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    }
    let host_searches = settings.resolver.iter().flat_map(|resolver| &resolver.searches).cloned();
    if domain.is_empty() {
        searches.extend(host_searches);
    } else {
        append_new(&mut searches, host_searches);
    }
    DnsConfig {
        servers: settings.cluster_dns.iter().map(ToString::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn host(settings: &DnsSettings, node_ips: &[IpAddr]) -> DnsConfig {
    if let Some(resolver) = &settings.resolver {
        return DnsConfig {
            servers: resolver.nameservers.clone(),
            searches: resolver.searches.clone(),
            options: resolver.options.clone(),
        };
    }
    let loopback = |ip: &IpAddr| if ip.is_ipv6() { "::1" } else { "127.0.0.1" }.to_owned();
    let mut servers: Vec<String> = node_ips.iter().map(loopback).collect();
    if servers.is_empty() {
        servers.push("127.0.0.1".to_owned());
    }
    DnsConfig { servers, searches: vec![".".to_owned()], options: Vec::new() }
}

fn lay_over(config: &mut DnsConfig, own: &PodDNSConfig) {
    append_new(&mut config.servers, own.nameservers.iter().flatten().cloned());
    append_new(&mut config.searches, own.searches.iter().flatten().cloned());
    let mut options: Vec<(String, String)> = Vec::new();
    let base = config.options.iter().map(|option| option.split_once(':').unwrap_or((option, "")));
    // The name of a pod's own option is whatever is written, colons included.
    let own = own.options.iter().flatten();
    let own = own.map(|it| (it.name.as_deref().unwrap_or_default(), it.value.as_deref().unwrap_or_default()));
    for (name, value) in base.chain(own) {
        match options.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => options.push((name.to_owned(), value.to_owned())),
        }
    }
    let written =
        |(name, value): (String, String)| if value.is_empty() { name } else { format!("{name}:{value}") };
    config.options = options.into_iter().map(written).collect();
}

// Duplicates already in the list go, too: the kubelet de-duplicates the whole.
fn append_new(list: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for entry in std::mem::take(list).into_iter().chain(more) {
        if !list.contains(&entry) {
            list.push(entry);
        }
    }
}

fn limit_nameservers(servers: &mut Vec<String>, warnings: &mut Vec<Warning>) {
    if servers.len() > MAX_NAMESERVERS {
        servers.truncate(MAX_NAMESERVERS);
        warnings.push(Warning::dns_config_forming(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            servers.join(" ")
        )));
    }
}

fn limit_searches(searches: &mut Vec<String>, warnings: &mut Vec<Warning>) {
    let before = searches.len();
    searches.truncate(MAX_SEARCHES);
    // glibc 2.28 aborts the process that meets a longer one.
    searches.retain(|search| search.len() <= MAX_SEARCH_LENGTH);
    while joined_length(searches) > MAX_SEARCH_CHARS {
        searches.pop();
    }
    if searches.len() < before {
        warnings.push(Warning::dns_config_forming(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            searches.join(" ")
        )));
    }
}

fn joined_length(searches: &[String]) -> usize {
    searches.iter().map(|search| search.len() + 1).sum::<usize>().saturating_sub(1)
}

fn missing_cluster_dns(pod: &PodView<'_>) -> Warning {
    Warning::missing_cluster_dns(format!(
        "pod: \"{}\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" \
         policy. Falling back to \"Default\" policy.",
        pod.id()
    ))
}
