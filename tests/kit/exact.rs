//! Is the node exactly right? What the agent's API says, what the CRI says, what runs below the CRI and what the host has must be one
//! and the same: no pod, sandbox, container, task, shim, cgroup, mount, network namespace, address or directory more or less.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use daemonlet::cri::proto::{Container, PodSandbox};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::{Node, container_ids, leaks, wait_until};

const SANDBOX_READY: i32 = 0;
const CONTAINER_RUNNING: i32 = 1;
const CONTAINER_EXITED: i32 = 2;

impl Node {
    /// The pods that the API shows; the reason where it shows none.
    pub(crate) fn pods(&self) -> Result<Vec<Pod>, String> {
        let (status, body) = self.agent.api.get("/api/v1/pods")?;
        let list: Value = serde_json::from_str(&body).map_err(|error| format!("{status}: {error}"))?;
        serde_json::from_value(list["items"].clone()).map_err(|error| format!("{status}: {error}"))
    }

    /// Waits until the node is exactly as its pods say.
    #[track_caller]
    pub(crate) fn wait_exact(&self) {
        self.wait_exact_but(|_| false);
    }

    /// The same, where what this takes is not the agent's to see to.
    #[track_caller]
    pub(crate) fn wait_exact_but(&self, is_excused: impl Fn(&str) -> bool) {
        let mut amiss = Vec::new();
        let is_so = super::is_so_in_time(|| {
            amiss = self.amiss();
            amiss.retain(|line| !is_excused(line));
            amiss.is_empty()
        });
        assert!(is_so, "the node is not as it should be: {amiss:#?}");
    }

    /// Waits until nothing of any pod is left.
    #[track_caller]
    pub(crate) fn wait_empty(&self) {
        wait_until("no pod is left", || self.pods().is_ok_and(|pods| pods.is_empty()));
        self.wait_exact();
        assert_eq!((self.sandboxes().len(), self.containers().len()), (0, 0));
    }

    /// What is not as it should be when every pod of the API runs and nothing else does, a line each.
    pub(crate) fn amiss(&self) -> Vec<String> {
        let pods = match self.pods() {
            Ok(pods) => pods,
            Err(error) => return vec![format!("the agent does not answer: {error}")],
        };
        let by_uid: BTreeMap<String, &Pod> =
            pods.iter().map(|pod| (pod.metadata.uid.clone().unwrap_or_default(), pod)).collect();
        let (sandboxes, containers) = (self.sandboxes(), self.containers());
        let mut amiss = Vec::new();
        let ready: Vec<&PodSandbox> = sandboxes.iter().filter(|it| it.state == SANDBOX_READY).collect();
        for sandbox in &sandboxes {
            if !by_uid.contains_key(uid(sandbox)) {
                amiss.push(format!("sandbox {} of no pod", sandbox.id));
            }
        }
        for (uid, pod) in &by_uid {
            check_pod(uid, pod, &ready, &containers, &mut amiss);
        }
        let mut alive: BTreeSet<&str> = ready.iter().map(|sandbox| sandbox.id.as_str()).collect();
        let shims = alive.clone();
        alive.extend(containers.iter().filter(|it| it.state == CONTAINER_RUNNING).map(|it| it.id.as_str()));
        self.check_tasks(&alive, &shims, &mut amiss);
        let with_network =
            ready.iter().filter(|sandbox| !is_on_host_network(by_uid.get(uid(sandbox)))).count();
        self.check_network(with_network, &mut amiss);
        self.check_files(&by_uid, &alive, &mut amiss);
        let known: BTreeSet<&str> = sandboxes.iter().map(|sandbox| sandbox.id.as_str()).collect();
        self.check_mounts(&by_uid, &alive, &known, &mut amiss);
        amiss
    }

    /// The shims that neither containerd nor anything else knows of.
    pub(crate) fn forgotten_shims(&self) -> usize {
        let known = self.containerd.ctr(&["containers", "list", "--quiet"]);
        self.shims().iter().filter(|(id, _)| !known.lines().any(|line| line == id)).count()
    }

