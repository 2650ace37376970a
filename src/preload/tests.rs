use std::fs;
use std::os::unix::fs::symlink;

use super::folder::{Identity, list};
use super::*;

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

#[test]
fn what_was_imported_is_remembered_and_what_cannot_be_read_is_forgotten() {
    use super::memory::{Given, Imported, Memory};
    use crate::archive::Digest;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.json");
    fs::write(dir.path().join("a.tar"), "one").unwrap();
    let names = vec!["docker.io/library/a:1".to_owned()];
    let given = Given { names, id: Digest::of(b"i") };
    let identity = Identity::now(&dir.path().join("a.tar")).unwrap();
    let mut memory = Memory::open(&path);
    memory.archives.insert("a.tar".into(), Imported { identity, images: vec![given] });
    memory.write().unwrap();

    let read = Memory::open(&path);
    assert_eq!(read.archives, memory.archives);
    assert_eq!(read.with("docker.io/library/a:1"), ["a.tar"]);
    assert!(read.with("docker.io/library/a:2").is_empty());
    assert_eq!(read.pinned().len(), 2);
    fs::write(&path, "{").unwrap();
    assert!(Memory::open(&path).archives.is_empty());
}
