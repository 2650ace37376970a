#![expect(clippy::needless_pass_by_value, reason = "the values are written where they are used")]

use std::fs;
use std::io::Write;
use std::sync::mpsc as channel;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::follow::Wake;
use super::options::Extract;
use super::*;

const LINES: &str = "\
2024-01-01T00:00:00.1Z stdout F one
2024-01-01T00:00:01.22Z stderr P tw
2024-01-01T00:00:01.333Z stderr F o
not a log line
2024-01-01T02:00:02+02:00 stdout F three
";

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("0.log");
    fs::write(&path, text).unwrap();
    (root, path)
}

fn read(text: &str, extract: Extract) -> String {
    let (_root, path) = file(text);
    let mut out = Vec::new();
    let send = |piece: Vec<u8>| {
        out.extend(piece);
        true
    };
    Reader::open(path, extract).unwrap().read(send).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_log_is_what_the_container_wrote_from_where_it_is_asked_for() {
    let since = |text: &str| Extract { since: Some(text.parse().unwrap()), ..Extract::default() };
    let tail = |lines| Extract { tail_lines: Some(lines), ..Extract::default() };
    for (extract, expected) in [
        (Extract::default(), "one\ntwo\nthree\n"),
        (tail(0), ""),
        (tail(1), "three\n"),
        (tail(3), "o\nthree\n"),
        (tail(99), "one\ntwo\nthree\n"),
        (since("2024-01-01T00:00:01Z"), "two\nthree\n"),
        (since("2024-01-01T00:00:02Z"), "three\n"),
        (Extract { limit_bytes: Some(5), ..Extract::default() }, "one\nt"),
        (Extract { limit_bytes: Some(4), ..Extract::default() }, "one\n"),
        (
            Extract { timestamps: true, ..Extract::default() },
            "2024-01-01T00:00:00.100000000Z one\n\
             2024-01-01T00:00:01.220000000Z two\n\
             2024-01-01T02:00:02.000000000+02:00 three\n",
        ),
    ] {
        assert_eq!(read(LINES, extract.clone()), expected, "{extract:?}");
    }
}

#[test]
fn a_line_without_its_end_is_the_last() {
    assert_eq!(read("2024-01-01T00:00:00Z stdout F killed", Extract::default()), "killed\n");
    assert_eq!(read("", Extract::default()), "");
    assert_eq!(
        read(
            "2024-01-01T00:00:00Z stdout F a\n2024-01",
            Extract { tail_lines: Some(2), ..Extract::default() }
        ),
        "a\n"
    );
}

#[test]
fn long_logs_are_read_in_pieces_and_tails_found_across_them() {
    let line = format!("2024-01-01T00:00:00Z stdout F {}\n", "x".repeat(1000));
    let text = line.repeat(500);
    assert_eq!(read(&text, Extract::default()).len(), 500 * 1001);
    let tail = Extract { tail_lines: Some(123), ..Extract::default() };
    assert_eq!(read(&text, tail).lines().count(), 123);
}

#[test]
fn a_line_longer_than_any_log_line_is_passed_over() {
    let text = format!(
        "2024-01-01T00:00:00Z stdout F {}\n2024-01-01T00:00:00Z stdout F ok\n",
        "x".repeat(2_000_000)
    );
    assert_eq!(read(&text, Extract::default()), "ok\n");
}

/// A reader that follows, on a thread of its own.
struct Following {
    pieces: channel::Receiver<Vec<u8>>,
    signals: follow::Signals,
    thread: std::thread::JoinHandle<io::Result<()>>,
    text: String,
}

impl Following {
    fn start(path: PathBuf) -> Self {
        let wakes = follow::watch(&path).unwrap();
        let signals = wakes.signals();
        let reader = Reader::open(path, Extract::default()).unwrap();
        let (sender, pieces) = channel::channel();
        let thread = std::thread::spawn(move || reader.follow(&wakes, |piece| sender.send(piece).is_ok()));
        Self { pieces, signals, thread, text: String::new() }
    }

    /// Waits until all that was read is this.
    fn expect(&mut self, expected: &str) {
        while self.text.len() < expected.len() {
            let piece = self.pieces.recv_timeout(Duration::from_secs(10)).expect("more of the log in time");
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        assert_eq!(self.text, expected);
    }

    fn end(mut self, expected: &str) {
        self.signals.wake(Wake::Ended);
        self.thread.join().unwrap().unwrap();
        self.text.extend(self.pieces.iter().map(|piece| String::from_utf8(piece).unwrap()));
        assert_eq!(self.text, expected);
    }
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_followed_log_goes_on_until_the_container_ends() {
    let (_root, path) = file("2024-01-01T00:00:00Z stdout F one\n");
    let mut following = Following::start(path.clone());
    following.expect("one\n");
    append(&path, "2024-01-01T00:00:00Z stdout F t");
    append(&path, "wo\n");
    following.expect("one\ntwo\n");
    append(&path, "2024-01-01T00:00:00Z stdout F last\n");
    following.end("one\ntwo\nlast\n");
}

#[test]
fn a_followed_log_goes_on_over_a_rotation() {
    let (root, path) = file("2024-01-01T00:00:00Z stdout F one\n");
    let mut following = Following::start(path.clone());
    following.expect("one\n");
    let rotated = root.path().join("0.log.20240101-000000");
    fs::rename(&path, &rotated).unwrap();
    append(&rotated, "2024-01-01T00:00:00Z stdout F old\n");
    append(&path, "2024-01-01T00:00:00Z stdout F new\n");
    following.expect("one\nold\nnew\n");
    append(&path, "2024-01-01T00:00:00Z stdout F newer\n");
    following.expect("one\nold\nnew\nnewer\n");
    following.end("one\nold\nnew\nnewer\n");
}

#[test]
fn a_reader_ends_when_nobody_listens() {
    let (_root, path) = file("2024-01-01T00:00:00Z stdout F one\n");
    let mut following = Following::start(path);
    following.expect("one\n");
    following.signals.wake(Wake::Closed);
    following.thread.join().unwrap().unwrap();
}

fn pod(statuses: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"initContainers": [{"name": "init"}], "containers": [{"name": "a"}, {"name": "b"}]},
        "status": {"containerStatuses": statuses},
    }))
    .unwrap()
}

