//! The reconciler while the machine goes down, over a fake runtime.

use std::path::Path;

use k8s_openapi::api::core::v1::{NodeSpec, NodeStatus, Taint};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::agent::Purpose;
use crate::agent::recording::Recorded;
use crate::config::{self, Sources};
use crate::cri::Method;
use crate::cri::fake::FakeRuntime;
use crate::manifest::read;
use crate::pod::testing::context;

const APP: &str = "
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: important}
value: 7
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: app, namespace: default}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      priorityClassName: important
      hostNetwork: true
      containers: [{name: main, image: registry.example/app:1}]
";

/// An agent of one DaemonSet, as far as its decisions go.
struct Bench {
    reconciler: Reconciler,
    node: watch::Sender<Arc<Node>>,
    runtime: FakeRuntime,
    _snapshots: watch::Sender<Arc<Snapshot>>,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = FakeRuntime::start();
        let (reports, reports_seen) = mpsc::unbounded_channel();
        let reading = read(Path::new("store.yaml"), APP.as_bytes());
        let objects = reading.objects.into_iter().map(|it| (it.object.key(), Arc::new(it)));
        let objects = Objects(objects.collect());
        assert_eq!(objects.0.len(), 2, "{:?}", reading.problems);
        let snapshot = Snapshot { objects, freshness: Freshness::Current, ..Snapshot::default() };
        let (snapshots, snapshots_seen) = watch::channel(Arc::new(snapshot));
        let (node, node_seen) = watch::channel(Arc::new(node(&[])));
        let surroundings = Surroundings {
            context: Arc::new(context(&runtime, dir.path(), reports)),
            snapshots: snapshots_seen,
            node: node_seen,
            reports: reports_seen,
            burstable_shares: watch::channel(0).0,
            limited: Arc::default(),
            kept_images: watch::channel(None).0,
        };
        let file = dir.path().join("config.yaml");
        std::fs::write(&file, format!("rootDir: {}\n", dir.path().display())).unwrap();
        let settings = config::load(&Sources { file, ..Sources::default() }).unwrap().settings;
        let reconciler = Reconciler::open(&settings, surroundings, &Purpose::LookAfter).unwrap();
        Self { reconciler, node, runtime, _snapshots: snapshots, _dir: dir }
    }

    /// Has the pod's record written, and the pod put to work.
    async fn put_to_work(&mut self) {
        let recorded = self.reconciler.recording.progress().await;
        self.reconciler.recorded(recorded);
    }

    /// Takes what the workers say until this is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Reconciler) -> bool) {
        while !is_so(&self.reconciler) {
            let report = timeout(Duration::from_secs(30), self.reconciler.reports.recv()).await;
            let report = report.unwrap_or_else(|_| panic!("not {what}")).unwrap();
            self.reconciler.take(&report);
        }
    }

    fn only_pod(&self) -> (&PodUid, &Tracked) {
        assert_eq!(self.reconciler.pods.len(), 1);
        self.reconciler.pods.iter().next().unwrap()
    }

    fn told(&self, reason: &str) -> usize {
        let events = self.reconciler.context.board.events();
        events.iter().filter(|event| event.reason.as_deref() == Some(reason)).count()
    }
}

fn node(taints: &[&str]) -> Node {
    let amounts = ["cpu", "memory", "pods", "ephemeral-storage"];
    let allocatable: BTreeMap<_, _> =
        amounts.map(|name| (name.to_owned(), serde_json::from_value(json!("1000")).unwrap())).into();
    let taint =
        |key: &&str| Taint { key: (*key).to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() };
    let mut node = Node {
        spec: Some(NodeSpec { taints: Some(taints.iter().map(taint).collect()), ..NodeSpec::default() }),
        status: Some(NodeStatus { allocatable: Some(allocatable), ..NodeStatus::default() }),
        ..Node::default()
    };
    node.metadata.name = Some("node-1".to_owned());
    node
}

#[tokio::test]
async fn while_the_machine_goes_down_no_pod_is_made_and_the_node_is_told_of_it_once() {
    let mut bench = Bench::new();
    bench.reconciler.machine_goes(Machine::Up);
    assert_eq!(bench.told("Shutdown"), 0, "it never was anything else");
    for _ in 0..2 {
        bench.reconciler.machine_goes(Machine::GoingDown);
        bench.reconciler.reconcile();
    }
    assert_eq!(bench.told("Shutdown"), 1);
    assert!(bench.reconciler.pods.is_empty() && bench.reconciler.context.board.pods().is_empty());
    bench.reconciler.machine_goes(Machine::Up);
    bench.reconciler.reconcile();
    assert_eq!((bench.told("Shutdown"), bench.reconciler.pods.len()), (2, 1));
}

