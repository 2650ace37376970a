use k8s_openapi::api::apps::v1::DaemonSetStatus;
use k8s_openapi::api::core::v1::{ContainerStatus, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::broadcast::error::TryRecvError;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn board() -> Board {
    Board::new("node-1", at(0))
}

fn pod(name: &str, phase: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            namespace: Some("default".into()),
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        spec: None,
        status: Some(PodStatus { phase: Some(phase.into()), ..PodStatus::default() }),
    }
}

fn happened(subject: &Pod, message: &str, second: i64) -> EventDraft {
    EventDraft {
        regarding: reference_to(subject),
        kind: EventKind::Warning,
        reason: "BackOff".into(),
        message: message.into(),
        component: "kubelet",
        at: at(second),
    }
}

fn types(changes: &[Change]) -> Vec<(&'static str, &str)> {
    changes.iter().map(|change| (change.watch_type.as_str(), change.item.name())).collect()
}

#[test]
fn every_change_raises_the_version_which_the_object_carries() {
    let board = board();
    board.put_pod(pod("a", "Pending"));
    let first = board.list(ItemKind::Pod);
    board.put_pod(pod("b", "Pending"));
    let second = board.list(ItemKind::Pod);
    assert_eq!(second.resource_version, first.resource_version + 1);
    let b = board.pod("default", "b").unwrap();
    assert_eq!(b.metadata.resource_version, Some(second.resource_version.to_string()));
}

