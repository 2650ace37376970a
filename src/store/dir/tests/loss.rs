//! Absence is never a delete: the store goes away in every way it can, and everything stays.

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::*;

fn last_good(snapshot: &Snapshot, text: &str) -> bool {
    matches!(&snapshot.freshness, Freshness::LastGood { reason } if reason.contains(text))
}

fn fill(bed: &Bed, count: usize) {
    for number in 0..count {
        bed.write(&format!("{number}.yaml"), &daemon_set(&format!("ds-{number}"), "one"));
    }
}

fn empty(bed: &Bed) {
    for entry in fs::read_dir(&bed.root).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[tokio::test]
async fn a_store_that_vanishes_and_returns_is_watched_again() {
    let mut bed = Bed::new();
    fill(&bed, 2);
    bed.start();
    bed.until_current().await;
    let away = bed.directory.path().join("away");
    fs::rename(&bed.root, &away).unwrap();
    let snapshot = bed.until("the loss is told", |snapshot| last_good(snapshot, "can't be listed")).await;
    assert_eq!(names(&snapshot), ["ds-0", "ds-1"]);
    assert!(says(&snapshot, "create it, or mount what belongs there"), "{:?}", snapshot.problems);
    fs::rename(&away, &bed.root).unwrap();
    let snapshot = bed.until_current().await;
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    bed.write("2.yaml", &daemon_set("ds-2", "one"));
    bed.until("changes are seen again", |snapshot| has(snapshot, "ds-2")).await;
}

#[tokio::test]
async fn a_whole_tree_above_the_store_may_vanish_and_return() {
    let mut bed = Bed::new();
    let above = bed.directory.path().join("above");
    bed.root = above.join("between/manifests");
    bed.settings.path = bed.root.clone();
    fs::create_dir_all(&bed.root).unwrap();
    fill(&bed, 2);
    bed.start();
    bed.until_current().await;
    fs::remove_dir_all(&above).unwrap();
    bed.until("the loss is told", |snapshot| last_good(snapshot, "can't be listed")).await;
    fs::create_dir_all(&bed.root).unwrap();
    fill(&bed, 3);
    let snapshot = bed.until("it is current again", |snapshot| {
        snapshot.freshness == Freshness::Current && snapshot.objects.0.len() == 3
    });
    snapshot.await;
}

#[tokio::test]
async fn an_agent_that_starts_with_the_store_gone_goes_on_with_what_it_had() {
    let mut bed = Bed::new();
    bed.write("a.yaml", &daemon_set("a", "one"));
    bed.write(
        "s.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\ndata: {k: dg==}\n",
    );
    bed.start();
    let before = bed.until_current().await;
    bed.saved("\"s\"").await;
    bed.stop();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&bed.settings.state_file).unwrap().permissions(),
    );
    assert_eq!(mode & 0o7777, 0o600);
    fs::rename(&bed.root, bed.directory.path().join("away")).unwrap();
    bed.start();
    let after =
        bed.until("the last good content is there", |snapshot| last_good(snapshot, "can't be listed")).await;
    assert_eq!(after.objects, before.objects);
    fs::create_dir(&bed.root).unwrap();
    let snapshot = bed.until("it is empty", |snapshot| last_good(snapshot, "suddenly empty")).await;
    assert_eq!(snapshot.objects, before.objects);
}

#[tokio::test]
async fn a_store_that_never_was_is_unknown_and_says_so() {
    let mut bed = Bed::new();
    fs::remove_dir(&bed.root).unwrap();
    bed.start();
    let snapshot = bed.until("it is told", |snapshot| says(snapshot, "store: ")).await;
    assert_eq!(snapshot.freshness, Freshness::Unknown);
    fs::create_dir(&bed.root).unwrap();
    fill(&bed, 1);
    bed.until("it is seen", |snapshot| snapshot.freshness == Freshness::Current && has(snapshot, "ds-0"))
        .await;
}