#[tokio::test]
async fn a_pod_that_waits_for_its_place_gets_none_while_the_machine_goes_down() {
    let mut bench = Bench::new();
    let mut full = node(&[]);
    full.status.as_mut().unwrap().allocatable.as_mut().unwrap().remove("pods");
    bench.node.send_replace(Arc::new(full));
    bench.reconciler.reconcile();
    assert_eq!((bench.reconciler.waiting.len(), bench.reconciler.pods.len()), (1, 0));
    bench.reconciler.machine_goes(Machine::GoingDown);
    bench.node.send_replace(Arc::new(node(&[])));
    bench.reconciler.reconcile();
    assert_eq!((bench.reconciler.waiting.len(), bench.reconciler.pods.len()), (1, 0));
}

#[tokio::test]
async fn a_pod_whose_record_is_being_written_when_the_machine_goes_down_never_begins() {
    let mut bench = Bench::new();
    bench.reconciler.reconcile();
    assert!(matches!(bench.only_pod().1.handle, Hand::Recording { .. }));
    bench.reconciler.machine_goes(Machine::GoingDown);
    assert_eq!(bench.reconciler.living(), []);
    bench.put_to_work().await;
    bench.until("gone", |reconciler| reconciler.pods.is_empty()).await;
    assert_eq!(bench.runtime.count(Method::RunPodSandbox), 0);
}

#[tokio::test]
async fn a_pod_that_the_board_does_not_know_yet_ends_with_the_others_and_is_waited_for() {
    let mut bench = Bench::new();
    bench.reconciler.reconcile();
    bench.put_to_work().await;
    let uid = bench.only_pod().0.clone();
    assert!(bench.reconciler.context.board.pods().is_empty());
    bench.reconciler.machine_goes(Machine::GoingDown);
    assert_eq!(bench.reconciler.living(), [(uid.clone(), 7)]);
    let (ended, mut all_ended) = oneshot::channel();
    bench.reconciler.end_for_shutdown([uid].into(), Duration::from_secs(5), ended);
    assert!(all_ended.try_recv().is_err());
    bench.until("failed", |reconciler| reconciler.pods.values().all(|pod| pod.life == Life::Failed)).await;
    all_ended.try_recv().unwrap();
    assert_eq!(bench.runtime.count(Method::RunPodSandbox), 0);
    let shown = bench.reconciler.context.board.pods()[0].status.clone().unwrap();
    assert_eq!(shown.reason.as_deref(), Some("Terminated"));
    assert_eq!(shown.message.as_deref(), Some("Pod was terminated in response to imminent node shutdown."));
    // It is not replaced before the machine is up again.
    bench.reconciler.reconcile();
    assert_eq!((bench.only_pod().1.life, bench.reconciler.living()), (Life::Failed, vec![]));
    let (ended, all_ended) = oneshot::channel();
    let uid = bench.only_pod().0.clone();
    bench.reconciler.end_for_shutdown([uid].into(), Duration::from_secs(5), ended);
    all_ended.await.expect("nothing is left to wait for");
}

#[tokio::test]
async fn a_pod_on_record_of_which_nothing_runs_does_not_begin_in_an_agent_that_starts_while_the_machine_goes_down()
 {
    let mut bench = Bench::new();
    bench.reconciler.reconcile();
    let Recorded::Placed(mut placed) = bench.reconciler.recording.progress().await else {
        panic!("a record has its place")
    };
    let (record, _) = placed.remove(0);
    bench.reconciler.pods.clear();
    bench.reconciler.machine_goes(Machine::GoingDown);
    bench.reconciler.adopt(record, Listed::default());
    bench.until("failed", |reconciler| reconciler.pods.values().all(|pod| pod.life == Life::Failed)).await;
    assert_eq!(bench.runtime.count(Method::RunPodSandbox), 0);
}

#[tokio::test]
async fn taints_drive_no_pod_away_while_the_machine_goes_down() {
    let mut bench = Bench::new();
    bench.reconciler.reconcile();
    bench.reconciler.machine_goes(Machine::GoingDown);
    bench.node.send_replace(Arc::new(node(&["away"])));
    bench.reconciler.reconcile();
    assert_eq!((bench.only_pod().1.life, bench.told("TaintManagerEviction")), (Life::Live, 0));
    bench.reconciler.machine_goes(Machine::Up);
    bench.reconciler.reconcile();
    assert_eq!((bench.only_pod().1.life, bench.told("TaintManagerEviction")), (Life::Ending, 1));
}
