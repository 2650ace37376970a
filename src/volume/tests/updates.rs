//! Files follow the store, whole and at once.

use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;

use super::*;

fn config_map_volume() -> Pod {
    pod_with(&json!({"configMap": {"name": "m"}}))
}

fn update(fixture: &mut Fixture, pod: &Pod, data: &Value) -> Refreshed {
    fixture.put_config_map("m", data);
    let refreshed = refresh(&fixture.root, &fixture.volumes(pod));
    assert!(refreshed.errors.is_empty(), "{:?}", refreshed.errors);
    refreshed
}

/// The names in a directory, hidden ones included.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_follow_their_object_and_nothing_is_written_without_need() {
    let mut fixture = Fixture::new();
    let pod = config_map_volume();
    fixture.put_config_map("m", &json!({"a": "1", "b": "1"}));
    let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
    let first = fs::read_link(dir.join("..data")).unwrap();
    let stamp = first.to_str().unwrap();
    assert_eq!(stamp.len(), "..2025_01_31_10_20_30.123456789".len(), "{stamp}");
    assert_eq!(names(&dir), [stamp, "..data", "a", "b"]);
    assert_eq!(fs::read_link(dir.join("a")).unwrap(), Path::new("..data/a"));
    assert_eq!(mode(&dir.join(&first)), 0o755);

    assert!(update(&mut fixture, &pod, &json!({"a": "1", "b": "1"})).changed.is_empty());
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), first);

    assert_eq!(update(&mut fixture, &pod, &json!({"a": "2", "c": "1"})).changed, ["v"]);
    let second = fs::read_link(dir.join("..data")).unwrap();
    assert_ne!(second, first);
    assert_eq!(names(&dir), [second.to_str().unwrap(), "..data", "a", "c"]);
    assert_eq!(seen(&dir)["a"].1, "2");

    assert_eq!(update(&mut fixture, &pod, &json!({"a": "3", "c": "1"})).changed, ["v"]);
    assert_eq!(update(&mut fixture, &pod, &json!({})).changed, ["v"]);
    assert!(seen(&dir).is_empty());
}

#[test]
fn what_a_killed_writer_left_is_put_right() {
    let mut fixture = Fixture::new();
    let pod = config_map_volume();
    fixture.put_config_map("m", &json!({"a": "1", "b": "1"}));
    let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
    let good = fs::read_link(dir.join("..data")).unwrap();
    // Killed before the swap, between the swap and the links, and while files were written.
    fs::create_dir(dir.join("..2001_01_01_00_00_00.000000000")).unwrap();
    std::os::unix::fs::symlink("..2001_01_01_00_00_00.000000000", dir.join("..data_tmp")).unwrap();
    fs::remove_file(dir.join("a")).unwrap();
    fixture.set_up(&pod).unwrap();
    assert_eq!(names(&dir), [good.to_str().unwrap(), "..data", "a", "b"]);
    // A power cut can leave files without their bytes.
    fs::write(dir.join("..data/b"), "").unwrap();
    fixture.set_up(&pod).unwrap();
    assert_eq!(seen(&dir)["b"], (0o644, "1".to_owned()));
    fs::remove_file(dir.join("..data")).unwrap();
    fixture.set_up(&pod).unwrap();
    assert_eq!(seen(&dir).len(), 2);
    assert_eq!(names(&dir).len(), 4);
}

#[test]
fn a_volume_keeps_its_files_when_new_ones_cannot_be_made() {
    let mut fixture = Fixture::new();
    let pod = config_map_volume();
    fixture.put_config_map("m", &json!({"a": "1"}));
    let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
    fixture.objects = Objects::default();
    let refreshed = refresh(&fixture.root, &fixture.volumes(&pod));
    assert!(refreshed.changed.is_empty());
    assert_eq!(refreshed.errors[0].volume, "v");
    let done = fixture.set_up(&pod).unwrap();
    assert_eq!(done.sources["v"].host_path, dir);
    assert!(matches!(&done.stale[0].reason, Reason::ConfigMapNotFound(name) if name == "m"));
    assert_eq!(seen(&dir)["a"].1, "1");
}

#[test]
fn files_that_do_not_fit_leave_the_old_ones_and_no_remains() {
    let mut fixture = Fixture::new();
    fixture.memory_limit = Some(64 << 10);
    let pod = pod_with(&json!({"secret": {"secretName": "s"}}));
    fixture.put_secret("s", &[("k", "v")]);
    let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
    let before = names(&dir);
    fixture.put_secret("s", &[("k", &"x".repeat(128 << 10))]);
    let refreshed = refresh(&fixture.root, &fixture.volumes(&pod));
    let text = refreshed.errors[0].event_message();
    assert!(text.contains("write") && text.contains("No space left"), "{text}");
    assert_eq!((names(&dir), seen(&dir)["k"].1.as_str()), (before, "v"));
    fixture.put_secret("s", &[("k", "new")]);
    assert_eq!(refresh(&fixture.root, &fixture.volumes(&pod)).changed, ["v"]);
    assert_eq!(seen(&dir)["k"].1, "new");
}

#[test]
fn only_volumes_made_of_objects_are_refreshed() {
    let fixture = Fixture::new();
    let pod = pod_with(&json!({"emptyDir": {}}));
    let refreshed = refresh(&fixture.root, &fixture.volumes(&pod));
    assert!(refreshed.changed.is_empty() && refreshed.errors.is_empty());
    assert!(!fixture.root.pod_dir(UID).unwrap().exists());
}

#[test]
fn a_secret_is_never_written_to_disk_by_a_refresh() {
    let mut fixture = Fixture::new();
    fixture.put_secret("s", &[("k", "v")]);
    let pod = pod_with(&json!({"secret": {"secretName": "s"}}));
    let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
    mounts::unmount(&dir).unwrap();
    assert_eq!(refresh(&fixture.root, &fixture.volumes(&pod)).changed, ["v"]);
    assert_eq!(fs_type(&dir).as_deref(), Some("tmpfs"));
    mounts::unmount(&dir).unwrap();
    assert!(names(&dir).is_empty());
}

#[test]
fn a_reader_never_sees_two_versions_mixed() {
    let mut fixture = Fixture::new();
    let pod = config_map_volume();
    let version = |n: usize| {
        let text = format!("{n:04}").repeat(2000);
        json!({"one": text, "two": text})
    };
    fixture.put_config_map("m", &version(0));
    let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
    let over = Over::default();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut versions = std::collections::BTreeSet::new();
            while !over.is_over() {
                // A reader that wants both files of one version holds on to the directory.
                let Ok(data) = open(&dir.join("..data")) else { continue };
                let read = |name: &str| fs::read_to_string(mounts::proc_path(&data).join(name));
                // The version may be replaced and removed at any point: then a file is absent, never wrong.
                let (Ok(one), Ok(two)) = (read("one"), read("two")) else { continue };
                assert_eq!(one, two);
                assert_eq!(one, one[..4].repeat(2000));
                versions.insert(one);
                // Through the link that containers open, a single file is one version too.
                if let Ok(one) = fs::read_to_string(dir.join("one")) {
                    assert_eq!(one, one[..4].repeat(2000));
                }
            }
            versions.len()
        });
        let at_end = over.at_end();
        for n in 1..100 {
            assert_eq!(update(&mut fixture, &pod, &version(n)).changed, ["v"]);
        }
        drop(at_end);
        assert!(reader.join().unwrap() > 1);
    });
}

fn open(path: &Path) -> nix::Result<OwnedFd> {
    nix::fcntl::open(
        path,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )
}