fn status(restarts: i32, state: Value, last: Value) -> Pod {
    pod(json!([{
        "name": "a", "image": "", "imageID": "", "ready": false, "restartCount": restarts, "state": state, "lastState": last,
    }]))
}

#[test]
fn the_attempt_is_the_one_whose_log_kubernetes_would_show() {
    let ended = json!({"terminated": {"exitCode": 1}});
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    let choice = |attempt, is_running| Ok(Choice { container: "a".into(), attempt, is_running });
    let refused = |message: &str| Err(message.to_owned());
    for (restarts, state, last, previous, expected) in [
        (0, json!({"running": {}}), json!({}), false, choice(Attempt::Exactly(0), true)),
        (3, json!({"running": {}}), ended.clone(), false, choice(Attempt::Exactly(3), true)),
        (3, json!({"running": {}}), ended.clone(), true, choice(Attempt::Exactly(2), false)),
        (3, ended.clone(), json!({}), false, choice(Attempt::Exactly(3), false)),
        (3, waiting("CrashLoopBackOff"), ended.clone(), false, choice(Attempt::UpTo(3), false)),
        (3, waiting("CrashLoopBackOff"), ended.clone(), true, choice(Attempt::UpTo(3), false)),
        (
            0,
            json!({"running": {}}),
            json!({}),
            true,
            refused("previous terminated container \"a\" in pod \"p\" not found"),
        ),
        (
            0,
            waiting("ContainerCreating"),
            json!({}),
            false,
            refused("container \"a\" in pod \"p\" is waiting to start: ContainerCreating"),
        ),
        (
            0,
            waiting("ImagePullBackOff"),
            json!({}),
            false,
            refused("container \"a\" in pod \"p\" is waiting to start: trying and failing to pull image"),
        ),
        (
            0,
            json!({}),
            json!({}),
            false,
            refused("container \"a\" in pod \"p\" is waiting to start - no logs yet"),
        ),
    ] {
        let why = format!("{restarts} {state} {last} {previous}");
        assert_eq!(choice::choose(&status(restarts, state, last), Some("a"), previous), expected, "{why}");
    }
}

#[test]
fn a_container_must_be_named_where_there_are_several() {
    let pod = pod(json!([]));
    for (asked, message) in [
        (None, "a container name must be specified for pod p, choose one of: [init a b]"),
        (Some("x"), "container x is not valid for pod p"),
        (Some("b"), "container \"b\" in pod \"p\" is not available"),
    ] {
        assert_eq!(choice::choose(&pod, asked, false), Err(message.to_owned()));
    }
}

#[test]
fn the_newest_log_up_to_the_attempt_is_found() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    for name in ["0.log", "2.log", "10.log", "2.log.20240101-000000", "x.log"] {
        fs::write(root.path().join("a").join(name), "").unwrap();
    }
    let find = |attempt| file_of(root.path(), &Choice { container: "a".into(), attempt, is_running: false });
    assert_eq!(find(Attempt::UpTo(9)).unwrap(), root.path().join("a/2.log"));
    assert_eq!(find(Attempt::UpTo(11)).unwrap(), root.path().join("a/10.log"));
    assert_eq!(find(Attempt::Exactly(7)).unwrap(), root.path().join("a/7.log"));
}

#[test]
fn options_are_read_as_kubernetes_does() {
    let now: Timestamp = "2024-01-01T00:01:00Z".parse().unwrap();
    let query = |pairs: &[(&str, &str)]| -> Query {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let parsed = LogOptions::parse(
        &query(&[("follow", "true"), ("container", "a"), ("sinceSeconds", "60"), ("tailLines", "5")]),
        now,
    )
    .unwrap();
    assert!(parsed.follow && !parsed.previous);
    assert_eq!(parsed.container.as_deref(), Some("a"));
    assert_eq!(parsed.extract.since, Some("2024-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(parsed.extract.tail_lines, Some(5));
    for pairs in [
        &[("tailLines", "-1")][..],
        &[("sinceSeconds", "0")],
        &[("limitBytes", "0")],
        &[("sinceTime", "yesterday")],
        &[("sinceTime", "2024-01-01T00:00:00Z"), ("sinceSeconds", "1")],
    ] {
        assert!(LogOptions::parse(&query(pairs), now).is_err(), "{pairs:?}");
    }
}