    /// Below the CRI: each sandbox and each container that runs is one task, each sandbox has one shim.
    fn check_tasks(&self, alive: &BTreeSet<&str>, sandboxes: &BTreeSet<&str>, amiss: &mut Vec<String>) {
        let tasks = self.containerd.ctr(&["tasks", "list"]);
        let tasks: Vec<Vec<&str>> =
            tasks.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        for task in &tasks {
            if task.get(2) != Some(&"RUNNING") || !alive.contains(task[0]) {
                amiss.push(format!("a task that should not be: {task:?}"));
            }
        }
        if tasks.len() != alive.len() {
            amiss.push(format!("{} tasks for {} sandboxes and containers", tasks.len(), alive.len()));
        }
        // A busy containerd may give a container a shim of its own, when its sandbox's doesn't answer within a tenth of a second.
        let shims = self.shims();
        // One that containerd itself has forgotten, and that has nothing, was begun when containerd or its caller was killed: nobody can
        // tell any more whose it was. What had got as far as a cgroup, the agent ends.
        let known = self.containerd.ctr(&["containers", "list", "--quiet"]);
        let is_known = |id: &str| known.lines().any(|line| line == id);
        let strangers = shims.iter().filter(|(id, _)| !alive.contains(id.as_str()) && is_known(id));
        amiss.extend(strangers.map(|(id, pid)| format!("shim {pid} of {id}, which does not run")));
        for sandbox in sandboxes {
            let count = shims.iter().filter(|(id, _)| id == sandbox).count();
            if count != 1 {
                amiss.push(format!("{count} shims of sandbox {sandbox}"));
            }
        }
    }

    /// The process of each shim, with the sandbox that it is of.
    pub(crate) fn shims(&self) -> Vec<(String, i32)> {
        let shim = |pid: i32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let words: Vec<String> = command
                .split(|byte| *byte == 0)
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            // One that only starts or deletes another says so in its last word.
            let is_shim = words.first()?.contains("containerd-shim-runc")
                && !words.iter().any(|word| word == "start" || word == "delete");
            let id = words.iter().position(|word| word == "-id")? + 1;
            is_shim.then(|| Some((words.get(id)?.clone(), pid)))?
        };
        leaks::processes(self.slot()).into_iter().filter_map(shim).collect()
    }

    fn check_network(&self, expected: usize, amiss: &mut Vec<String>) {
        let slot = self.slot();
        let namespaces = leaks::mounts(&slot.path("run"));
        let namespaces =
            namespaces.iter().filter(|path| path.components().any(|part| part.as_os_str() == "netns"));
        let address = |name: &String| name.starts_with("198.19.");
        let network = format!("{}-", slot.network());
        let rows = [
            ("network namespaces", namespaces.count()),
            (
                "files of network namespaces",
                names(&slot.path("run/io.containerd.grpc.v1.cri/netns")).len()
                    + names(&slot.path("run/netns")).len(),
            ),
            (
                "addresses taken",
                names(&slot.path("cni-data").join(slot.network())).iter().filter(|it| address(it)).count(),
            ),
            (
                "links on the bridge",
                names(&Path::new("/sys/class/net").join(slot.bridge()).join("brif")).len(),
            ),
            (
                "results of CNI",
                names(Path::new("/var/lib/cni/results")).iter().filter(|it| it.starts_with(&network)).count(),
            ),
        ];
        for (what, found) in rows {
            if found != expected {
                amiss.push(format!("{found} {what} for {expected} pods with a network"));
            }
        }
    }

    fn check_files(&self, pods: &BTreeMap<String, &Pod>, alive: &BTreeSet<&str>, amiss: &mut Vec<String>) {
        let slot = self.slot();
        let of_pods = [
            ("directory", names(&slot.path("state/pods"))),
            ("record", names(&slot.path("state/records")).iter().map(|it| it.replace(".json", "")).collect()),
            (
                "logs",
                names(&slot.path("pod-logs"))
                    .iter()
                    .map(|it| it.rsplit('_').next().unwrap().to_owned())
                    .collect(),
            ),
        ];
        for (what, found) in of_pods {
            let missing =
                pods.keys().filter(|uid| !found.contains(*uid)).map(|uid| format!("no {what} of pod {uid}"));
            amiss.extend(missing);
            let surplus = found.iter().filter(|uid| !pods.contains_key(*uid));
            amiss.extend(surplus.map(|uid| format!("{what} {uid} of no pod")));
        }
        for path in leaks::cgroups(&slot.network()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_known = name.strip_prefix("pod").is_none_or(|uid| pods.contains_key(uid))
                && (name.len() != 64 || alive.contains(name.as_str()));
            if !is_known {
                amiss.push(format!("cgroup {}", path.display()));
            }
        }
        // Of a pod that is there one may lead nowhere for a while: its container was removed by somebody else.
        for name in names(&slot.path("container-logs")) {
            let is_known = pods.values().any(|pod| {
                pod.metadata.name.as_ref().is_some_and(|pod| name.starts_with(&format!("{pod}_test_")))
            });
            if !is_known {
                amiss.push(format!("link {name} of no pod"));
            }
        }
    }

    fn check_mounts(
        &self,
        pods: &BTreeMap<String, &Pod>,
        alive: &BTreeSet<&str>,
        sandboxes: &BTreeSet<&str>,
        amiss: &mut Vec<String>,
    ) {
        let slot = self.slot();
        let mut seen = BTreeSet::new();
        for path in leaks::mounts(slot.dir()) {
            let of_pod = path.strip_prefix(slot.path("state/pods")).ok().and_then(|rest| rest.iter().next());
            // containerd 2 keeps the shared memory of a sandbox that has ended until the sandbox is removed.
            let may_have = if path.ends_with("shm") { sandboxes } else { alive };
            let ids = path.iter().map(|part| part.to_string_lossy()).filter(|part| part.len() == 64);
            let is_known = of_pod.is_none_or(|uid| pods.contains_key(uid.to_string_lossy().as_ref()))
                && ids.into_iter().all(|id| may_have.contains(id.as_ref()));
            if !is_known {
                amiss.push(format!("mount {}", path.display()));
            }
            if !seen.insert(path.clone()) {
                amiss.push(format!("mount {} twice", path.display()));
            }
        }
    }
}

