//! What tearing down removes, and what it must not.

use std::os::unix::fs::symlink;

use super::*;

/// Something of the host's that must survive.
fn treasure(fixture: &Fixture) -> PathBuf {
    let dir = fixture.host().join("treasure");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/gold"), "gold").unwrap();
    dir
}

fn is_whole(treasure: &Path) -> bool {
    fs::read_to_string(treasure.join("sub/gold")).is_ok_and(|text| text == "gold")
}

#[test]
fn everything_of_the_pod_goes_and_again_is_fine() {
    let mut fixture = Fixture::new();
    fixture.put_secret("s", &[("k", "v")]);
    let pod = pod(&json!({
        "volumes": [
            {"name": "disk", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
            {"name": "secret", "secret": {"secretName": "s"}},
        ],
        "containers": [{"name": "c", "volumeMounts": [
            {"name": "disk", "mountPath": "/d"}, {"name": "memory", "mountPath": "/m"},
            {"name": "secret", "mountPath": "/s"}]}],
    }));
    let sources = fixture.set_up(&pod).unwrap().sources;
    fs::create_dir_all(sources["disk"].host_path.join("a/b/c")).unwrap();
    for (index, (volume, sub_path)) in
        [("disk", "a"), ("disk", "a/b"), ("memory", "x"), ("secret", "k")].iter().enumerate()
    {
        let source = &sources[*volume];
        let request = SubPathRequest { uid: UID, container: "c", index, volume, source, sub_path };
        prepare_sub_path(&fixture.root, &request).unwrap();
    }
    termination_log(&fixture.root, UID, "c").unwrap();
    write_hosts_file(&fixture.root, UID, "x").unwrap();
    assert_eq!(pod_dirs(&fixture.root).unwrap(), [UID]);
    tear_down(&fixture.root, UID).unwrap();
    assert!(!fixture.root.pod_dir(UID).unwrap().exists());
    assert!(mounts::at_or_beneath(fixture.root.dir()).unwrap().is_empty());
    tear_down(&fixture.root, UID).unwrap();
    assert!(pod_dirs(&fixture.root).unwrap().is_empty());
}

#[test]
fn links_are_removed_and_what_they_point_at_stays() {
    let fixture = Fixture::new();
    let treasure = treasure(&fixture);
    let dir = fixture.set_up_one(&json!({"emptyDir": {}})).unwrap().host_path;
    fs::create_dir(dir.join("sub")).unwrap();
    for (target, link) in [("/", "root"), ("..", "up"), ("../../../..", "sub/far")] {
        symlink(target, dir.join(link)).unwrap();
    }
    symlink(&treasure, dir.join("treasure")).unwrap();
    symlink(treasure.join("sub/gold"), dir.join("sub/gold")).unwrap();
    tear_down(&fixture.root, UID).unwrap();
    assert!(is_whole(&treasure) && !dir.exists());
}

#[test]
fn a_link_in_place_of_the_pods_directory_is_not_followed() {
    let fixture = Fixture::new();
    let treasure = treasure(&fixture);
    let pod_dir = fixture.root.pod_dir(UID).unwrap();
    symlink(&treasure, &pod_dir).unwrap();
    assert!(tear_down(&fixture.root, UID).is_err());
    assert!(is_whole(&treasure));
}

#[test]
fn nothing_is_deleted_through_a_mount_of_somebody_else() {
    let fixture = Fixture::new();
    let treasure = treasure(&fixture);
    let dir = fixture.set_up_one(&json!({"emptyDir": {}})).unwrap().host_path;
    let point = dir.join("a/mounted");
    fs::create_dir_all(&point).unwrap();
    mounts::bind(&treasure, &point).unwrap();
    match tear_down(&fixture.root, UID) {
        Err(TearDownError::Mounted { uid, mounts }) => {
            assert_eq!((uid.as_str(), mounts), (UID, vec![point.clone()]));
        }
        other => panic!("{other:?}"),
    }
    assert!(is_whole(&treasure));
    // Not even by the walk itself, should the list of mounts have been a moment too old.
    match remove::remove_dir(&fixture.root.pods_dir(), UID.as_ref()) {
        Err(remove::RemoveError::Mounted(found)) => assert_eq!(found, point),
        other => panic!("{other:?}"),
    }
    assert!(is_whole(&treasure));
    mounts::unmount(&point).unwrap();
    tear_down(&fixture.root, UID).unwrap();
    assert!(is_whole(&treasure) && !dir.exists());
}

#[test]
fn a_mounted_file_is_not_deleted_either() {
    let fixture = Fixture::new();
    let gold = treasure(&fixture).join("sub/gold");
    let dir = fixture.set_up_one(&json!({"emptyDir": {}})).unwrap().host_path;
    fs::write(dir.join("gold"), "").unwrap();
    mounts::bind(&gold, &dir.join("gold")).unwrap();
    assert!(matches!(tear_down(&fixture.root, UID), Err(TearDownError::Mounted { .. })));
    let removed = remove::remove_dir(&fixture.root.pods_dir(), UID.as_ref());
    assert!(matches!(removed, Err(remove::RemoveError::Mounted(_))), "{removed:?}");
    assert_eq!(fs::read_to_string(&gold).unwrap(), "gold");
}

#[test]
fn mounts_that_appeared_below_a_sub_path_are_detached_not_undone_at_their_source() {
    let fixture = Fixture::new();
    let host = fixture.host();
    fs::create_dir_all(host.join("data/inner")).unwrap();
    // As on a systemd host: what is mounted here appears at the bind mount too.
    mounts::bind(&host, &host).unwrap();
    mounts::make_shared(&host).unwrap();
    let source = fixture.set_up_one(&json!({"hostPath": {"path": host}})).unwrap();
    let request =
        SubPathRequest { uid: UID, container: "c", index: 0, volume: "v", source: &source, sub_path: "data" };
    let target = prepare_sub_path(&fixture.root, &request).unwrap();
    mounts::mount_virtual("tmpfs", "tmpfs", &host.join("data/inner"), "size=4k").unwrap();
    assert_eq!(fs_type(&target.join("inner")).as_deref(), Some("tmpfs"));
    tear_down(&fixture.root, UID).unwrap();
    assert!(!target.exists());
    assert_eq!(fs_type(&host.join("data/inner")).as_deref(), Some("tmpfs"));
}

#[test]
fn a_tree_deeper_than_any_path_goes_too() {
    let fixture = Fixture::new();
    let dir = fixture.set_up_one(&json!({"emptyDir": {}})).unwrap().host_path;
    let mut fd = beneath::open_dir(&dir).unwrap();
    let flags = nix::fcntl::OFlag::O_DIRECTORY;
    for depth in 0..1000 {
        use nix::sys::stat::{Mode, mkdirat};
        mkdirat(&fd, "deep", Mode::S_IRWXU).unwrap();
        if depth % 500 == 0 {
            mkdirat(&fd, "also", Mode::S_IRWXU).unwrap();
        }
        fd = nix::fcntl::openat(&fd, "deep", flags, Mode::empty()).unwrap();
    }
    drop(fd);
    tear_down(&fixture.root, UID).unwrap();
    assert!(!dir.exists());
}

#[test]
fn only_directories_count_as_pods() {
    let fixture = Fixture::new();
    for uid in ["b", "a", "c"] {
        fs::create_dir(fixture.root.pods_dir().join(uid)).unwrap();
    }
    fs::write(fixture.root.pods_dir().join("file"), "").unwrap();
    symlink("/", fixture.root.pods_dir().join("link")).unwrap();
    assert_eq!(pod_dirs(&fixture.root).unwrap(), ["a", "b", "c"]);
}
