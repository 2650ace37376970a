//! The rig: a fake runtime, a state directory, and agents that come and go over them.
//!
//! An [`Agent`] here is as much of the real one as a pod worker sees: its context, its events, and the pods on record taken up at
//! the start. Tests run with tokio's time paused, so every wait is for something that happens, and a deadline costs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemonlet::backoff::BackoffPolicy;
use daemonlet::board::{Board, Metrics};
use daemonlet::cgroup::{CgroupManager, Driver, Version};
use daemonlet::clock::Clock;
use daemonlet::containerd::{self, RuntimeEvent};
use daemonlet::cri::Method;
use daemonlet::cri::fake::{FakeOptions, FakeRuntime, State};
use daemonlet::cri::translate::Host;
use daemonlet::cri::translate::host::HandlerFeatures;
use daemonlet::manifest::{DaemonSetKey, Objects, read};
use daemonlet::node::Pressure;
use daemonlet::pod::blueprint::Blueprint;
use daemonlet::pod::classes::Classes;
use daemonlet::pod::context::{Directory, News, PodContext, Report};
use daemonlet::pod::failure::Failure;
use daemonlet::pod::identity::{self, Incarnation, PodUid};
use daemonlet::pod::network::Network;
use daemonlet::pod::node_credentials::{CredentialsFile, NodeCredentials};
use daemonlet::pod::record::{PodRecord, Records};
use daemonlet::pod::sandbox_image::SandboxImage;
use daemonlet::pod::user_namespace::UserNamespaces;
use daemonlet::pod::worker::{self, Listed, Wake, WorkerHandle};
use daemonlet::preload::Preload;
use daemonlet::rollout::{HASH_VERSION, revision_of};
use daemonlet::volume::VolumeRoot;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const NODE: &str = "node-1";
/// How long anything may take, in time that passes at once.
const PATIENCE: Duration = Duration::from_secs(900);

/// A machine: what outlives an agent.
pub(crate) struct Machine {
    pub(crate) runtime: FakeRuntime,
    booted: (Timestamp, Instant),
    dir: TempDir,
    /// How often it has booted.
    boots: u32,
}

type Handles = Arc<Mutex<BTreeMap<PodUid, WorkerHandle>>>;

/// An agent, as far as its pods can tell. Dropping it is `kill -9`.
pub(crate) struct Agent {
    pub(crate) context: Arc<PodContext>,
    /// What the node is short of.
    pub(crate) pressure: watch::Sender<Pressure>,
    objects: watch::Sender<Arc<Objects>>,
    reports: mpsc::UnboundedReceiver<Report>,
    handles: Handles,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.context.shutdown.cancel();
    }
}

impl Machine {
    pub(crate) fn boot() -> Self {
        Self::with(&FakeOptions::default())
    }

    /// A machine with such a runtime.
    pub(crate) fn with(options: &FakeOptions) -> Self {
        let runtime = FakeRuntime::start_with(options);
        let (wall, at) = runtime.read(State::started);
        let booted = (Timestamp::UNIX_EPOCH + wall, at);
        Self { runtime, booted, boots: 1, dir: TempDir::new().expect("a folder") }
    }