fn check_pod(uid_of_pod: &str, pod: &Pod, ready: &[&PodSandbox], all: &[Container], amiss: &mut Vec<String>) {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        amiss.push(format!("pod {name} is being deleted"));
        return;
    }
    let own: Vec<&&PodSandbox> = ready.iter().filter(|sandbox| uid(sandbox) == uid_of_pod).collect();
    let [sandbox] = own.as_slice() else {
        amiss.push(format!("pod {name} has {} sandboxes that run", own.len()));
        return;
    };
    let label = "io.kubernetes.pod.uid";
    let records: Vec<&Container> =
        all.iter().filter(|it| it.labels.get(label).is_some_and(|uid| uid == uid_of_pod)).collect();
    let shown = container_ids(pod);
    let spec = pod.spec.clone().unwrap_or_default();
    let init = spec.init_containers.unwrap_or_default().into_iter();
    let stays = |it: &k8s_openapi::api::core::v1::Container| it.restart_policy.as_deref() == Some("Always");
    for container in init.filter(stays).chain(spec.containers) {
        let of_name = |it: &&&Container| it.metadata.as_ref().is_some_and(|it| it.name == container.name);
        let of_name: Vec<&&Container> = records.iter().filter(of_name).collect();
        let running: Vec<&str> =
            of_name.iter().filter(|it| it.state == CONTAINER_RUNNING).map(|it| it.id.as_str()).collect();
        if running.len() != 1 || shown.get(&container.name).map(String::as_str) != running.first().copied() {
            let shown = shown.get(&container.name);
            amiss.push(format!(
                "container {} of {name}: {running:?} run, the API shows {shown:?}",
                container.name
            ));
        }
        if of_name.len() > 2 {
            amiss.push(format!("{} records of container {} of {name}", of_name.len(), container.name));
        }
    }
    for record in records {
        if record.state == CONTAINER_RUNNING && record.pod_sandbox_id != sandbox.id {
            amiss.push(format!("{} of {name} runs in another sandbox", record.id));
        }
        if record.state != CONTAINER_RUNNING && record.state != CONTAINER_EXITED {
            amiss.push(format!("{} of {name} is in state {}", record.id, record.state));
        }
    }
}

fn uid(sandbox: &PodSandbox) -> &str {
    sandbox.metadata.as_ref().map_or("", |metadata| metadata.uid.as_str())
}

fn is_on_host_network(pod: Option<&&Pod>) -> bool {
    pod.and_then(|pod| pod.spec.as_ref()).and_then(|spec| spec.host_network) == Some(true)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
