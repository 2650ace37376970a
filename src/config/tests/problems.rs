//! What is told of settings that can't be used.

use super::*;

#[test]
fn every_problem_is_told_in_one_run_with_its_line() {
    let bench = Bench::new(
        "nodename: edge-1\nmaxPods: many\nstore:\n  settle: 5\n  pollIntervall: 10s\n  poll: sometimes\n\
         nodeIPs:\n- 192.0.2.1\n- somewhere\nsystemReserved:\n  cpus: 1\n  memory: lots\nlogging: loud\nrootDir: var\n\
         maxPods: 3\napiServer: {port: 6443}\nclusterDNS: 10.96.0.10\nnodeName: 010\ncpuCFSQuotaPeriod: 2s\n\
         imageGCHighThresholdPercent: 70\ncontainerLogMaxFiles: 1\n",
    );
    let expected = [
        "config.yaml:15: maxPods: the key is written twice",
        "config.yaml:1: nodename: there is no such key, did you mean nodeName?",
        "config.yaml:5: store.pollIntervall: there is no such key, did you mean store.pollInterval?",
        "config.yaml:13: logging: this is a section with keys of its own, not a string",
        "config.yaml:18: nodeName: must be a string, not a number: write it in quotes, and with its unit if it has one",
        "config.yaml:9: nodeIPs: \"somewhere\" is no IP address",
        "config.yaml:14: rootDir: \"var\" is no absolute path",
        "config.yaml:4: store.settle: must be a string, not a number: write it in quotes, and with its unit if it has one",
        "config.yaml:6: store.poll: \"sometimes\" is none of auto, always, never",
        "config.yaml:19: cpuCFSQuotaPeriod: 2s is not between 1ms and 1s",
        "config.yaml:20: imageGCHighThresholdPercent: imageGCHighThresholdPercent (70) is not above imageGCLowThresholdPercent (80)",
        "config.yaml:21: containerLogMaxFiles: \"1\" is no whole number between 2 and 4294967295",
        "config.yaml:16: apiServer.port: a port without apiServer.host",
        "config.yaml:11: systemReserved: cpus: there is no such name, only cpu, memory, ephemeral-storage",
        "config.yaml:12: systemReserved: memory: \"lots\" is no quantity: write a number such as 500m, 2, 100Mi or 1Gi",
    ];
    let mut found = bench.load().unwrap_err();
    let mut expected: Vec<_> = expected.map(str::to_owned).into();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn what_contradicts_a_default_is_told_where_it_is_written() {
    let bench = Bench::new("shutdownGracePeriod: 9s\nimageGCLowThresholdPercent: 90\n");
    let expected = [
        "config.yaml:1: shutdownGracePeriod: shutdownGracePeriodCriticalPods is more than shutdownGracePeriod, of which it is a part (10s of 9s)",
        "config.yaml:2: imageGCLowThresholdPercent: imageGCHighThresholdPercent (85) is not above imageGCLowThresholdPercent (90)",
    ];
    let mut found = bench.load().unwrap_err();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn problems_name_the_variable_or_the_flag() {
    let bench = Bench::new("");
    let mut sources = bench.sources();
    sources.environment =
        pairs(&[("DAEMONLET_MAX_PODS", "x"), ("DAEMONLET_SYSTEM_RESERVED", "cpu=1,memory")]);
    sources.flags = pairs(&[("rootdir", "/x"), ("store.settle", "1")]);
    let shown = load(&sources).unwrap_err().to_string();
    for expected in [
        "environment variable DAEMONLET_MAX_PODS: maxPods: \"x\" is no whole number between 0 and 4294967295",
        "environment variable DAEMONLET_SYSTEM_RESERVED: systemReserved: memory: \"\" is no quantity",
        "flag: rootdir: there is no such key, did you mean rootDir?",
        "flag: store.settle: \"1\" is no duration",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing from\n{shown}");
    }
}

#[test]
fn a_variable_that_is_no_setting_is_a_warning() {
    let bench = Bench::new("");
    let mut sources = bench.sources();
    sources.environment = pairs(&[("DAEMONLET_MAXPODS", "5"), ("DAEMONLET_CONFIG", "/x")]);
    let warnings = load(&sources).unwrap().warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["environment variable DAEMONLET_MAXPODS: there is no such setting, the variable is ignored"]
    );
}

#[test]
fn files_that_cannot_be_used_are_told() {
    let absent = Bench::new("");
    fs::remove_file(absent.file()).unwrap();
    assert!(absent.load().unwrap_err()[0].starts_with("config.yaml: the file cannot be read: "));
    let optional = Sources { file_required: false, ..absent.sources() };
    assert_eq!(load(&optional).unwrap().settings, defaults());

    fs::create_dir(absent.file()).unwrap();
    assert!(absent.load().unwrap_err()[0].contains("no regular file"));

    let rows = [
        ("- a\n", "settings are written as `key: value`, this is a list"),
        ("a: [\n", "this is no YAML"),
        ("maxPods: 1\n---\nmaxPods: 2\n", "a second document"),
    ];
    for (text, expected) in rows {
        let found = Bench::new(text).load().unwrap_err().join("\n");
        assert!(found.contains(expected), "{text:?}: {found}");
    }
}
