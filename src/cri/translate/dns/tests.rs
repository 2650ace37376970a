use super::*;
use k8s_openapi::api::core::v1::{PodDNSConfigOption, PodSpec};
use proptest::prelude::*;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn settings() -> DnsSettings {
    DnsSettings {
        cluster_dns: vec![IpAddr::from([10, 96, 0, 10])],
        cluster_domain: "cluster.local".to_owned(),
        resolver: Some(ResolvConf {
            nameservers: strings(&["192.0.2.53", "192.0.2.54"]),
            searches: strings(&["example.net", "cluster.local"]),
            options: strings(&["ndots:2", "timeout:1"]),
        }),
    }
}

fn spec(policy: &str, host_network: bool) -> PodSpec {
    PodSpec {
        dns_policy: Some(policy.to_owned()),
        host_network: host_network.then_some(true),
        ..PodSpec::default()
    }
}

fn formed(spec: &PodSpec, settings: &DnsSettings) -> (DnsConfig, Vec<Warning>) {
    dns_config(&PodView::for_tests("p", "ns", spec), settings, &[IpAddr::from([192, 0, 2, 1])])
}

#[test]
fn each_policy_picks_its_source() {
    for (policy, host_network, servers, searches, options) in [
        ("None", false, vec![], vec![], vec![]),
        (
            "Default",
            false,
            vec!["192.0.2.53", "192.0.2.54"],
            vec!["example.net", "cluster.local"],
            vec!["ndots:2", "timeout:1"],
        ),
        (
            "ClusterFirst",
            true,
            vec!["192.0.2.53", "192.0.2.54"],
            vec!["example.net", "cluster.local"],
            vec!["ndots:2", "timeout:1"],
        ),
        (
            "ClusterFirst",
            false,
            vec!["10.96.0.10"],
            vec!["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.net"],
            vec!["ndots:5"],
        ),
        (
            "ClusterFirstWithHostNet",
            true,
            vec!["10.96.0.10"],
            vec!["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.net"],
            vec!["ndots:5"],
        ),
        (
            "Unheard",
            true,
            vec!["10.96.0.10"],
            vec!["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.net"],
            vec!["ndots:5"],
        ),
    ] {
        let (config, warnings) = formed(&spec(policy, host_network), &settings());
        assert_eq!(config.servers, strings(&servers), "{policy}");
        assert_eq!(config.searches, strings(&searches), "{policy}");
        assert_eq!(config.options, strings(&options), "{policy}");
        assert!(warnings.is_empty(), "{policy}");
    }
}

#[test]
fn a_cluster_without_a_name_server_falls_back_to_the_hosts_and_says_so() {
    let none = DnsSettings { cluster_dns: Vec::new(), ..settings() };
    for policy in ["ClusterFirst", "ClusterFirstWithHostNet"] {
        let (config, warnings) = formed(&spec(policy, policy != "ClusterFirst"), &none);
        assert_eq!(config.servers, strings(&["192.0.2.53", "192.0.2.54"]));
        assert_eq!(
            warnings,
            [Warning {
                reason: "MissingClusterDNS",
                message: "pod: \"p_ns(uid-1)\". kubelet does not have ClusterDNS IP configured and cannot create Pod \
                          using \"ClusterFirst\" policy. Falling back to \"Default\" policy."
                    .to_owned()
            }]
        );
    }
}

#[test]
fn a_cluster_without_a_domain_searches_only_as_the_host_does() {
    let nameless = DnsSettings { cluster_domain: String::new(), ..settings() };
    let (config, _) = formed(&spec("ClusterFirst", false), &nameless);
    assert_eq!(config.searches, strings(&["example.net", "cluster.local"]));
}

#[test]
fn without_a_resolver_the_nodes_own_loopback_answers() {
    let unresolved = DnsSettings { resolver: None, ..settings() };
    let pod = spec("Default", false);
    let view = PodView::for_tests("p", "ns", &pod);
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    for (ips, servers) in [
        (vec![], vec!["127.0.0.1"]),
        (vec![v6], vec!["::1"]),
        (vec![IpAddr::from([192, 0, 2, 1]), v6], vec!["127.0.0.1", "::1"]),
    ] {
        let (config, _) = dns_config(&view, &unresolved, &ips);
        assert_eq!((config.servers, config.searches), (strings(&servers), strings(&["."])));
    }
}

#[test]
fn the_pods_own_settings_are_laid_over() {
    let option = |name: &str, value: Option<&str>| PodDNSConfigOption {
        name: Some(name.to_owned()),
        value: value.map(ToOwned::to_owned),
    };
    let own = PodDNSConfig {
        nameservers: Some(strings(&["1.1.1.1", "192.0.2.53"])),
        searches: Some(strings(&["mine.", "example.net"])),
        options: Some(vec![option("ndots", Some("1")), option("edns0", None), option("timeout", Some(""))]),
    };
    let pod = PodSpec { dns_config: Some(own), ..spec("Default", false) };
    let (config, warnings) = formed(&pod, &settings());
    assert_eq!(config.servers, strings(&["192.0.2.53", "192.0.2.54", "1.1.1.1"]));
    assert_eq!(config.searches, strings(&["example.net", "cluster.local", "mine."]));
    assert_eq!(config.options, strings(&["ndots:1", "timeout", "edns0"]));
    assert!(warnings.is_empty());
}

#[test]
fn an_option_of_the_pods_own_is_called_what_is_written() {
    let mut spec = spec("ClusterFirst", false);
    let own = serde_json::json!({"options": [{"name": "ndots:2"}, {"name": "ndots", "value": "3"}, {"name": "debug"}]});
    spec.dns_config = serde_json::from_value(own).unwrap();
    assert_eq!(formed(&spec, &settings()).0.options, ["ndots:3", "ndots:2", "debug"]);
}

#[test]
fn more_than_a_resolver_takes_is_cut_off_with_a_warning() {
    let own = PodDNSConfig {
        nameservers: Some(strings(&["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"])),
        searches: Some((0..40).map(|i| format!("d{i}.example")).collect()),
        options: None,
    };
    let pod = PodSpec { dns_config: Some(own), ..spec("None", false) };
    let (config, warnings) = formed(&pod, &settings());
    assert_eq!(config.servers, strings(&["1.1.1.1", "2.2.2.2", "3.3.3.3"]));
    assert_eq!(config.searches.len(), 32);
    assert_eq!(
        warnings[0].message,
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: \
         1.1.1.1 2.2.2.2 3.3.3.3"
    );
    assert!(warnings[1].message.ends_with("d30.example d31.example"), "{}", warnings[1].message);
    assert!(warnings.iter().all(|warning| warning.reason == "DNSConfigForming"));
}

proptest! {
    #[test]
    fn no_search_list_exceeds_the_limits(
        own in proptest::collection::vec("[a-z]{1,300}", 0..40)
    ) {
        let pod = PodSpec {
            dns_config: Some(PodDNSConfig { searches: Some(own.clone()), ..PodDNSConfig::default() }),
            ..spec("None", false)
        };
        let (config, warnings) = formed(&pod, &settings());
        prop_assert!(config.searches.len() <= 32);
        prop_assert!(config.searches.iter().all(|search| search.len() <= 253));
        prop_assert!(config.searches.join(" ").len() <= 2048);
        let mut unique = Vec::new();
        append_new(&mut unique, own);
        prop_assert_eq!(warnings.is_empty(), config.searches == unique);
    }
}