    /// Ends everything that runs and begins anew, with what is on disk. No agent may be there.
    pub(crate) fn reboot(&mut self) {
        self.runtime.stop_sandboxes();
        self.boots += 1;
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until the runtime is as wanted.
    #[track_caller]
    pub(crate) fn until<'a>(
        &'a self,
        what: &'a str,
        is_so: impl FnMut(&State) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            if let Err(error) = self.runtime.wait_within(PATIENCE, is_so).await {
                panic!("{caller}: not {what}: {error}");
            }
        }
    }

    /// When each call of the method came, in seconds since the first of them.
    pub(crate) fn times(&self, method: Method) -> Vec<f64> {
        let calls = self.runtime.calls();
        let times: Vec<Instant> =
            calls.iter().filter(|call| call.method() == method).map(|call| call.at).collect();
        times.iter().map(|at| ((*at - times[0]).as_secs_f64() * 10.0).round() / 10.0).collect()
    }

    /// Nothing is left of any pod, in the runtime or on disk.
    pub(crate) fn assert_clean(&self) {
        self.runtime.read(|state| {
            assert!(state.sandboxes.is_empty(), "sandboxes left: {:#?}", state.sandboxes);
            assert!(state.containers.is_empty(), "containers left: {:#?}", state.containers);
        });
        for dir in ["root/pods", "root/records", "pods", "containers"] {
            let left: Vec<_> = fs::read_dir(self.path().join(dir)).into_iter().flatten().flatten().collect();
            assert!(left.is_empty(), "left in {dir}: {left:?}");
        }
    }

    /// Starts an agent, which takes up the pods on record.
    pub(crate) async fn start_agent(&self) -> Agent {
        let root = self.path().join("root");
        let (logs, links) = (self.path().join("pods"), self.path().join("containers"));
        let cgroups = self.path().join("cgroup");
        for dir in [&root, &logs, &links, &cgroups] {
            fs::create_dir_all(dir).expect("a folder");
        }
        let mut host =
            Host { node_name: NODE.into(), root_dir: root.clone(), pod_logs_dir: logs, ..Host::for_tests() };
        let features = HandlerFeatures { user_namespaces: true, ..HandlerFeatures::default() };
        host.handlers.insert(String::new(), features);
        let clock = Clock::simulated(self.booted.0, self.booted.1);
        let (pressure, pressure_seen) = watch::channel(Pressure::none(clock.wall_seconds()));
        let (objects, objects_seen) = watch::channel(Arc::default());
        let (reports, reports_seen) = mpsc::unbounded_channel();
        let cri = self.runtime.client();
        let context = Arc::new(PodContext {
            clock,
            boot: format!("boot {}", self.boots),
            cri: cri.clone(),
            host: watch::channel(Arc::new(host)).1,
            volumes: VolumeRoot::prepare(&root).expect("a volume root"),
            users: UserNamespaces::new(root.join("pods")),
            // No tree of version 1 is mounted there, so there is no cgroup to make.
            cgroups: CgroupManager::new(Version::V1, Driver::Cgroupfs, &cgroups, "/kubepods")
                .expect("a cgroup manager"),
            allocatable: BTreeMap::new(),
            pressure: pressure_seen,
            metrics: Arc::new(Metrics::new("test")),
            board: Arc::new(Board::new(NODE, clock.wall())),
            records: Records::open(&root.join("records")).expect("records"),
            pulls: Semaphore::new(5),
            preload: Preload::none(),
            sandbox_image: SandboxImage::left_to_the_runtime(),
            network: Network::new(cri),
            node_credentials: NodeCredentials::new(CredentialsFile::Default(root.join("config.json"))),
            directory: Directory::default(),
            objects: objects_seen,
            restarts: BackoffPolicy::KUBELET,
            container_logs_dir: links,
            reports,
            agent_started: Instant::now().into_std(),
            shutdown: CancellationToken::new(),
        });
        let agent = Agent { context, pressure, objects, reports: reports_seen, handles: Handles::default() };
        agent.take_up_pods().await;
        agent.listen();
        agent
    }
}

impl Agent {
    async fn take_up_pods(&self) {
        let (records, refused) = self.context.records.load().expect("records");
        assert!(refused.is_empty(), "{refused:?}");
        for record in records {
            let labels = BTreeMap::from([("io.kubernetes.pod.uid".to_owned(), record.uid.to_string())]);
            let cri = &self.context.cri;
            let listed = Listed {
                sandboxes: cri.list_pod_sandboxes(&labels).await.expect("sandboxes"),
                containers: cri.list_containers(&labels).await.expect("containers"),
            };
            self.adopt(record, listed);
        }
    }

    fn adopt(&self, record: PodRecord, listed: Listed) {
        let uid = record.uid.clone();
        let handle = worker::spawn(Arc::clone(&self.context), record, listed);
        self.handles().insert(uid, handle);
    }

    /// Passes the runtime's events on, as the agent's main loop does.
    fn listen(&self) {
        let (events, mut heard) = mpsc::channel(64);
        let (context, handles) = (Arc::clone(&self.context), Arc::clone(&self.handles));
        tokio::spawn(async move {
            let passed_on = async {
                while let Some(event) = heard.recv().await {
                    pass_on(&context, &handles, &event);
                }
            };
            tokio::select! {
                () = context.shutdown.cancelled() => {}
                () = containerd::watch(&context.cri, events) => {}
                () = passed_on => {}
            }
        });
    }