#[test]
fn putting_what_is_known_changes_nothing() {
    let board = board();
    board.put_pod(pod("a", "Running"));
    let before = (board.list(ItemKind::Pod).resource_version, board.pod("default", "a").unwrap());
    let mut watcher = board.subscribe();
    board.put_pod(Pod {
        metadata: ObjectMeta { resource_version: Some("77".into()), ..pod("a", "Running").metadata },
        ..pod("a", "Running")
    });
    assert_eq!(board.list(ItemKind::Pod).resource_version, before.0);
    assert_eq!(board.pod("default", "a").unwrap(), before.1);
    assert_eq!(watcher.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_subscriber_hears_added_modified_and_deleted_in_order() {
    let board = board();
    let mut watcher = board.subscribe();
    board.put_pod(pod("a", "Pending"));
    board.put_pod(pod("a", "Running"));
    board.remove_pod("default", "a");
    board.remove_pod("default", "a");
    let heard: Vec<&str> =
        std::iter::from_fn(|| watcher.try_recv().ok()).map(|change| change.watch_type.as_str()).collect();
    assert_eq!(heard, ["ADDED", "MODIFIED", "DELETED"]);
}

#[test]
fn a_watch_that_resumes_is_told_the_present_of_what_changed_and_of_what_is_gone() {
    let board = board();
    for name in ["stays", "changes", "goes"] {
        board.put_pod(pod(name, "Pending"));
    }
    let since = board.list(ItemKind::Pod).resource_version;
    board.put_pod(pod("changes", "Running"));
    board.put_pod(pod("changes", "Failed"));
    board.remove_pod("default", "goes");
    board.put_pod(pod("comes", "Pending"));
    let mut watch = board.watch(ItemKind::Pod, Some(since)).unwrap();
    assert_eq!(types(&watch.past), [("MODIFIED", "changes"), ("DELETED", "goes"), ("ADDED", "comes")]);
    assert_eq!(watch.next.try_recv(), Err(TryRecvError::Empty));
    board.put_pod(pod("later", "Pending"));
    assert_eq!(watch.next.try_recv().unwrap().item.name(), "later");
}

#[test]
fn a_watch_from_another_life_of_the_agent_or_past_the_known_deletions_must_list_again() {
    let board = board();
    let start = board.list(ItemKind::Pod).resource_version;
    assert!(board.watch(ItemKind::Pod, Some(start - 1)).is_err());
    assert!(board.watch(ItemKind::Pod, Some(start + 1)).is_err());
    for n in 0..40 {
        let name = format!("p{n}");
        board.put_pod(pod(&name, "Pending"));
        board.remove_pod("default", &name);
    }
    let error = board.watch(ItemKind::Pod, Some(start)).unwrap_err();
    assert_eq!(error.to_string(), format!("too old resource version: {start} ({})", start + 80));
    assert!(board.watch(ItemKind::Node, Some(start)).is_ok(), "other kinds have forgotten nothing");
}

#[test]
fn an_identical_event_is_counted_and_another_is_not() {
    let board = board();
    let subject = pod("a", "Running");
    board.record(happened(&subject, "Back-off restarting", 0));
    board.record(happened(&subject, "Back-off restarting", 30));
    board.record(happened(&subject, "Back-off pulling", 30));
    board.record(happened(&pod("b", "Running"), "Back-off restarting", 31));
    let events = board.events();
    let counts: Vec<_> =
        events.iter().map(|e| (e.involved_object.name.as_deref().unwrap(), e.count.unwrap())).collect();
    assert_eq!(counts, [("a", 2), ("a", 1), ("b", 1)]);
    assert_eq!(events[0].first_timestamp.as_ref().unwrap().0, at(0));
    assert_eq!(events[0].last_timestamp.as_ref().unwrap().0, at(30));
    assert_eq!(events[0].metadata.name.as_deref(), Some("a.17979cfe362a0000"));
}

#[test]
fn an_event_of_a_node_lives_in_the_default_namespace() {
    let board = board();
    let node = Node {
        metadata: ObjectMeta { name: Some("node-1".into()), ..ObjectMeta::default() },
        ..Node::default()
    };
    board.record(EventDraft { regarding: reference_to(&node), ..happened(&pod("x", ""), "m", 0) });
    assert_eq!(board.events()[0].metadata.namespace.as_deref(), Some("default"));
}

#[test]
fn an_event_has_the_annotations_of_the_last_time_that_it_happened() {
    let board = board();
    let subject = pod("a", "Running");
    let annotations = |value: &str| [("starved_resource".to_owned(), value.to_owned())].into();
    board.record_annotated(happened(&subject, "m", 0), annotations("inodes"));
    board.record_annotated(happened(&subject, "m", 1), annotations("memory"));
    let events = board.events();
    assert_eq!((events.len(), events[0].count), (1, Some(2)));
    assert_eq!(events[0].metadata.annotations, Some(annotations("memory")));
    board.record(happened(&subject, "another", 2));
    assert!(board.events().iter().any(|event| event.metadata.annotations.is_none()));
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_in_its_time_and_watchers_are_told() {
    let board = board();
    board.record(happened(&pod("a", "Running"), "old", 0));
    tokio::time::advance(EVENT_TTL).await;
    board.expire_events();
    assert_eq!(board.events().len(), 1);
    let mut watcher = board.subscribe();
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    board.expire_events();
    assert_eq!(board.events().len(), 0);
    assert_eq!(watcher.try_recv().unwrap().watch_type, WatchType::Deleted);
}

#[test]
fn a_container_is_referred_to_by_its_field_path() {
    let mut subject = pod("a", "Running");
    let container =
        |name: &str| k8s_openapi::api::core::v1::Container { name: name.into(), ..Default::default() };
    subject.spec = Some(PodSpec {
        init_containers: Some(vec![container("setup")]),
        containers: vec![container("main")],
        ..PodSpec::default()
    });
    let path = |name| reference_to_container(&subject, name).field_path.unwrap();
    assert_eq!(path("setup"), "spec.initContainers{setup}");
    assert_eq!(path("main"), "spec.containers{main}");
}

#[test]
fn readiness_needs_every_named_condition_and_at_least_one() {
    let board = board();
    assert!(!board.readiness().is_ready());
    board.set_pending("store", "the first listing");
    board.set_met("runtime");
    assert!(!board.readiness().is_ready());
    let conditions = board.readiness();
    let pending: Vec<_> = conditions.conditions().collect();
    assert_eq!(pending, [("runtime", None), ("store", Some("the first listing"))]);
    board.set_met("store");
    assert!(board.readiness().is_ready());
}

#[test]
fn an_explanation_goes_with_its_daemon_set() {
    let board = board();
    let key = DaemonSetKey { namespace: "default".into(), name: "ds".into() };
    let verdict = Verdict {
        should_run: true,
        should_continue_running: true,
        fits_name: true,
        affinity_match: true,
        untolerated_taint: None,
        reasons: vec![],
    };
    board.set_explanation(key.clone(), verdict.clone());
    assert_eq!(board.explanation(&key).as_deref(), Some(&verdict));
    board.set_refusals(&key, vec!["violates PodSecurity".to_owned()]);
    assert_eq!(*board.refusals(&key), ["violates PodSecurity"]);
    board.remove_daemon_set("default", "ds");
    assert_eq!((board.explanation(&key), board.refusals(&key).len()), (None, 0));
}

#[test]
fn metrics_are_read_off_the_board_and_the_counters() {
    let board = board();
    let mut running = pod("a", "Running");
    running.status.as_mut().unwrap().container_statuses =
        Some(vec![ContainerStatus { name: "c".into(), restart_count: 3, ..ContainerStatus::default() }]);
    board.put_pod(running);
    board.put_pod(pod("b", "Pending"));
    board.put_daemon_set(DaemonSet {
        metadata: ObjectMeta {
            namespace: Some("ns".into()),
            name: Some("ds".into()),
            ..ObjectMeta::default()
        },
        status: Some(DaemonSetStatus {
            desired_number_scheduled: 1,
            number_ready: 0,
            ..DaemonSetStatus::default()
        }),
        ..DaemonSet::default()
    });
    let metrics = Metrics::new("1.2.3");
    metrics.count_calls_by(|| vec![MethodCount { method: "RunPodSandbox", calls: 2, failures: 1 }]);
    metrics.set_event_stream_up(true);
    let text = metrics.encode(&board);
    for line in [
        "daemonlet_build_info{version=\"1.2.3\"} 1",
        "daemonlet_pods{phase=\"Running\"} 1",
        "daemonlet_pods{phase=\"Failed\"} 0",
        "daemonlet_daemonset_desired{namespace=\"ns\",daemonset=\"ds\"} 1",
        "daemonlet_daemonset_ready{namespace=\"ns\",daemonset=\"ds\"} 0",
        "daemonlet_container_restarts_total{namespace=\"default\",pod=\"a\",container=\"c\"} 3",
        "daemonlet_cri_calls_total{method=\"RunPodSandbox\"} 2",
        "daemonlet_cri_errors_total{method=\"RunPodSandbox\"} 1",
        "daemonlet_store_fresh 0",
        "daemonlet_runtime_event_stream_up 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    board.remove_pod("default", "a");
    assert!(!metrics.encode(&board).contains("container=\"c\""));
}

#[test]
fn a_watcher_that_lags_is_told_so() {
    let board = board();
    let mut watcher = board.subscribe();
    for n in 0..300 {
        board.put_pod(pod(&format!("p{n}"), "Pending"));
    }
    assert!(matches!(watcher.try_recv(), Err(TryRecvError::Lagged(_))));
}