#[tokio::test]
async fn damaged_last_good_content_is_refused_with_its_reason_and_replaced() {
    for (text, reason) in
        [("{\"version\":1,\"obj", "damaged"), ("{\"version\":99}", "version 99"), ("", "damaged")]
    {
        let mut bed = Bed::new();
        fs::write(&bed.settings.state_file, text).unwrap();
        let away = bed.directory.path().join("away");
        fill(&bed, 1);
        fs::rename(&bed.root, &away).unwrap();
        bed.start();
        let snapshot =
            bed.until("it is told", |snapshot| says(snapshot, "last good content is not used")).await;
        assert!(says(&snapshot, reason), "{:?}", snapshot.problems);
        assert_eq!(snapshot.freshness, Freshness::Unknown);
        fs::rename(&away, &bed.root).unwrap();
        // What is there runs; what may be missing is not gone until its time is over or somebody says so.
        let held = |snapshot: &Snapshot| {
            has(snapshot, "ds-0") && last_good(snapshot, "what may be missing is not known")
        };
        let snapshot = bed.until("it is used", held).await;
        assert!(snapshot.held.as_ref().is_some_and(|held| held.until.is_some()));
        bed.handle.as_ref().unwrap().confirm_removals();
        bed.until("it is replaced", |snapshot| has(snapshot, "ds-0") && snapshot.problems.is_empty()).await;
    }
}

#[tokio::test]
async fn with_damaged_last_good_content_an_empty_store_removes_nothing_also_after_a_restart() {
    let mut bed = Bed::new();
    fs::write(&bed.settings.state_file, "{").unwrap();
    bed.start();
    let held = |snapshot: &Snapshot| last_good(snapshot, "what may be missing is not known");
    bed.until("it is held", held).await;
    bed.saved("Forgotten").await;
    bed.stop();
    // A broken document may be the one that ran: then no time ends the hold.
    bed.settings.empty_hold = Duration::ZERO;
    bed.write("broken.yaml", "kind: [");
    bed.start();
    let snapshot = bed.until("it is still held", |snapshot| last_good(snapshot, "can't be understood")).await;
    assert_eq!(snapshot.held.as_ref().map(|held| held.until), Some(None));
    fs::remove_file(bed.root.join("broken.yaml")).unwrap();
    bed.until("its time is over", |snapshot| snapshot.freshness == Freshness::Current).await;
}

