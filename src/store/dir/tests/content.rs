//! What is in the store: bad input disturbs nothing else and is named, and much of it is no burden.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use nix::sys::stat::Mode;

use super::*;

#[tokio::test]
async fn a_broken_file_keeps_what_it_provided() {
    let mut bed = Bed::new();
    let good = daemon_set("a", "one") + "---\n" + &daemon_set("b", "one");
    bed.write("ab.yaml", &good);
    bed.write("c.yaml", &daemon_set("c", "one"));
    bed.start();
    bed.until_current().await;
    bed.always(|snapshot| names(snapshot) == ["a", "b", "c"], async {
        bed.write("ab.yaml", &(daemon_set("a", "two") + "---\n}: this is no YAML\n"));
        let snapshot = bed
            .until("the good half is used", |snapshot| image(snapshot, "a").as_deref() == Some("two"))
            .await;
        assert!(says(&snapshot, "ab.yaml:"), "{:?}", snapshot.problems);
        assert_eq!(image(&snapshot, "b").as_deref(), Some("one"));
        bed.write("ab.yaml", "\0\x01\x02 binary");
        bed.until("the binary file is told", |snapshot| says(snapshot, "binary")).await;
        bed.write("ab.yaml", &good);
        bed.until("all is well again", |snapshot| snapshot.problems.is_empty()).await;
    })
    .await;
    bed.write("ab.yaml", &daemon_set("a", "one"));
    bed.until("what is really gone goes", |snapshot| names(snapshot) == ["a", "c"]).await;
}

#[tokio::test]
async fn the_same_object_in_two_files_changes_nothing_that_runs() {
    let mut bed = Bed::new();
    bed.write("b.yaml", &daemon_set("a", "first"));
    bed.start();
    bed.until_current().await;
    bed.write("a.yaml", &daemon_set("a", "second"));
    let told = |snapshot: &Snapshot| {
        says(snapshot, "a.yaml:1: DaemonSet default/a is also in")
            && says(snapshot, "b.yaml:1: DaemonSet default/a is also in")
    };
    let snapshot = bed.until("both files are told", told).await;
    assert_eq!(image(&snapshot, "a").as_deref(), Some("first"));
    bed.saved("first").await;
    bed.stop();
    bed.start();
    let snapshot = bed.until("both are told after a restart", told).await;
    assert_eq!(image(&snapshot, "a").as_deref(), Some("first"));
    fs::remove_file(bed.root.join("b.yaml")).unwrap();
    let snapshot =
        bed.until("the other takes over", |snapshot| image(snapshot, "a").as_deref() == Some("second")).await;
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
}

#[tokio::test]
async fn an_object_that_comes_twice_at_once_is_not_used() {
    let mut bed = Bed::new();
    bed.write("1.yaml", &daemon_set("a", "one"));
    bed.write("2.yaml", &(daemon_set("a", "one") + "---\n" + &daemon_set("b", "one")));
    bed.start();
    let snapshot = bed.until_current().await;
    assert_eq!(names(&snapshot), ["b"]);
    assert!(says(&snapshot, "none of them is used; remove all but one"), "{:?}", snapshot.problems);
    fs::remove_file(bed.root.join("1.yaml")).unwrap();
    let snapshot = bed.until("the other is used", |snapshot| has(snapshot, "a")).await;
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
}

fn panics(file: &Arc<std::path::Path>, bytes: &[u8]) -> FileReading {
    assert!(!bytes.ends_with(b"# panic\n"), "as the test wants it");
    reading::read(file, bytes)
}

#[tokio::test]
async fn a_panic_over_one_file_is_that_files_failure_alone() {
    let mut bed = Bed::new();
    bed.parse = panics;
    bed.write("a.yaml", &daemon_set("a", "one"));
    bed.start();
    bed.until_current().await;
    bed.write("a.yaml", &(daemon_set("a", "two") + "# panic\n"));
    let snapshot = bed.until("it is told", |snapshot| says(snapshot, "a.yaml: reading it fails")).await;
    assert_eq!(image(&snapshot, "a").as_deref(), Some("one"));
    bed.write("b.yaml", &daemon_set("b", "one"));
    bed.until("another file is read", |snapshot| has(snapshot, "b")).await;
}

