//! subPaths: what they bind, and that none leads out of its volume.

use std::os::unix::fs::symlink;

use super::*;

/// A volume of a directory of the host, with a secret beside it.
fn host_volume(fixture: &Fixture) -> MountSource {
    let host = fixture.host();
    fs::write(host.join("outside"), "secret").unwrap();
    let dir = host.join("volume");
    fs::create_dir_all(dir.join("a/b")).unwrap();
    fs::write(dir.join("a/file"), "inside").unwrap();
    MountSource { host_path: dir, ..MountSource::default() }
}

fn prepare(fixture: &Fixture, source: &MountSource, sub_path: &str) -> Result<PathBuf, SubPathError> {
    let request = SubPathRequest { uid: UID, container: "c", index: 3, volume: "v", source, sub_path };
    prepare_sub_path(&fixture.root, &request)
}

fn same(a: &Path, b: &Path) -> bool {
    let (a, b) = (fs::metadata(a).unwrap(), fs::metadata(b).unwrap());
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[test]
fn a_sub_path_shows_the_file_or_directory_it_names() {
    let fixture = Fixture::new();
    let source = host_volume(&fixture);
    let target = fixture.root.dir().join(format!("pods/{UID}/volume-subpaths/v/c/3"));
    symlink("a", source.host_path.join("link")).unwrap();
    symlink(source.host_path.join("a"), source.host_path.join("absolute")).unwrap();
    // Each in place of the one before: directory, file, and back.
    for path in ["a", "a/file", "a/b", "./a//b/.", "link/file", "absolute/b", "a", "."] {
        for _ in 0..2 {
            assert_eq!(prepare(&fixture, &source, path).unwrap(), target);
            assert!(same(&target, &source.host_path.join(path)), "{path}");
            assert_eq!(mounts::at_or_beneath(&target).unwrap().len(), 1, "{path}");
        }
    }
}

#[test]
fn a_missing_sub_path_is_made_with_the_mode_of_the_volume() {
    let fixture = Fixture::new();
    let source = host_volume(&fixture);
    layout::set_mode(&source.host_path, 0o2707).unwrap();
    symlink("a", source.host_path.join("link")).unwrap();
    let target = prepare(&fixture, &source, "link/new/deep").unwrap();
    assert!(same(&target, &source.host_path.join("a/new/deep")));
    assert_eq!(mode(&source.host_path.join("a/new")), 0o2707);
    assert_eq!(mode(&source.host_path.join("a/new/deep")), 0o2707);
    assert_ne!(mode(&source.host_path.join("a")), 0o2707);
}

#[test]
fn a_sub_path_that_leads_out_is_refused_and_nothing_is_made_outside() {
    let fixture = Fixture::new();
    let source = host_volume(&fixture);
    let host = fixture.host();
    for (target, link) in [("/", "root"), ("..", "up"), ("../outside", "file"), ("../missing", "dangling")] {
        symlink(target, source.host_path.join(link)).unwrap();
    }
    symlink("../..", source.host_path.join("a/b/up")).unwrap();
    symlink("loop", source.host_path.join("loop")).unwrap();
    for path in [
        "root",
        "root/etc",
        "root/new",
        "up",
        "up/outside",
        "up/new",
        "file",
        "dangling",
        "dangling/new",
        "loop",
    ] {
        let error = prepare(&fixture, &source, path).unwrap_err();
        let text = error.to_string();
        let told = ["failed to prepare subPath", "failed to create subPath directory"];
        assert!(told.iter().any(|told| text.starts_with(told)), "{path}: {text}");
        assert!(!text.contains(host.to_str().unwrap()), "the message names the host: {text}");
    }
    // Up and down again stays inside, and is fine.
    assert!(same(&prepare(&fixture, &source, "a/b/up/a").unwrap(), &source.host_path.join("a")));
    assert!(matches!(prepare(&fixture, &source, "/etc"), Err(SubPathError::Absolute(_))));
    for path in ["..", "a/../../outside", "a/.."] {
        assert!(matches!(prepare(&fixture, &source, path), Err(SubPathError::Backstep(_))), "{path}");
    }
    let mut left: Vec<_> = fs::read_dir(&host).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["outside", "volume"]);
    let error = prepare(&fixture, &source, "/etc").unwrap_err().to_string();
    assert_eq!(error, "error SubPath `/etc` must not be an absolute path");
}

#[test]
fn a_link_swapped_in_meanwhile_never_leads_out() {
    let fixture = Fixture::new();
    let source = host_volume(&fixture);
    let (dir, host) = (source.host_path.clone(), fixture.host());
    fs::create_dir_all(host.join("a/b")).unwrap();
    fs::write(host.join("a/b/outside"), "secret").unwrap();
    symlink("..", dir.join("evil")).unwrap();
    let over = Over::default();
    std::thread::scope(|scope| {
        // What a container that shares the volume can do: exchange a directory with a link, over and over.
        scope.spawn(|| {
            let volume = beneath::open_dir(&dir).unwrap();
            let exchange = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
            symlink("../a", dir.join("x")).unwrap();
            while !over.is_over() {
                nix::fcntl::renameat2(&volume, "a", &volume, "x", exchange).unwrap();
            }
        });
        let _at_end = over.at_end();
        let mut bound = 0;
        for _ in 0..1000 {
            if let Ok(target) = prepare(&fixture, &source, "a/b") {
                assert!(!target.join("outside").exists());
                bound += 1;
            }
        }
        assert!(bound > 0);
    });
}

#[test]
fn a_sub_path_of_a_config_map_is_the_file_of_that_moment() {
    let mut fixture = Fixture::new();
    let pod = pod_with(&json!({"configMap": {"name": "m"}}));
    fixture.put_config_map("m", &json!({"a": "old"}));
    let source = fixture.set_up(&pod).unwrap().sources["v"].clone();
    let target = prepare(&fixture, &source, "a").unwrap();
    fixture.put_config_map("m", &json!({"a": "new"}));
    assert_eq!(refresh(&fixture.root, &fixture.volumes(&pod)).changed, ["v"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
    assert_eq!(prepare(&fixture, &source, "a").unwrap(), target);
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    let fixture = Fixture::new();
    let source = host_volume(&fixture);
    for (container, volume) in [("../c", "v"), ("c", "..")] {
        let request =
            SubPathRequest { uid: UID, container, index: 0, volume, source: &source, sub_path: "a" };
        assert!(matches!(prepare_sub_path(&fixture.root, &request), Err(SubPathError::Name(_))));
    }
}

#[test]
fn a_volume_that_is_not_there_or_no_directory_is_an_error() {
    let fixture = Fixture::new();
    let mut source = host_volume(&fixture);
    for name in ["missing", "outside"] {
        source.host_path = fixture.host().join(name);
        assert!(matches!(prepare(&fixture, &source, "a"), Err(SubPathError::Prepare { .. })), "{name}");
    }
}