    fn handles(&self) -> std::sync::MutexGuard<'_, BTreeMap<PodUid, WorkerHandle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a pod of a DaemonSet with this pod spec, and runs it.
    pub(crate) fn run(&self, spec: &Value) -> PodName {
        self.run_named("app", spec)
    }

    pub(crate) fn run_named(&self, name: &str, spec: &Value) -> PodName {
        let record = record_of(name, spec, self.context.clock.wall_seconds());
        self.context.records.write(&record).expect("a record");
        let pod =
            PodName { uid: record.uid.clone(), name: record.pod.metadata.name.clone().unwrap_or_default() };
        self.adopt(record, Listed::default());
        pod
    }

    pub(crate) fn stop(&self, pod: &PodName, grace: Option<Duration>) {
        self.handles()[&pod.uid].stop("the test says so".into(), grace);
    }

    pub(crate) fn fail(&self, pod: &PodName, failure: Failure) {
        self.handles()[&pod.uid].fail(failure);
    }

    /// Wakes the pod as the slow listing does.
    pub(crate) fn look_again(&self, pod: &PodName) {
        self.wake(pod, Wake::LookAgain);
    }

    pub(crate) fn wake(&self, pod: &PodName, wake: Wake) {
        self.handles()[&pod.uid].wake(wake);
    }

    /// Puts objects into the store: YAML.
    pub(crate) fn store(&self, yaml: &str) {
        self.objects.send_replace(Arc::new(objects(yaml)));
    }

    pub(crate) fn pod(&self, pod: &PodName) -> Option<Arc<Pod>> {
        self.context.board.pod("default", &pod.name)
    }

    /// Waits until the board shows the pod as wanted.
    #[track_caller]
    pub(crate) fn until<'a>(
        &'a self,
        pod: &'a PodName,
        what: &'a str,
        mut is_so: impl FnMut(&Pod) -> bool + 'a,
    ) -> impl Future<Output = Arc<Pod>> + 'a {
        let caller = std::panic::Location::caller();
        let mut changes = self.context.board.subscribe();
        let wait = async move {
            loop {
                if let Some(found) = self.pod(pod).filter(|found| is_so(found)) {
                    return found;
                }
                match changes.recv().await {
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        async move {
            match timeout(PATIENCE, wait).await {
                Ok(found) => found,
                Err(_) => panic!("{caller}: not {what}; the pod is {:#?}", self.pod(pod)),
            }
        }
    }

    /// Waits until the container waits for this reason.
    #[track_caller]
    pub(crate) fn until_waiting<'a>(
        &'a self,
        pod: &'a PodName,
        container: &'a str,
        reason: &'a str,
    ) -> impl Future<Output = Arc<Pod>> + 'a {
        self.until(pod, reason, move |pod| waiting(pod, container).is_some_and(|(found, _)| found == reason))
    }

    /// Waits until the pod is Ready.
    #[track_caller]
    pub(crate) fn until_ready<'a>(&'a self, pod: &'a PodName) -> impl Future<Output = Arc<Pod>> + 'a {
        self.until(pod, "ready", is_ready)
    }

    /// Waits until nothing is left of the pod; what was told about it meanwhile.
    pub(crate) async fn until_gone(&mut self, pod: &PodName) -> Vec<News> {
        let mut told = Vec::new();
        loop {
            let report = timeout(PATIENCE, self.reports.recv()).await;
            let report = report.expect("the pod ends in time").expect("a report");
            if report.uid == pod.uid {
                told.push(report.news);
                if report.news == News::Gone {
                    return told;
                }
            }
        }
    }

    /// The agent ends properly, as for an upgrade: its workers have ended when this returns.
    pub(crate) async fn end(self) {
        self.context.shutdown.cancel();
        let handles = std::mem::take(&mut *self.handles());
        for handle in handles.into_values() {
            timeout(PATIENCE, handle.finished()).await.expect("the worker ends");
        }
    }

    /// Whether the pod's worker has ended.
    pub(crate) fn is_finished(&self, pod: &PodName) -> bool {
        self.handles()[&pod.uid].is_finished()
    }

    /// What was told about the pod so far.
    pub(crate) fn news(&mut self) -> Vec<News> {
        std::iter::from_fn(|| self.reports.try_recv().ok()).map(|report| report.news).collect()
    }

    /// The Events with this reason, oldest first.
    pub(crate) fn events(&self, reason: &str) -> Vec<Event> {
        let items = self.context.board.list(daemonlet::board::ItemKind::Event).items;
        let events = items.into_iter().filter_map(|item| match item {
            daemonlet::board::Item::Event(event) => Some(Event::clone(&event)),
            _ => None,
        });
        events.filter(|event| event.reason.as_deref() == Some(reason)).collect()
    }

    /// How often this message was told under this reason.
    pub(crate) fn told(&self, reason: &str, message: &str) -> i32 {
        let events = self.events(reason);
        let of_message = events.iter().filter(|event| event.message.as_deref() == Some(message));
        of_message.map(|event| event.count.unwrap_or(1)).sum()
    }
}

