//! hostPath and emptyDir, and what holds for the volumes of a pod as a whole.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn every_host_path_type_takes_what_it_names_and_nothing_else() {
    let fixture = Fixture::new();
    let host = fixture.host();
    fs::create_dir(host.join("dir")).unwrap();
    fs::write(host.join("file"), "").unwrap();
    let _socket = UnixListener::bind(host.join("socket")).unwrap();
    symlink("dir", host.join("link")).unwrap();
    let block = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().path());
    let block =
        block.into_iter().find(|path| fs::metadata(path).is_ok_and(|m| m.file_type().is_block_device()));
    let inside = |name: &str| host.join(name).to_str().unwrap().to_owned();
    let set_up =
        |kind: &str, path: &str| fixture.set_up_one(&json!({"hostPath": {"type": kind, "path": path}}));

    let mut good = vec![
        ("", inside("missing/deep")),
        ("Directory", inside("dir")),
        ("Directory", inside("link")),
        ("DirectoryOrCreate", inside("dir")),
        ("DirectoryOrCreate", inside("made/deep")),
        ("File", inside("file")),
        ("FileOrCreate", inside("file")),
        ("FileOrCreate", inside("made-file")),
        ("Socket", inside("socket")),
        ("CharDevice", "/dev/null".to_owned()),
    ];
    good.extend(block.map(|path| ("BlockDevice", path.to_str().unwrap().to_owned())));
    for (kind, path) in good {
        let source = set_up(kind, &path).unwrap_or_else(|error| panic!("{kind} {path}: {error}"));
        assert_eq!(source, MountSource { host_path: PathBuf::from(path), ..MountSource::default() });
    }
    assert!(!host.join("missing").exists());
    assert_eq!(mode(&host.join("made/deep")), 0o755);
    assert_eq!(mode(&host.join("made-file")), 0o644);

    for (kind, name, expected) in [
        ("Directory", "file", "a directory"),
        ("Directory", "missing", "a directory"),
        ("DirectoryOrCreate", "file", "a directory"),
        ("File", "dir", "a file"),
        ("File", "missing", "a file"),
        ("FileOrCreate", "dir", "a file"),
        ("FileOrCreate", "socket", "a file"),
        ("Socket", "file", "a socket file"),
        ("CharDevice", "file", "a character device"),
        ("BlockDevice", "missing", "a block device"),
    ] {
        let path = inside(name);
        let text = format!(
            "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: {path} is not {expected}"
        );
        assert_eq!(set_up(kind, &path), Err(text), "{kind} {name}");
    }
    let error = set_up("FileOrCreate", &inside("none/file")).unwrap_err();
    assert!(error.contains("create") && error.contains("No such file"), "{error}");
    let error = set_up("Floppy", &inside("file")).unwrap_err();
    assert!(error.ends_with("Floppy is an invalid volume type"), "{error}");
    let error = set_up("Directory", "/etc/../etc").unwrap_err();
    assert!(error.ends_with("invalid HostPath `/etc/../etc`: must not contain '..'"), "{error}");
}

#[test]
fn an_empty_dir_is_open_to_every_user_and_keeps_what_is_in_it() {
    let fixture = Fixture::new();
    let volume = json!({"emptyDir": {"sizeLimit": "1Ki"}});
    let source = fixture.set_up_one(&volume).unwrap();
    let dir = fixture.root.dir().join(format!("pods/{UID}/volumes/kubernetes.io~empty-dir/v"));
    assert_eq!(
        (source.host_path.as_path(), source.read_only, source.size_limit),
        (dir.as_path(), false, Some(1024))
    );
    assert_eq!(mode(&dir), 0o777);
    assert_eq!(mode(&fixture.root.pod_dir(UID).unwrap()), 0o750);

    // The pod made it its own; an agent that starts again leaves it so.
    fs::write(dir.join("kept"), "x").unwrap();
    layout::set_mode(&dir, 0o700).unwrap();
    assert_eq!(fixture.set_up_one(&volume).unwrap(), source);
    assert_eq!(mode(&dir), 0o700);
    assert!(dir.join("kept").exists());
}