#[tokio::test]
async fn files_that_are_no_manifests_are_listed_and_left_alone() {
    let mut bed = Bed::new();
    let left_out =
        [".hidden.yaml", ".x.yaml.swp", "4913", "README.md", "x.yaml.backup", "x.yaml.bak", "x.yaml~"];
    for name in left_out {
        bed.write(name, &daemon_set("wrong", "x"));
    }
    bed.write("x.yaml", &daemon_set("right", "x"));
    fs::write(bed.root.join("..data"), daemon_set("wrong", "x")).unwrap();
    nix::unistd::mkfifo(&bed.root.join("fifo.yaml"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(bed.root.join("socket.yaml")).unwrap();
    symlink("/dev/zero", bed.root.join("device.yaml")).unwrap();
    bed.start();
    let snapshot = bed.until_current().await;
    assert_eq!(names(&snapshot), ["right"]);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    let ignored: Vec<_> = snapshot
        .ignored
        .iter()
        .map(|file| (file.path.strip_prefix(&bed.root).unwrap().to_str().unwrap(), file.reason.as_str()))
        .collect();
    assert_eq!(
        ignored,
        [
            (".hidden.yaml", "its name begins with a dot"),
            (".x.yaml.swp", "an editor's swap file"),
            ("4913", "an editor's test file"),
            ("README.md", "its name ends in none of .yaml, .yml and .json"),
            ("device.yaml", "a device"),
            ("fifo.yaml", "a named pipe"),
            ("socket.yaml", "a socket"),
            ("x.yaml.backup", "a back-up file"),
            ("x.yaml.bak", "a back-up file"),
            ("x.yaml~", "an editor's back-up file"),
        ]
    );
}

#[tokio::test]
async fn bad_files_and_links_are_named_with_a_remedy_and_disturb_nothing() {
    let mut bed = Bed::new();
    bed.write("good/a.yaml", &daemon_set("a", "one"));
    symlink("nothing", bed.root.join("dangling.yaml")).unwrap();
    symlink("loop-b", bed.root.join("loop-a")).unwrap();
    symlink("loop-a", bed.root.join("loop-b")).unwrap();
    symlink("..", bed.root.join("good/up")).unwrap();
    symlink("good", bed.root.join("same-directory")).unwrap();
    symlink("good/a.yaml", bed.root.join("same-file.yaml")).unwrap();
    fs::create_dir(bed.root.join("directory.yaml")).unwrap();
    fs::File::create(bed.root.join("large.yaml")).unwrap().set_len((10 << 20) + 1).unwrap();
    fs::write(bed.root.join("binary.yaml"), [0, 159, 146, 150]).unwrap();
    bed.start();
    let snapshot = bed.until_current().await;
    assert_eq!(names(&snapshot), ["a"]);
    for text in [
        "dangling.yaml: a link to nothing: create its target or remove it",
        "loop-a: a loop of symlinks: remove it",
        "loop-b: a loop of symlinks: remove it",
        "up: a loop: this link leads back to a directory that it is in; remove it",
        "large.yaml: larger than 10 MiB: split it",
        "binary.yaml: ",
    ] {
        assert!(says(&snapshot, text), "{text}: {:#?}", snapshot.problems);
    }
    assert_eq!(snapshot.problems.len(), 6, "{:#?}", snapshot.problems);
    let reasons: Vec<_> = snapshot.ignored.iter().map(|file| file.reason.as_str()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.starts_with("the same ")), "{reasons:?}");
}

#[tokio::test]
async fn a_file_that_becomes_unreadable_keeps_what_it_provided() {
    let mut bed = Bed::new();
    let target = bed.directory.path().join("target");
    fs::write(&target, daemon_set("a", "one")).unwrap();
    symlink(&target, bed.root.join("a.yaml")).unwrap();
    bed.start();
    bed.until_current().await;
    fs::remove_file(&target).unwrap();
    let snapshot = bed.until("it is told", |snapshot| says(snapshot, "a link to nothing")).await;
    assert!(has(&snapshot, "a"));
    fs::File::create(&target).unwrap().set_len(11 << 20).unwrap();
    let snapshot = bed.until("it is told", |snapshot| says(snapshot, "larger than")).await;
    assert!(has(&snapshot, "a"));
    fs::write(&target, daemon_set("a", "two")).unwrap();
    let snapshot =
        bed.until("it is read again", |snapshot| image(snapshot, "a").as_deref() == Some("two")).await;
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
}

#[tokio::test]
async fn unchanged_content_is_not_read_again() {
    let mut bed = Bed::new();
    let text = daemon_set("a", "one");
    bed.write("a.yaml", &text);
    bed.start();
    let first = bed.until_current().await;
    bed.write("a.yaml", &text);
    fs::rename(bed.write("a.tmp", &text), bed.root.join("a.yaml")).unwrap();
    let last = bed.settled().await;
    assert!(Arc::ptr_eq(stored(&first, "a"), stored(&last, "a")));
}

#[tokio::test]
async fn a_thousand_manifests_are_read_and_one_change_among_them_is_found() {
    let mut bed = Bed::new();
    for number in 0..1000 {
        bed.write(&format!("{}/{number}.yaml", number % 10), &daemon_set(&format!("ds-{number}"), "one"));
    }
    let start = Instant::now();
    bed.start();
    let snapshot = bed.until_current().await;
    println!("1000 manifests after {:?}", start.elapsed());
    assert_eq!(snapshot.objects.0.len(), 1000);
    let start = Instant::now();
    bed.write("7/517.yaml", &daemon_set("ds-517", "two"));
    bed.until("the change is seen", |snapshot| image(snapshot, "ds-517").as_deref() == Some("two")).await;
    println!("one change among them after {:?}", start.elapsed());
}