/// Who a pod is.
#[derive(Debug, Clone)]
pub(crate) struct PodName {
    pub(crate) uid: PodUid,
    pub(crate) name: String,
}

impl PodName {
    /// As messages name it.
    pub(crate) fn full(&self) -> String {
        format!("{}_default({})", self.name, self.uid)
    }
}

fn pass_on(context: &PodContext, handles: &Handles, event: &RuntimeEvent) {
    let handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
    let owner = |id: &str| context.directory.owner(id).and_then(|uid| handles.get(&uid));
    match event {
        RuntimeEvent::Exited { id, .. } => {
            if let Some(handle) = owner(id.as_str()) {
                handle.wake(Wake::Exited(id.to_string()));
            }
        }
        RuntimeEvent::Deleted { id } => {
            if let Some(handle) = owner(id.as_str()) {
                handle.wake(Wake::Changed(id.to_string()));
            }
        }
        RuntimeEvent::StreamReady { .. } => {
            handles.values().for_each(|handle| handle.wake(Wake::LookAgain));
        }
        _ => {}
    }
}

fn objects(yaml: &str) -> Objects {
    let reading = read(Path::new("store.yaml"), yaml.as_bytes());
    let errors: Vec<_> = reading.problems.iter().map(|problem| &problem.message).collect();
    assert!(reading.refused.identified.is_empty() && !reading.refused.unidentified, "{errors:?}");
    Objects(reading.objects.into_iter().map(|stored| (stored.object.key(), Arc::new(stored))).collect())
}

/// A pod as the agent makes it of a DaemonSet: read, defaulted and validated.
fn record_of(name: &str, spec: &Value, now: Timestamp) -> PodRecord {
    let labels = json!({"app": name});
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default", "uid": "ds"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    });
    let read = objects(&manifest.to_string());
    let daemon_set = read.daemon_sets().next().expect("a DaemonSet").clone();
    let template = &daemon_set.spec.as_ref().expect("a spec").template;
    let key = DaemonSetKey { namespace: "default".into(), name: name.into() };
    let revision = revision_of(template);
    let identity = identity::derive(NODE, &key, &revision, Incarnation(1));
    let pod = Blueprint {
        daemon_set: &daemon_set,
        template,
        revision_hash: revision.as_str(),
        template_generation: Some(1),
        name: &identity.name,
        uid: identity.uid.as_str(),
        node_name: NODE,
        classes: Classes::default(),
    }
    .pod();
    PodRecord::new(identity.uid, key, (revision, HASH_VERSION), Incarnation(1), now, pod)
}

/// A container's status.
pub(crate) fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.into_iter().find(|status| status.name == container)
}

/// Why the container waits: reason and message.
pub(crate) fn waiting(pod: &Pod, container: &str) -> Option<(String, String)> {
    let waiting = status(pod, container)?.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.clone().unwrap_or_default(), waiting.message.clone().unwrap_or_default()))
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A spec with one container named `main`, which has these fields too.
pub(crate) fn one_container(fields: &Value) -> Value {
    let mut container = json!({"name": "main", "image": "registry.example/app:1"});
    for (key, value) in fields.as_object().expect("fields") {
        container[key] = value.clone();
    }
    json!({"containers": [container]})
}

/// Whether the container runs, and which restart of it.
pub(crate) fn running(pod: &Pod, container: &str) -> Option<i32> {
    let status = status(pod, container)?;
    status.state.as_ref()?.running.as_ref().map(|_| status.restart_count)
}
