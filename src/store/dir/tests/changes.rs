//! How changes come: every way in which people and programs replace files is seen once, whole and without a flash.

use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;

/// So long that only what is known to be whole is ever read.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn manifests_are_seen_and_changes_follow() {
    let mut bed = Bed::new();
    bed.write("a.yaml", &daemon_set("a", "one"));
    bed.write("deep/er/b.json", r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}}"#);
    bed.start();
    let snapshot = bed.until_current().await;
    assert_eq!(names(&snapshot), ["a", "b"]);
    bed.write("a.yaml", &daemon_set("a", "two"));
    bed.until("the change is seen", |snapshot| image(snapshot, "a").as_deref() == Some("two")).await;
    fs::remove_file(bed.root.join("a.yaml")).unwrap();
    bed.until("the deletion is seen", |snapshot| !has(snapshot, "a")).await;
    bed.write("new/c.yaml", &config_map("c", "1"));
    let snapshot = bed.until("a file in a new directory is seen", |snapshot| has(snapshot, "c")).await;
    assert_eq!(snapshot.freshness, Freshness::Current);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
}

#[tokio::test]
async fn a_closed_file_and_a_renamed_one_are_read_without_waiting() {
    let mut bed = Bed::new();
    bed.settings.settle = NEVER;
    bed.start();
    bed.until_current().await;
    bed.write("a.yaml", &daemon_set("a", "one"));
    bed.until("the closed file is seen", |snapshot| has(snapshot, "a")).await;
    let temporary = bed.write("b.yaml.tmp", &daemon_set("b", "one"));
    fs::rename(temporary, bed.root.join("b.yaml")).unwrap();
    bed.until("the renamed file is seen", |snapshot| has(snapshot, "b")).await;
    let aside = bed.directory.path().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("c.yaml"), daemon_set("c", "one")).unwrap();
    fs::rename(aside, bed.root.join("moved-in")).unwrap();
    bed.until("the renamed directory is seen", |snapshot| has(snapshot, "c")).await;
}

