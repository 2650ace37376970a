use serde_json::json;

use super::*;
use crate::atomic_file;

fn key() -> DaemonSetKey {
    DaemonSetKey { namespace: "kube-system".into(), name: "agent".into() }
}

fn daemon_set(min_ready: i32) -> DaemonSet {
    serde_json::from_value(json!({"metadata": {"name": "agent"}, "spec": {"minReadySeconds": min_ready, "selector": {}, "template": {}}}))
        .expect("a DaemonSet")
}

fn hash(text: &str) -> RevisionHash {
    RevisionHash::from_label(text)
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn open(dir: &Path) -> Ledger {
    let (ledger, refused) = Ledger::open(dir).expect("a ledger");
    assert!(refused.is_empty(), "{refused:?}");
    ledger
}

fn save(ledger: &mut Ledger) {
    let files: Vec<_> = ledger.take_unsaved().into_iter().map(|(_, file)| file).collect();
    for written in atomic_file::write_all(&files) {
        written.expect("written");
    }
}

#[test]
fn generations_rise_with_what_they_count() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let mut seen = |min_ready, revision| {
        ledger.seen(&key(), &daemon_set(min_ready), &hash(revision), now());
        let entry = ledger.get(&key()).expect("an entry");
        (entry.generation, entry.template_generation)
    };
    assert_eq!(seen(0, "a"), (1, 1));
    assert_eq!(seen(0, "a"), (1, 1));
    assert_eq!(seen(5, "a"), (2, 1));
    assert_eq!(seen(6, "b"), (3, 2));
}

#[test]
fn a_daemon_set_that_returns_is_another_instance_and_its_pods_are_new() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    let uid = ledger.get(&key()).map(Entry::uid);
    assert_eq!(ledger.next_incarnation(&key(), None), Some(Incarnation(1)));
    ledger.left(&key(), now());
    assert_eq!(ledger.present().count(), 0);
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    assert_ne!(uid, ledger.get(&key()).map(Entry::uid));
    assert_eq!(ledger.next_incarnation(&key(), None), Some(Incarnation(2)));
}

#[test]
fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    ledger.next_incarnation(&key(), Some(Incarnation(7)));
    save(&mut ledger);
    assert_eq!(open(dir.path()).get(&key()), ledger.get(&key()));
    assert_eq!(open(dir.path()).next_incarnation(&key(), None), Some(Incarnation(9)));
}

#[test]
fn a_broken_entry_is_refused_with_its_reason_and_the_others_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    save(&mut ledger);
    fs::write(dir.path().join("default_x.json"), b"{").expect("written");
    fs::write(dir.path().join("default_y.json"), br#"{"format":99}"#).expect("written");
    let (ledger, refused) = Ledger::open(dir.path()).expect("a ledger");
    assert!(ledger.get(&key()).is_some());
    assert_eq!(refused.len(), 2);
}

#[test]
fn only_what_has_changed_is_to_be_written_and_again_if_it_could_not_be() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let keys = |ledger: &mut Ledger| -> Vec<DaemonSetKey> {
        ledger.take_unsaved().into_iter().map(|(key, _)| key).collect()
    };
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    ledger.next_incarnation(&key(), None);
    assert_eq!(keys(&mut ledger), [key()]);
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    assert_eq!(keys(&mut ledger), []);
    ledger.not_saved(&key());
    assert_eq!(keys(&mut ledger), [key()]);
}

#[test]
fn a_very_long_name_has_a_file_of_its_own() {
    let long =
        |end: &str| DaemonSetKey { namespace: "n".repeat(63), name: format!("{}{end}", "a".repeat(252)) };
    let (one, two) = (file_name(&long("x")), file_name(&long("y")));
    assert!(one.len() < 220 && one != two, "{one} {two}");
}

/// DaemonSets that come and go one after the other, each with a number of pods.
fn pass_through(ledger: &mut Ledger, names: std::ops::Range<u64>) {
    for number in names {
        let key = DaemonSetKey { namespace: "default".into(), name: format!("n{number}") };
        ledger.seen(&key, &daemon_set(0), &hash("a"), now());
        ledger.next_incarnation(&key, Some(Incarnation(number))).expect("an incarnation");
        ledger.left(&key, now() + std::time::Duration::from_secs(number));
    }
}

#[test]
fn of_those_long_gone_only_the_highest_counters_are_remembered_and_no_uid_is_given_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    pass_through(&mut ledger, 0..100);
    save(&mut ledger);
    let named = |number: u64| DaemonSetKey { namespace: "default".into(), name: format!("n{number}") };
    for _ in 0..2 {
        let mut ledger = open(dir.path());
        let files = fs::read_dir(dir.path()).expect("a listing").count();
        assert_eq!(files, 1 + REMEMBERED + 1, "the one that is present, those that left last, and the floor");
        assert!(ledger.get(&key()).is_some() && ledger.get(&named(36)).is_some());
        assert!(ledger.get(&named(35)).is_none());
        // The highest that was forgotten had reached 36.
        ledger.seen(&named(35), &daemon_set(0), &hash("a"), now());
        assert_eq!(ledger.next_incarnation(&named(35), None), Some(Incarnation(37)));
        assert_eq!(ledger.get(&named(35)).map(|entry| entry.instance), Some(2));
        // What is remembered counts on by itself.
        ledger.seen(&named(99), &daemon_set(0), &hash("a"), now());
        assert_eq!(ledger.next_incarnation(&named(99), None), Some(Incarnation(101)));
    }
}

#[test]
fn a_floor_that_can_not_be_read_is_put_above_all_that_is_known() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    pass_through(&mut ledger, 0..10);
    save(&mut ledger);
    fs::write(Floor::path(dir.path()), b"{").expect("written");
    let (mut ledger, refused) = Ledger::open(dir.path()).expect("a ledger");
    assert_eq!(refused.len(), 1);
    ledger.seen(&key(), &daemon_set(0), &hash("a"), now());
    assert_eq!(ledger.next_incarnation(&key(), None), Some(Incarnation(11)));
}