#[test]
fn a_set_up_that_was_cut_short_is_finished() {
    let fixture = Fixture::new();
    let volume = json!({"emptyDir": {}});
    let dir = fixture.set_up_one(&volume).unwrap().host_path;
    let ready = fixture.root.dir().join(format!("pods/{UID}/plugins/kubernetes.io~empty-dir/v/ready"));
    fs::remove_file(&ready).unwrap();
    layout::set_mode(&dir, 0o700).unwrap();
    fixture.set_up_one(&volume).unwrap();
    assert_eq!(mode(&dir), 0o777);
    assert!(ready.is_file());
    fs::remove_dir(&dir).unwrap();
    fixture.set_up_one(&volume).unwrap();
    assert_eq!(mode(&dir), 0o777);
}

#[test]
fn a_memory_volume_is_a_tmpfs_of_the_least_bound_and_mounted_once() {
    let mut fixture = Fixture::new();
    fixture.memory_limit = Some(8 << 20);
    for (limit, kib) in [(json!("1Mi"), 1024), (json!(null), 8192)] {
        let volume = json!({"emptyDir": {"medium": "Memory", "sizeLimit": limit}});
        let dir = fixture.set_up_one(&volume).unwrap().host_path;
        fs::write(dir.join("kept"), "x").unwrap();
        fixture.set_up_one(&volume).unwrap();
        assert!(dir.join("kept").exists());
        let mounted: Vec<_> = mounts::at_or_beneath(&dir).unwrap();
        let [mount] = &mounted[..] else { panic!("{mounted:?}") };
        assert_eq!(mount.fs_type, "tmpfs");
        assert!(mount.options.contains(&format!("size={kib}k")), "{}", mount.options);
        assert_eq!(mode(&dir), 0o1777);
        tear_down(&fixture.root, UID).unwrap();
    }
}

#[test]
fn a_memory_volume_is_mounted_again_after_a_reboot() {
    let fixture = Fixture::new();
    let volume = json!({"emptyDir": {"medium": "Memory"}});
    let dir = fixture.set_up_one(&volume).unwrap().host_path;
    mounts::unmount(&dir).unwrap();
    fixture.set_up_one(&volume).unwrap();
    assert_eq!(fs_type(&dir).as_deref(), Some("tmpfs"));
}

#[test]
fn huge_pages_are_mounted_in_the_size_that_the_pod_requests() {
    let fixture = Fixture::new();
    if !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        return;
    }
    let mut pod = pod_with(&json!({"emptyDir": {"medium": "HugePages"}}));
    let error = fixture.set_up(&pod).unwrap_err().remove(0).event_message();
    assert!(error.contains("there is no resource request for huge pages"), "{error}");
    let resources = json!({"requests": {"hugepages-2Mi": "2Mi"}});
    pod.spec.as_mut().unwrap().containers[0].resources = Some(serde_json::from_value(resources).unwrap());
    let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
    let mount = mounts::at(&dir).unwrap().unwrap();
    assert_eq!(mount.fs_type, "hugetlbfs");
    assert!(mount.options.contains("pagesize=2M"), "{}", mount.options);
    fixture.set_up(&pod).unwrap();
    assert_eq!(mounts::at_or_beneath(&dir).unwrap().len(), 1);
}

#[test]
fn something_else_mounted_on_a_volume_is_refused() {
    let fixture = Fixture::new();
    let volume = json!({"emptyDir": {}});
    let dir = fixture.set_up_one(&volume).unwrap().host_path;
    mounts::mount_virtual("tmpfs", "tmpfs", &dir, "size=4k").unwrap();
    let error = fixture.set_up_one(&volume).unwrap_err();
    assert!(error.contains("is already mounted as tmpfs"), "{error}");
}