#[tokio::test]
async fn a_half_written_file_is_not_read() {
    let mut bed = Bed::new();
    bed.settings.settle = NEVER;
    bed.write("old.yaml", &daemon_set("old", "one"));
    bed.start();
    bed.until_current().await;
    let whole = daemon_set("new", "one") + "---\n" + &daemon_set("newer", "one");
    let clean = |snapshot: &Snapshot| {
        snapshot.problems.is_empty()
            && has(snapshot, "new") == has(snapshot, "newer")
            && image(snapshot, "old").is_some()
    };
    bed.always(clean, async {
        for (name, text) in [("new.yaml", &whole), ("old.yaml", &daemon_set("old", "two"))] {
            let mut file = fs::File::create(bed.root.join(name)).unwrap();
            for part in text.as_bytes().chunks(100) {
                file.write_all(part).unwrap();
                bed.seen().await;
            }
        }
        bed.until("both are seen", |snapshot| {
            has(snapshot, "newer") && image(snapshot, "old").as_deref() == Some("two")
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_never_closed_is_read_when_it_is_quiet() {
    let mut bed = Bed::new();
    bed.settings.settle = Duration::from_millis(10);
    bed.start();
    bed.until_current().await;
    let mut file = fs::File::create(bed.root.join("a.yaml")).unwrap();
    file.write_all(daemon_set("a", "one").as_bytes()).unwrap();
    bed.until("the open file is seen", |snapshot| has(snapshot, "a")).await;
}

#[tokio::test]
async fn nothing_is_removed_before_it_has_settled() {
    let mut bed = Bed::new();
    bed.settings.settle = NEVER;
    bed.write("a.yaml", &daemon_set("a", "one"));
    bed.write("b.yaml", &(daemon_set("b", "one") + "---\n" + &config_map("beside", "1")));
    bed.start();
    bed.until_current().await;
    fs::remove_file(bed.root.join("a.yaml")).unwrap();
    bed.write("b.yaml", &daemon_set("b", "two"));
    let snapshot = bed.seen().await;
    assert!(has(&snapshot, "a") && has(&snapshot, "beside"), "{snapshot:#?}");
    assert_eq!(image(&snapshot, "b").as_deref(), Some("two"));
}

#[tokio::test]
async fn an_editor_that_renames_away_and_writes_anew_causes_no_flash() {
    let mut bed = Bed::new();
    let path = bed.write("a.yaml", &daemon_set("a", "0"));
    bed.start();
    bed.until_current().await;
    let backup = bed.root.join("a.yaml~");
    bed.always(|snapshot| has(snapshot, "a") && snapshot.problems.is_empty(), async {
        for round in 1..20 {
            let wanted = round.to_string();
            fs::write(bed.root.join("4913"), "").unwrap();
            fs::remove_file(bed.root.join("4913")).unwrap();
            fs::rename(&path, &backup).unwrap();
            fs::write(&path, daemon_set("a", &wanted)).unwrap();
            fs::remove_file(&backup).unwrap();
            bed.until("the edit is seen", |snapshot| image(snapshot, "a").as_ref() == Some(&wanted)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_renamed_file_keeps_its_objects_throughout() {
    let mut bed = Bed::new();
    bed.write("a.yaml", &daemon_set("a", "0"));
    bed.start();
    bed.until_current().await;
    bed.always(|snapshot| has(snapshot, "a") && snapshot.problems.is_empty(), async {
        fs::rename(bed.root.join("a.yaml"), bed.root.join("b.yaml")).unwrap();
        let moved = |snapshot: &Snapshot| stored(snapshot, "a").origin.file.ends_with("b.yaml");
        bed.until("the new name is seen", moved).await;
        bed.settled().await;
    })
    .await;
}

#[tokio::test]
async fn a_symlinked_file_follows_its_target() {
    let mut bed = Bed::new();
    let outside = bed.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("real"), daemon_set("a", "one")).unwrap();
    symlink("real", outside.join("link")).unwrap();
    symlink(outside.join("link"), bed.root.join("a.yaml")).unwrap();
    bed.start();
    let snapshot = bed.until_current().await;
    assert_eq!(*stored(&snapshot, "a").origin.file, bed.root.join("a.yaml"));
    let shows =
        |wanted: &'static str| move |snapshot: &Snapshot| image(snapshot, "a").as_deref() == Some(wanted);
    fs::write(outside.join("real"), daemon_set("a", "written")).unwrap();
    bed.until("writing to the target is seen", shows("written")).await;
    fs::write(outside.join("new"), daemon_set("a", "renamed")).unwrap();
    fs::rename(outside.join("new"), outside.join("real")).unwrap();
    bed.until("replacing the target is seen", shows("renamed")).await;
    fs::write(outside.join("other"), daemon_set("a", "linked")).unwrap();
    symlink("other", outside.join("new")).unwrap();
    fs::rename(outside.join("new"), outside.join("link")).unwrap();
    bed.until("replacing a link on the way is seen", shows("linked")).await;
    fs::remove_file(bed.root.join("a.yaml")).unwrap();
    bed.until("removing the link is seen", |snapshot| !has(snapshot, "a")).await;
}

/// Both swaps replace a tree of three files, in which one stays, one changes, one goes and one comes.
fn revision(directory: &std::path::Path, number: u32) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("stays.yaml"), daemon_set("stays", "same")).unwrap();
    fs::write(directory.join("changes.yaml"), daemon_set("changes", &number.to_string())).unwrap();
    fs::write(directory.join(format!("only-{number}.yaml")), daemon_set(&format!("only-{number}"), "x"))
        .unwrap();
}

fn shows_revision(snapshot: &Snapshot, number: u32) -> bool {
    names(snapshot) == ["changes", &format!("only-{number}"), "stays"]
        && image(snapshot, "changes") == Some(number.to_string())
}

#[tokio::test]
async fn a_swapped_symlink_to_a_directory_is_one_change() {
    // As git-sync does it: outside of the store, with the old tree deleted afterwards.
    let mut bed = Bed::new();
    let trees = bed.directory.path().join("trees");
    revision(&trees.join("1"), 1);
    symlink(trees.join("1"), bed.root.join("current")).unwrap();
    bed.start();
    bed.until("the first revision is seen", |snapshot| shows_revision(snapshot, 1)).await;
    let sound = |snapshot: &Snapshot| {
        has(snapshot, "stays") && has(snapshot, "changes") && snapshot.problems.is_empty()
    };
    bed.always(sound, async {
        for number in 2..6 {
            revision(&trees.join(number.to_string()), number);
            symlink(trees.join(number.to_string()), bed.root.join("new-link")).unwrap();
            fs::rename(bed.root.join("new-link"), bed.root.join("current")).unwrap();
            fs::remove_dir_all(trees.join((number - 1).to_string())).unwrap();
            bed.until("the next revision is seen", |snapshot| shows_revision(snapshot, number)).await;
        }
    })
    .await;
    fs::write(trees.join("5/stays.yaml"), daemon_set("stays", "not")).unwrap();
    bed.until("the tree is still watched", |snapshot| image(snapshot, "stays").as_deref() == Some("not"))
        .await;
}

#[tokio::test]
async fn a_swapped_root_is_one_change() {
    let mut bed = Bed::new();
    let trees = bed.directory.path().join("trees");
    fs::remove_dir(&bed.root).unwrap();
    revision(&trees.join("1"), 1);
    symlink("trees/1", &bed.root).unwrap();
    bed.start();
    bed.until("the first revision is seen", |snapshot| shows_revision(snapshot, 1)).await;
    revision(&trees.join("2"), 2);
    symlink("trees/2", bed.directory.path().join("new-link")).unwrap();
    fs::rename(bed.directory.path().join("new-link"), &bed.root).unwrap();
    let snapshot = bed.until("the next revision is seen", |snapshot| shows_revision(snapshot, 2)).await;
    assert_eq!(snapshot.freshness, Freshness::Current);
    fs::write(trees.join("2/stays.yaml"), daemon_set("stays", "not")).unwrap();
    bed.until("the tree is still watched", |snapshot| image(snapshot, "stays").as_deref() == Some("not"))
        .await;
}

#[tokio::test]
async fn a_configmap_volume_is_updated_as_one_change() {
    let mut bed = Bed::new();
    let root = bed.root.clone();
    let publish = move |number: u32| {
        let tree = format!("..2024_{number}");
        revision(&root.join(&tree), number);
        symlink(&tree, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        for name in ["stays.yaml", "changes.yaml", &format!("only-{number}.yaml")] {
            let _ = symlink(format!("..data/{name}"), root.join(name));
        }
        if number > 1 {
            fs::remove_file(root.join(format!("only-{}.yaml", number - 1))).unwrap();
            fs::remove_dir_all(root.join(format!("..2024_{}", number - 1))).unwrap();
        }
    };
    publish(1);
    bed.start();
    let snapshot = bed.until("the first revision is seen", |snapshot| shows_revision(snapshot, 1)).await;
    assert!(snapshot.ignored.is_empty(), "{:?}", snapshot.ignored);
    let sound = |snapshot: &Snapshot| has(snapshot, "stays") && has(snapshot, "changes");
    bed.always(sound, async {
        for number in 2..6 {
            publish(number);
            bed.until("the next revision is seen", |snapshot| shows_revision(snapshot, number)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn polling_sees_what_no_event_tells() {
    let mut bed = Bed::new();
    bed.settings.poll = PollMode::Always;
    bed.settings.poll_interval = Duration::from_millis(20);
    bed.settings.settle = Duration::from_millis(5);
    let path = bed.write("a.yaml", &daemon_set("a", "1"));
    bed.start();
    bed.until_current().await;
    for wanted in ["2", "3", "4"] {
        fs::write(&path, daemon_set("a", wanted)).unwrap();
        bed.until("the change is seen", |snapshot| image(snapshot, "a").as_deref() == Some(wanted)).await;
    }
    fs::remove_file(path).unwrap();
    bed.until("the deletion is seen", |snapshot| !has(snapshot, "a")).await;
}
