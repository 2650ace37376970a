use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::folder::{Identity, list};
use super::import::choose;
use super::memory::{Given, Memory};
use super::*;
use crate::archive::{Descriptor, Digest, Image};

#[test]
fn only_archives_count_by_their_names() {
    for (name, is_one) in [
        ("a.tar", true),
        ("a.b.tar.gz", true),
        ("a.tgz", true),
        ("a.tar.zst", true),
        ("site.oci", true),
        (".tar", false),
        (".a.tar", false),
        ("a.tar.part", false),
        ("a.tar~", false),
        ("a.zip", false),
    ] {
        assert_eq!(is_archive(name), is_one, "{name}");
    }
}

#[test]
fn a_folder_lists_archives_links_included_and_tells_of_what_is_none() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.tar", "b.tar", "notes.txt", ".hidden.tar"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::create_dir(dir.path().join("c.tar")).unwrap();
    symlink("a.tar", dir.path().join("link.tar")).unwrap();
    symlink("nowhere", dir.path().join("broken.tar")).unwrap();
    let listing = list(dir.path()).unwrap();
    assert_eq!(listing.archives.keys().collect::<Vec<_>>(), ["a.tar", "b.tar", "link.tar"]);
    assert_eq!(listing.others, ["notes.txt"]);
    assert!(listing.unknown.is_empty(), "a link to nothing is nothing");
    symlink("loop.tar", dir.path().join("loop.tar")).unwrap();
    let listing = list(dir.path()).unwrap();
    assert_eq!(listing.archives.len(), 3, "one bad entry hurts no other");
    assert_eq!(listing.unknown.keys().collect::<Vec<_>>(), ["loop.tar"]);
    assert!(listing.has("loop.tar") && listing.has("a.tar") && !listing.has("broken.tar"), "it is not gone");
    assert!(list(&dir.path().join("none")).is_err(), "what can't be listed is not empty");
}

#[test]
fn a_file_that_was_written_or_replaced_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, "one").unwrap();
    let first = Identity::now(&path).unwrap();
    assert_eq!(Identity::now(&path).unwrap(), first);
    fs::write(dir.path().join("b.tar"), "two").unwrap();
    fs::rename(dir.path().join("b.tar"), &path).unwrap();
    assert_ne!(Identity::now(&path).unwrap(), first);
}

/// An archive that has these names, all of one image.
fn given(names: &[&str]) -> Vec<Given> {
    let id = Digest::of(names.concat().as_bytes());
    vec![Given { names: names.iter().map(|name| (*name).to_owned()).collect(), id }]
}

/// An archive, anew each time.
fn anew(dir: &Path, name: &str) -> Identity {
    let written = dir.join("new");
    fs::write(&written, name).unwrap();
    // What it replaces may not give its inode to the next.
    let _ = fs::rename(dir.join(name), dir.join(format!("{name}~{}", fs::read_dir(dir).unwrap().count())));
    fs::rename(written, dir.join(name)).unwrap();
    Identity::now(&dir.join(name)).unwrap()
}

fn kept(content: &[u8]) -> String {
    format!("bundle-sha256-{}.tar", Digest::of(content).digits())
}

#[test]
fn what_was_imported_is_remembered_and_what_cannot_be_read_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.json");
    let identity = anew(dir.path(), "a.tar");
    let mut memory = Memory::open(&path);
    memory.imported("a.tar".into(), identity, given(&["docker.io/library/a:1"]));
    memory.write().unwrap();

    let read = Memory::open(&path);
    assert_eq!(read.identity("a.tar"), Some(identity));
    assert_eq!(read.with("docker.io/library/a:1"), ["a.tar"]);
    assert!(read.with("docker.io/library/a:2").is_empty());
    assert_eq!(read.pinned().len(), 2);
    fs::write(&path, "{").unwrap();
    assert!(Memory::open(&path).names().is_empty());
}

#[test]
fn what_was_written_before_imports_had_numbers_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.json");
    let identity = anew(dir.path(), "a.tar");
    let id = Digest::of(b"i");
    let old = json!({
        "b.tar": {"identity": identity, "images": [{"names": ["x:1"], "id": id}]},
        "a.tar": {"identity": identity, "images": [{"names": ["x:1", "y:1"], "id": id}]},
    });
    fs::write(&path, old.to_string()).unwrap();
    let mut memory = Memory::open(&path);
    assert_eq!(memory.identity("a.tar"), Some(identity));
    assert_eq!(memory.with("x:1"), ["b.tar", "a.tar"], "in this order they were imported");
    memory.imported("a.tar".into(), anew(dir.path(), "a.tar"), given(&["x:1", "y:1"]));
    assert_eq!(memory.with("x:1"), ["a.tar", "b.tar"]);
    fs::write(&path, "{}").unwrap();
    assert!(Memory::open(&path).names().is_empty());
}

