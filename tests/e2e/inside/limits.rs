//! Cgroups and OOM scores, read from the kernel. Rules: `pkg/kubelet/cm` (pod and QoS cgroups), `pkg/kubelet/kuberuntime` (containers')
//! and `pkg/kubelet/qos/policy.go` (OOM scores).

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::{Inside, node_with, restarts, sleepers, statuses};
use crate::kit::{Node, daemon_set, wait_until};

const MI: u64 = 1 << 20;
/// In the terms of cgroup v1; what the kernel has without a limit.
const UNLIMITED: u64 = 1 << 60;

/// A cgroup by its path, under either version.
struct Cgroup(String);

/// CPU shares, CPU time in each 100 ms, and bytes of memory.
type Limits = (u64, Option<u64>, Option<u64>);

impl Cgroup {
    /// The one that a container's first process is in.
    fn of(app: &Inside<'_>, container: &str) -> Self {
        let pid = app.node.pid(&app.pod, container);
        let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let line =
            table.lines().find(|line| line.contains(":memory:") || (is_v2() && line.starts_with("0::")));
        Self(line.and_then(|line| line.splitn(3, ':').nth(2)).unwrap().to_owned())
    }

    fn parent(&self) -> Self {
        Self(Path::new(&self.0).parent().unwrap().display().to_string())
    }

    fn file(&self, controller: &str, name: &str) -> String {
        let tree = if is_v2() {
            PathBuf::from("/sys/fs/cgroup")
        } else {
            Path::new("/sys/fs/cgroup").join(controller)
        };
        let file = tree.join(self.0.trim_start_matches('/')).join(name);
        fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
            .trim()
            .to_owned()
    }

    fn limits(&self) -> Limits {
        let number = |text: &str| text.parse::<u64>().ok();
        if is_v2() {
            let cpu = self.file("", "cpu.max");
            let quota = cpu.split(' ').next().and_then(number);
            let weight = number(&self.file("", "cpu.weight")).unwrap();
            return (weight, quota, number(&self.file("", "memory.max")));
        }
        let quota = number(&self.file("cpu", "cpu.cfs_quota_us"));
        assert_eq!(self.file("cpu", "cpu.cfs_period_us"), "100000", "{}", self.0);
        let memory = number(&self.file("memory", "memory.limit_in_bytes")).filter(|bytes| *bytes < UNLIMITED);
        (number(&self.file("cpu", "cpu.shares")).unwrap(), quota, memory)
    }
}

fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Shares as this machine's kernel has them: under version 2 they are a weight.
fn shares(shares: u64) -> u64 {
    if is_v2() { 1 + (shares - 2) * 9999 / 262_142 } else { shares }
}

