//! `/etc/hosts`, `/etc/resolv.conf` and the host's name. Rules: `pkg/kubelet/kubelet_pods.go` and `pkg/kubelet/network/dns`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{Inside, node_with, sleepers};
use crate::kit::Node;

const MAIN: [(&str, &str); 1] = [("main", "")];
const HOSTS: &str = "# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// A node in a cluster's domain, with a resolver file of its own.
fn start() -> Option<Node> {
    node_with(|node| {
        let resolver = node.path("resolv.conf");
        let text = "# the site's\nnameserver 192.0.2.53\nsearch corp.example site.example\noptions ndots:3 timeout:2\n";
        fs::write(&resolver, text).unwrap();
        format!(
            "clusterDNS: [10.96.0.10]\nclusterDomain: cluster.local\nresolvConf: {}\n",
            resolver.display()
        )
    })
}

/// What `/etc/resolv.conf` says, by keyword. Options have no order of their own.
fn resolver(app: &Inside<'_>) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for line in app.sh("main", "cat /etc/resolv.conf").lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        if let Some(keyword) = words.next() {
            found.entry(keyword).or_default().extend(words);
        }
    }
    found.entry("options".to_owned()).or_default().sort();
    found
}

#[test]
fn the_resolver_follows_dns_policy_and_config() {
    let Some(node) = start() else { return };
    let config = "dnsConfig: {nameservers: [192.0.2.1], searches: [own.example], options: [{name: ndots, value: '7'}, {name: edns0}]}";
    let searches = "test.svc.cluster.local svc.cluster.local cluster.local corp.example site.example";
    for (name, fields, servers, searches, options) in [
        ("none", format!("dnsPolicy: None\n{config}"), "192.0.2.1", "own.example", "edns0 ndots:7"),
        (
            "node",
            "dnsPolicy: Default".to_owned(),
            "192.0.2.53",
            "corp.example site.example",
            "ndots:3 timeout:2",
        ),
        (
            "both",
            format!("dnsPolicy: Default\n{config}"),
            "192.0.2.53 192.0.2.1",
            "corp.example site.example own.example",
            "edns0 ndots:7 timeout:2",
        ),
        ("cluster", String::new(), "10.96.0.10", searches, "ndots:5"),
        (
            "on-host",
            "hostNetwork: true".to_owned(),
            "192.0.2.53",
            "corp.example site.example",
            "ndots:3 timeout:2",
        ),
        (
            "on-host-cluster",
            "hostNetwork: true\ndnsPolicy: ClusterFirstWithHostNet".to_owned(),
            "10.96.0.10",
            searches,
            "ndots:5",
        ),
    ] {
        let app = Inside::run(&node, name, &sleepers(&fields, &MAIN));
        let found = resolver(&app);
        assert_eq!(found["nameserver"].join(" "), servers, "{name}");
        assert_eq!(found["search"].join(" "), searches, "{name}");
        assert_eq!(found["options"].join(" "), options, "{name}");
    }
}

#[test]
fn a_pods_name_and_its_hosts_file_are_what_the_manifest_makes_of_them() {
    let Some(node) = start() else { return };
    let host_aliases =
        "hostAliases: [{ip: 192.0.2.7, hostnames: [db, db.example]}, {ip: 192.0.2.8, hostnames: [cache]}]";
    let added = "\n# Entries added by HostAliases.\n192.0.2.7\tdb\tdb.example\n192.0.2.8\tcache\n";
    let hosts = |app: &Inside<'_>, container: &str| app.sh(container, "cat /etc/hosts; echo .");
    let both_names = |app: &Inside<'_>| app.sh("main", "hostname; cat /etc/hostname");

    let plain = Inside::run(&node, "plain", &sleepers("", &MAIN));
    assert_eq!(both_names(&plain), [plain.name(), plain.name()].join("\n"));
    assert_eq!(hosts(&plain, "main"), format!("{HOSTS}{}\t{}\n.", plain.ip(), plain.name()));

    let named = sleepers(
        &format!("hostname: web\nsubdomain: sub\n{host_aliases}\nvolumes: [{{name: work, emptyDir: {{}}}}]"),
        &[
            ("main", ""),
            ("other", ""),
            ("own", "volumeMounts: [{name: work, mountPath: /etc/hosts, subPath: hosts/file}]"),
        ],
    );
    let named = Inside::run(&node, "named", &named);
    let line = format!("{}\tweb.sub.test.svc.cluster.local\tweb\n", named.ip());
    assert_eq!(both_names(&named), "web\nweb");
    assert_eq!(hosts(&named, "main"), format!("{HOSTS}{line}{added}."));
    assert_eq!(hosts(&named, "other"), hosts(&named, "main"));
    assert!(named.can("own", "test -d /etc/hosts"), "a mount of the manifest's own takes its place");
    // It is the container's to change, and each start of one writes it anew.
    assert!(named.can("main", "echo 192.0.2.9 changed >> /etc/hosts"));

    let full = Inside::run(
        &node,
        "full",
        &sleepers("hostname: web\nsubdomain: sub\nsetHostnameAsFQDN: true", &MAIN),
    );
    assert_eq!(both_names(&full), "web.sub.test.svc.cluster.local\nweb.sub.test.svc.cluster.local");
    assert!(
        hosts(&full, "main").ends_with(&format!("{}\tweb.sub.test.svc.cluster.local\tweb\n.", full.ip()))
    );

    let on_host =
        Inside::run(&node, "on-host", &sleepers(&format!("hostNetwork: true\n{host_aliases}"), &MAIN));
    let the_nodes = fs::read_to_string("/etc/hosts").unwrap();
    let header = "# Kubernetes-managed hosts file (host network).\n";
    assert_eq!(hosts(&on_host, "main"), format!("{header}{the_nodes}{added}."));
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(on_host.sh("main", "hostname"), host);

    // A name is cut to what the kernel and DNS take, and never ends in a dash.
    let long = "l".repeat(62);
    let cut = Inside::run(&node, &long, &sleepers("", &MAIN));
    let expected: String = cut.name().chars().take(63).collect();
    assert_eq!(cut.sh("main", "hostname"), expected.trim_end_matches(['-', '.']));
    let unlike: BTreeSet<String> = [plain.ip(), named.ip(), full.ip(), cut.ip()].into();
    assert_eq!(unlike.len(), 4, "each pod has an address of its own");
}