#[test]
fn of_one_name_the_newest_import_counts_and_before_it_the_bundle_that_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut memory = Memory::open(&dir.path().join("images.json"));
    let [b, a, site] = ["b.tar", "a.tar", &kept(b"site")].map(|name| anew(dir.path(), name));
    memory.imported("b.tar".into(), b, given(&["x:1", "b:1"]));
    memory.imported(kept(b"site"), site, given(&["x:1"]));
    memory.imported("a.tar".into(), a, given(&["x:1", "a:1"]));
    let order = [kept(b"site"), "a.tar".into(), "b.tar".into()];
    assert_eq!(memory.with("x:1"), order);

    // Imported again since some of its images were lost, an archive is no newer.
    let there = ["x:1", "a:1"].map(ToOwned::to_owned).into();
    assert_eq!(memory.lost(&there), ["b.tar".to_owned()].into());
    assert_eq!(memory.before("b.tar", b), ["x:1", "a:1"].map(ToOwned::to_owned).into());
    memory.imported("b.tar".into(), b, given(&["x:1", "b:1"]));
    assert_eq!(memory.with("x:1"), order);
    // One that was replaced is.
    let newer = anew(dir.path(), "b.tar");
    assert_eq!(memory.before("b.tar", newer), ["x:1".to_owned()].into(), "the bundle's");
    assert!(memory.before(&kept(b"other"), newer).is_empty());
    memory.write().unwrap();
    let mut memory = Memory::open(&dir.path().join("images.json"));
    memory.imported("b.tar".into(), newer, given(&["x:1", "b:1"]));
    assert_eq!(memory.with("x:1"), [kept(b"site"), "b.tar".into(), "a.tar".into()]);

    let mut all = [(kept(b"site"), site), ("c.tar".into(), a), ("b.tar".into(), newer), ("a.tar".into(), a)];
    memory.sort(&mut all);
    assert_eq!(all.map(|(name, _)| name), ["a.tar".into(), "b.tar".into(), "c.tar".into(), kept(b"site")]);
}

#[test]
fn what_no_archive_has_any_more_is_remembered_until_it_is_unpinned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.json");
    let [a, b] = ["a.tar", "b.tar"].map(|name| anew(dir.path(), name));
    let mut memory = Memory::open(&path);
    // Cut short before it is said to be imported.
    assert!(memory.announce(&given(&["a:1"])));
    memory.write().unwrap();
    let mut memory = Memory::open(&path);
    assert!(memory.has_leaving());
    memory.imported("a.tar".into(), a, given(&["a:1"]));
    assert!(!memory.has_leaving());
    assert!(!memory.announce(&given(&["a:1"])), "it is pinned already");

    memory.imported("b.tar".into(), b, given(&["a:1", "b:1", "c:1"]));
    assert!(memory.retain(|name| name == "a.tar"));
    memory.write().unwrap();
    let mut memory = Memory::open(&path);
    let id = given(&["a:1", "b:1", "c:1"])[0].id.to_string();
    assert_eq!(
        memory.left_to_unpin(&["c:1".to_owned()].into()),
        ["b:1", &id],
        "what a bundle has pinned is its own"
    );
    memory.unpinned("b:1");
    assert_eq!(memory.left_to_unpin(&BTreeSet::new()), [id.as_str()], "the other could not be unpinned");
    memory.unpinned(&id);
    assert!(!memory.has_leaving());
}

#[test]
fn of_an_archive_all_is_given_but_what_others_have_that_go_before_it() {
    let image = |names: &[&str]| Image {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        target: Descriptor::of("m", b"t"),
        id: Digest::of(names.concat().as_bytes()),
        blobs: Vec::new(),
    };
    let all = [image(&["a:1", "a:2"]), image(&["b:1"]), image(&["c:1"])];
    let before = ["a:1", "b:1"].map(ToOwned::to_owned).into();
    for (only, expected, left) in [
        (None, vec![image(&["a:2"]).names, image(&["c:1"]).names], vec!["a:1", "b:1"]),
        // What goes before can't give it, or nobody would ask this one.
        (Some("a:1"), vec![image(&["a:1", "a:2"]).names], vec![]),
        (Some("a:2"), vec![image(&["a:2"]).names], vec!["a:1"]),
    ] {
        let mut images = all.to_vec();
        assert_eq!(choose(&mut images, only, &before), left, "{only:?}");
        let names: Vec<_> = images.into_iter().map(|image| image.names).collect();
        assert_eq!(names, expected, "{only:?}");
    }
}