fn memory_of_the_machine() -> u64 {
    let table = fs::read_to_string("/proc/meminfo").unwrap();
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// The score that a container can have here: the tests' containerd raises none of its own, as it may lack the right to lower it.
fn oom_score(rule: i64) -> String {
    let own: i64 = fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    rule.max(own).to_string()
}

#[test]
fn containers_pods_and_classes_have_the_limits_of_their_manifests() {
    let Some(node) = Node::configured("podPidsLimit: 200\n") else { return };
    let quarter = memory_of_the_machine() / 4;
    let requests = format!("resources: {{requests: {{cpu: 100m, memory: '{quarter}'}}}}");
    let guaranteed = sleepers(
        "",
        &[
            ("large", "resources: {limits: {cpu: 250m, memory: 64Mi}}"),
            ("small", "resources: {limits: {cpu: 100m, memory: 32Mi}}"),
        ],
    );
    let burstable = sleepers(
        "",
        &[("asks", requests.as_str()), ("capped", "resources: {limits: {memory: 64Mi}}"), ("plain", "")],
    );
    let all_capped =
        sleepers("", &[("main", "resources: {requests: {cpu: 100m}, limits: {cpu: 500m, memory: 64Mi}}")]);
    let of_pod = sleepers("resources: {limits: {cpu: 500m, memory: 128Mi}}", &[("main", "")]);
    let guaranteed = Inside::run(&node, "guaranteed", &guaranteed);
    let burstable = Inside::run(&node, "burstable", &burstable);
    let all_capped = Inside::run(&node, "all-capped", &all_capped);
    let of_pod = Inside::run(&node, "of-pod", &of_pod);
    let best_effort = Inside::run(&node, "best-effort", &sleepers("", &[("main", "")]));

    let root = format!("{}/kubepods", node.slot().cgroup());
    let machine = i64::try_from(memory_of_the_machine()).unwrap();
    let by_memory = |request: u64| 1000 - i64::try_from(request).unwrap() * 1000 / machine;
    for (app, container, limits, score) in [
        (&guaranteed, "large", (256, Some(25_000), Some(64 * MI)), -997),
        (&guaranteed, "small", (102, Some(10_000), Some(32 * MI)), -997),
        (&burstable, "asks", (102, None, None), by_memory(quarter)),
        (&burstable, "capped", (2, None, Some(64 * MI)), by_memory(64 * MI)),
        (&burstable, "plain", (2, None, None), 999),
        (&all_capped, "main", (102, Some(50_000), Some(64 * MI)), by_memory(64 * MI)),
        (&of_pod, "main", (512, Some(50_000), Some(128 * MI)), -997),
        (&best_effort, "main", (2, None, None), 1000),
    ] {
        let what = format!("{} {container}", app.name());
        let expected = (shares(limits.0), limits.1, limits.2);
        assert_eq!(Cgroup::of(app, container).limits(), expected, "{what}");
        assert_eq!(app.sh(container, "cat /proc/1/oom_score_adj"), oom_score(score), "{what}");
    }
    for (app, container, class, limits) in [
        (&guaranteed, "large", "", (358, Some(35_000), Some(96 * MI))),
        (&burstable, "asks", "/burstable", (102, None, None)),
        (&all_capped, "main", "/burstable", (102, Some(50_000), Some(64 * MI))),
        (&of_pod, "main", "", (512, Some(50_000), Some(128 * MI))),
        (&best_effort, "main", "/besteffort", (2, None, None)),
    ] {
        let pod = Cgroup::of(app, container).parent();
        assert_eq!(pod.0, format!("{root}{class}/pod{}", app.uid()), "{}", app.name());
        assert_eq!(pod.limits(), (shares(limits.0), limits.1, limits.2), "{}", app.name());
        assert_eq!(pod.file("pids", "pids.max"), "200", "{}", app.name());
    }
    let class = |name: &str| Cgroup(format!("{root}/{name}"));
    assert_eq!(class("besteffort").limits(), (shares(2), None, None));
    wait_until("the Burstable pods have what they request together", || {
        class("burstable").limits() == (shares(204), None, None)
    });
    let (_, quota, memory) = Cgroup(root).limits();
    assert_eq!((quota, memory), (None, Some(memory_of_the_machine() / 4096 * 4096)), "all pods together");

    // The container sees its own limit where programs look for it.
    let file =
        if is_v2() { "/sys/fs/cgroup/memory.max" } else { "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
    assert_eq!(guaranteed.sh("large", &format!("cat {file}")), (64 * MI).to_string());
}

#[test]
fn pods_live_below_the_cgroup_root_that_is_configured_and_leave_it() {
    let Some(node) = node_with(|node| format!("cgroupRoot: {}/edge/pods\n", node.slot().cgroup())) else {
        return;
    };
    let app = Inside::run(&node, "app", &sleepers("", &[("main", "resources: {requests: {cpu: 100m}}")]));
    let class = Cgroup(format!("{}/edge/pods/kubepods/burstable", node.slot().cgroup()));
    let pod = format!("{}/pod{}", class.0, app.uid());
    assert_eq!(Cgroup::of(&app, "main").parent().0, pod);
    let elsewhere = format!("{}/kubepods", node.slot().network());
    assert!(!node.cgroups().iter().any(|path| path.ends_with(&elsewhere)), "{:?}", node.cgroups());
    let of_pod = || node.cgroups().into_iter().filter(|path| path.contains(&app.uid())).collect::<Vec<_>>();
    assert!(!of_pod().is_empty());
    wait_until("the class has what its pod requests", || class.limits().0 == shares(102));
    node.delete("app.yaml");
    node.agent.wait_gone("app");
    wait_until("no cgroup of the pod is left", || of_pod().is_empty());
    wait_until("the class has the least", || class.limits().0 == shares(2));
}

#[test]
fn a_container_that_takes_more_memory_than_its_limit_is_killed_and_told_of() {
    let Some(node) = Node::start() else { return };
    let spec = "
containers:
- {name: greedy, image: 'busybox:1', command: [tail, /dev/zero], resources: {limits: {memory: 16Mi}}}
- {name: modest, image: 'busybox:1', command: [sleep, infinity], resources: {limits: {memory: 16Mi}}}
";
    node.apply("app.yaml", daemon_set("app", spec));
    let ended = |pod: &Pod, name: &str| {
        let status = statuses(pod).remove(name)?;
        status.state?.terminated.or_else(|| status.last_state?.terminated)
    };
    let pod = node.agent.wait_pod("app", "the greedy one has ended", |pod| ended(pod, "greedy").is_some());
    let end = ended(&pod, "greedy").unwrap();
    assert_eq!((end.reason.as_deref(), end.exit_code), (Some("OOMKilled"), 137));
    assert_eq!(restarts(&pod, "modest"), 0);
}