#[tokio::test]
async fn what_a_file_has_and_cannot_be_used_is_not_gone() {
    let mut bed = Bed::new();
    bed.write("a.yaml", &daemon_set("a", "one").replace("name: main", "name: MAIN"));
    bed.start();
    let snapshot = bed.until_current().await;
    assert!(snapshot.objects.0.is_empty(), "{:?}", snapshot.objects);
    assert_eq!(snapshot.unusable.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn an_emptied_store_may_be_held_for_ever() {
    let mut bed = Bed::new();
    bed.settings.empty_hold = Duration::MAX;
    fill(&bed, 2);
    bed.start();
    bed.until_current().await;
    empty(&bed);
    let snapshot = bed.until("it is held", |snapshot| last_good(snapshot, "suddenly empty")).await;
    assert_eq!(snapshot.held.as_ref().map(|held| (held.objects, held.until)), Some((2, None)));
    bed.handle.as_ref().unwrap().confirm_removals();
    bed.until("it is believed", |snapshot| snapshot.objects.0.is_empty()).await;
}

#[tokio::test]
async fn the_last_manifest_may_be_deleted() {
    let mut bed = Bed::new();
    fill(&bed, 1);
    bed.start();
    bed.until_current().await;
    empty(&bed);
    let snapshot = bed.until("it is gone", |snapshot| snapshot.objects.0.is_empty()).await;
    assert_eq!(snapshot.freshness, Freshness::Current);
}

#[tokio::test]
async fn an_emptied_store_is_held_until_confirmed() {
    let mut bed = Bed::new();
    fill(&bed, 2);
    bed.start();
    bed.until_current().await;
    empty(&bed);
    let snapshot = bed.until("it is held", |snapshot| last_good(snapshot, "suddenly empty")).await;
    assert_eq!(snapshot.objects.0.len(), 2);
    assert!(says(&snapshot, "2 objects are kept"), "{:?}", snapshot.problems);
    bed.handle.as_ref().unwrap().confirm_removals();
    let snapshot = bed.until("it is believed", |snapshot| snapshot.objects.0.is_empty()).await;
    assert_eq!(snapshot.freshness, Freshness::Current);
}

#[tokio::test]
async fn a_hold_ends_when_its_time_is_over_or_the_content_returns() {
    let mut bed = Bed::new();
    fill(&bed, 2);
    bed.start();
    bed.until_current().await;
    empty(&bed);
    bed.until("it is held", |snapshot| last_good(snapshot, "suddenly empty")).await;
    fill(&bed, 2);
    let snapshot = bed.until_current().await;
    assert_eq!(snapshot.objects.0.len(), 2);
    bed.stop();
    bed.settings.empty_hold = Duration::from_millis(1500);
    bed.start();
    bed.until_current().await;
    empty(&bed);
    bed.until("it is held", |snapshot| last_good(snapshot, "suddenly empty")).await;
    bed.until("its time is over", |snapshot| snapshot.objects.0.is_empty()).await;
}

#[tokio::test]
async fn a_hold_goes_on_over_a_restart() {
    let mut bed = Bed::new();
    fill(&bed, 5);
    bed.start();
    bed.until_current().await;
    for number in 0..3 {
        fs::remove_file(bed.root.join(format!("{number}.yaml"))).unwrap();
    }
    bed.until("it is held", |snapshot| last_good(snapshot, "3 of 5 DaemonSets vanished")).await;
    bed.saved("\"vanishing\"").await;
    bed.stop();
    bed.start();
    let snapshot =
        bed.until("it is still held", |snapshot| last_good(snapshot, "3 of 5 DaemonSets vanished")).await;
    assert_eq!(snapshot.objects.0.len(), 5);
}

#[tokio::test]
async fn content_that_cannot_be_saved_is_told_and_saved_later() {
    let mut bed = Bed::new();
    let state = bed.directory.path().join("state");
    fs::remove_dir(&state).unwrap();
    fill(&bed, 1);
    bed.start();
    let snapshot = bed.until("it is told", |snapshot| says(snapshot, "is not on the disk")).await;
    assert!(has(&snapshot, "ds-0"));
    fs::create_dir(&state).unwrap();
    bed.write("more.yaml", &config_map("more", "1"));
    bed.until("it is saved", |snapshot| has(snapshot, "more") && snapshot.problems.is_empty()).await;
}

/// A tmpfs, unmounted in the end whatever happens.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where this user may not mount.
    fn mount(at: &std::path::Path) -> Option<Self> {
        let mounted = mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>);
        mounted.is_ok().then(|| Tmpfs(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn an_unmounted_store_is_no_empty_store_and_no_time_makes_it_one() {
    for beneath in ["", "mounted"] {
        let mut bed = Bed::new();
        bed.settings.empty_hold = Duration::ZERO;
        if !beneath.is_empty() {
            bed.write("beside-the-mount.yaml", &config_map("beside", "1"));
        }
        let point = bed.root.join(beneath);
        fs::create_dir_all(&point).unwrap();
        let Some(mounted) = Tmpfs::mount(&point) else {
            eprintln!("not allowed to mount: nothing is tested here");
            return;
        };
        fs::write(point.join("a.yaml"), daemon_set("a", "one")).unwrap();
        bed.start();
        bed.until("it is current", |snapshot| has(snapshot, "a") && snapshot.freshness == Freshness::Current)
            .await;
        drop(mounted);
        let unmounted = |snapshot: &Snapshot| {
            last_good(snapshot, "no longer the file system that it was") && has(snapshot, "a")
        };
        bed.until("the loss is told", unmounted).await;
        bed.saved("Unmounted").await;
        bed.stop();
        bed.start();
        bed.until("the loss is told after a restart", unmounted).await;
        let again = Tmpfs::mount(&point).unwrap();
        fs::write(point.join("a.yaml"), daemon_set("a", "two")).unwrap();
        bed.until("it is current again", |snapshot| {
            snapshot.freshness == Freshness::Current && image(snapshot, "a").as_deref() == Some("two")
        })
        .await;
        drop(again);
    }
}

fn hangs(file: &Arc<std::path::Path>, bytes: &[u8]) -> FileReading {
    let gate = file.with_extension("gate");
    while bytes.ends_with(b"# hang\n") && !gate.exists() {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    reading::read(file, bytes)
}

#[tokio::test]
async fn a_store_that_hangs_is_told_and_comes_back() {
    let mut bed = Bed::new();
    bed.parse = hangs;
    bed.settings.answer_within = Duration::from_millis(300);
    bed.write("a.yaml", &daemon_set("a", "one"));
    bed.start();
    bed.until_current().await;
    bed.saved("\"a\"").await;
    bed.write("a.yaml", &(daemon_set("a", "two") + "# hang\n"));
    let hung = |snapshot: &Snapshot| last_good(snapshot, "has not answered") && has(snapshot, "a");
    bed.until("it is told", hung).await;
    bed.stop();
    bed.start();
    bed.until("it is told after a restart", hung).await;
    bed.write("a.gate", "");
    let snapshot = bed.until_current().await;
    assert_eq!(image(&snapshot, "a").as_deref(), Some("two"));
}