#[test]
fn every_problem_is_told_and_unused_volumes_have_none() {
    let fixture = Fixture::new();
    let mounts: Vec<_> = ["a", "b", "good", "claim", "image"]
        .iter()
        .map(|v| json!({"name": v, "mountPath": format!("/{v}")}))
        .collect();
    let mut pod = pod(&json!({
        "volumes": [
            {"name": "a", "configMap": {"name": "none"}},
            {"name": "b", "secret": {"secretName": "none"}},
            {"name": "good", "emptyDir": {}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "x"}},
            {"name": "image", "image": {"reference": "r/i:1"}},
            {"name": "unused", "configMap": {"name": "none"}},
        ],
        "containers": [{"name": "c"}],
        "initContainers": [{"name": "i", "volumeMounts": mounts}],
    }));
    let errors = fixture.set_up(&pod).unwrap_err();
    let texts: Vec<String> = errors.iter().map(VolumeError::event_message).collect();
    assert_eq!(
        texts,
        [
            "MountVolume.SetUp failed for volume \"a\" : configmap \"none\" not found",
            "MountVolume.SetUp failed for volume \"b\" : secret \"none\" not found",
            "MountVolume.SetUp failed for volume \"claim\" : volumes of kind persistentVolumeClaim need an API server \
             or a driver, and daemonlet runs without them",
        ]
    );
    let mounts =
        pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap()[0].volume_mounts.as_mut().unwrap();
    mounts.retain(|mount| ["good", "image"].contains(&mount.name.as_str()));
    let done = fixture.set_up(&pod).unwrap();
    assert_eq!(done.sources.keys().collect::<Vec<_>>(), ["good", "image"]);
    let image = MountSource { image: Some("r/i:1".to_owned()), read_only: true, ..MountSource::default() };
    assert_eq!(done.sources["image"], image);
}

#[test]
fn a_pod_without_a_usable_uid_touches_nothing() {
    let fixture = Fixture::new();
    for uid in ["", "..", "a/b"] {
        let mut pod = pod_with(&json!({"emptyDir": {}}));
        pod.metadata.uid = Some(uid.to_owned());
        let error = fixture.set_up(&pod).unwrap_err().remove(0);
        assert!(matches!(error.reason, Reason::Name(_)), "{error:?}");
        assert!(tear_down(&fixture.root, uid).is_err());
    }
    assert_eq!(fs::read_dir(fixture.root.pods_dir()).unwrap().count(), 0);
}

#[test]
fn termination_logs_are_new_files_that_everybody_may_write() {
    let fixture = Fixture::new();
    let first = termination_log(&fixture.root, UID, "c").unwrap();
    let second = termination_log(&fixture.root, UID, "c").unwrap();
    assert_ne!(first, second);
    assert_eq!(mode(&first), 0o666);
    assert_eq!(mode(first.parent().unwrap()), 0o750);
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(name.len() == 8 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{name}");
    assert!(termination_log(&fixture.root, UID, "../c").is_err());
}

#[test]
fn the_hosts_file_is_rewritten_in_place() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::new();
    let path = write_hosts_file(&fixture.root, UID, "127.0.0.1\tlocalhost\n").unwrap();
    assert_eq!(path, fixture.root.pod_dir(UID).unwrap().join("etc-hosts"));
    let inode = fs::metadata(&path).unwrap().ino();
    for content in ["short\n", "a good deal longer than before\n", "", "a good deal longer than before\n"] {
        write_hosts_file(&fixture.root, UID, content).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!((fs::metadata(&path).unwrap().ino(), mode(&path)), (inode, 0o644));
}

#[test]
fn the_root_is_shared_once() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        fixture.root.make_shared().unwrap();
        assert!(mounts::containing(fixture.root.dir()).unwrap().unwrap().shared);
        assert!(mounts::at_or_beneath(fixture.root.dir()).unwrap().len() <= 1);
    }
    fixture.set_up_one(&json!({"emptyDir": {"medium": "Memory"}})).unwrap();
    tear_down(&fixture.root, UID).unwrap();
}

#[test]
fn a_root_that_would_hide_volumes_of_running_pods_is_left_as_it_is() {
    let fixture = Fixture::new();
    let source = fixture.set_up_one(&json!({"emptyDir": {"medium": "Memory"}})).unwrap();
    fs::write(source.host_path.join("x"), "").unwrap();
    let was_shared = mounts::containing(fixture.root.dir()).unwrap().is_some_and(|mount| mount.shared);
    assert_eq!(fixture.root.make_shared().is_ok(), was_shared);
    assert!(source.host_path.join("x").exists());
    tear_down(&fixture.root, UID).unwrap();
}
