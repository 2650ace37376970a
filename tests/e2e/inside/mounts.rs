//! Volume mounts: propagation between host and containers, read-only mounts, and what hostPath volumes check.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Inside, sleepers};
use crate::kit::{Node, daemon_set, wait_until};

/// A tmpfs of the host, whose mounts reach others. Undone with the test.
struct Shared(PathBuf);

impl Shared {
    fn mount(dir: PathBuf) -> Self {
        fs::create_dir_all(&dir).unwrap();
        tmpfs(&dir);
        mount(None::<&str>, &dir, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
        Self(dir)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn tmpfs(dir: &Path) {
    mount(Some("test"), dir, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
}

fn is_mounted(dir: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == dir.to_str())
}

#[test]
fn mounts_travel_between_host_and_containers_as_propagation_says() {
    let Some(node) = Node::start() else { return };
    let shared = Shared::mount(node.path("shared"));
    for name in ["from-host", "from-container", "earlier"] {
        fs::create_dir(shared.0.join(name)).unwrap();
    }
    tmpfs(&shared.0.join("earlier"));
    let mounts = |more: &str| format!("volumeMounts: [{{name: shared, mountPath: /shared{more}}}]");
    let both =
        format!("securityContext: {{privileged: true}}, {}", mounts(", mountPropagation: Bidirectional"));
    let spec = sleepers(
        &format!("volumes: [{{name: shared, hostPath: {{path: {}, type: Directory}}}}]", shared.0.display()),
        &[
            ("both", both.as_str()),
            ("follows", &mounts(", mountPropagation: HostToContainer")),
            ("none", &mounts(", mountPropagation: None")),
            ("unsaid", &mounts("")),
            ("shut", &mounts(", readOnly: true")),
        ],
    );
    let app = Inside::run(&node, "app", &spec);
    for (container, tag) in [
        ("both", Some("shared:")),
        ("follows", Some("master:")),
        ("none", None),
        ("unsaid", None),
        ("shut", None),
    ] {
        let line = app.mount(container, "/shared").unwrap();
        let tags: Vec<&str> = line.split(' ').skip(6).take_while(|field| *field != "-").collect();
        assert_eq!(tags.len(), usize::from(tag.is_some()), "{container}: {line}");
        assert!(tag.is_none_or(|tag| tags[0].starts_with(tag)), "{container}: {line}");
        // What was there before comes along with any.
        assert!(app.mount(container, "/shared/earlier").is_some(), "{container}");
    }
    tmpfs(&shared.0.join("from-host"));
    app.sh("both", "mount -t tmpfs of-container /shared/from-container && touch /shared/from-container/x");
    assert!(is_mounted(&shared.0.join("from-container")));
    for (container, sees) in [("both", true), ("follows", true), ("none", false), ("unsaid", false)] {
        for point in ["/shared/from-host", "/shared/from-container"] {
            assert_eq!(app.mount(container, point).is_some(), sees, "{container} {point}");
        }
        assert_eq!(app.can(container, "test -e /shared/from-container/x"), sees, "{container}");
    }
    assert!(!app.can("shut", "touch /shared/x"));
    assert!(app.can("shut", "touch /shared/earlier/x"), "read-only is not recursive unless it is asked for");
    assert!(app.can("unsaid", "touch /shared/x"));
    // Undone by the host, a container's mount is gone for the container as well.
    umount2(&shared.0.join("from-container"), MntFlags::empty()).unwrap();
    assert_eq!(app.mount("both", "/shared/from-container"), None);
}

#[test]
fn a_host_path_must_be_what_its_type_says_and_is_mounted_once_it_is() {
    let Some(node) = Node::start() else { return };
    let dir = node.path("host");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    let refused = [
        ("absent", "Directory", "a directory"),
        ("file", "DirectoryOrCreate", "a directory"),
        ("missing", "File", "a file"),
        ("", "FileOrCreate", "a file"),
        ("socket", "Socket", "a socket file"),
        ("file", "CharDevice", "a character device"),
        ("file", "BlockDevice", "a block device"),
    ];
    let volumes = |list: &[(&str, &str)]| {
        let volume = |(index, (path, kind)): (usize, &(&str, &str))| {
            format!("- {{name: v{index}, hostPath: {{path: '{path}', type: '{kind}'}}}}\n")
        };
        let mounts: Vec<String> =
            (0..list.len()).map(|index| format!("{{name: v{index}, mountPath: /v{index}}}")).collect();
        let volumes: String = list.iter().enumerate().map(volume).collect();
        sleepers(
            &format!("volumes:\n{volumes}"),
            &[("main", &format!("volumeMounts: [{}]", mounts.join(", ")))],
        )
    };
    let below = |name: &str| dir.join(name).display().to_string();
    let paths: Vec<String> = refused.iter().map(|(name, ..)| below(name)).collect();
    let list: Vec<(&str, &str)> =
        paths.iter().zip(refused).map(|(path, (_, kind, _))| (path.as_str(), kind)).collect();
    node.apply("app.yaml", daemon_set("app", &volumes(&list)));
    for (index, (path, (_, kind, expected))) in paths.iter().zip(refused).enumerate() {
        let message = format!(
            "MountVolume.SetUp failed for volume \"v{index}\" : hostPath type check failed: {path} is not {expected}"
        );
        let event = node.agent.wait_event("app-", "FailedMount", |said| {
            said.starts_with(&format!("MountVolume.SetUp failed for volume \"v{index}\""))
        });
        assert_eq!(event["message"], message, "{kind}");
    }
    assert!(node.sandboxes().is_empty());
    assert!(!dir.join("absent").exists() && !dir.join("missing").exists(), "nothing was made");

    let _listener = UnixListener::bind(dir.join("late-socket")).unwrap();
    let (socket, made, file, late) = (below("late-socket"), below("made/here"), below("new"), below("late"));
    let fits = volumes(&[
        (&socket, "Socket"),
        ("/dev/null", "CharDevice"),
        (&made, ""),
        (&file, "FileOrCreate"),
        (&late, "Directory"),
    ]);
    node.apply("fits.yaml", daemon_set("fits", &fits));
    node.agent.wait_event("fits-", "FailedMount", |said| said.contains("v4"));
    fs::create_dir(dir.join("late")).unwrap();
    let fits = Inside::ready(&node, "fits");
    assert!(fits.can("main", "test -S /v0 && test -c /v1 && test -d /v2 && test -f /v3 && test -d /v4"));
    assert!(dir.join("made/here").is_dir() && dir.join("new").is_file());
    node.delete("fits.yaml");
    node.agent.wait_gone("fits");
    wait_until("its sandbox is gone", || node.sandboxes().is_empty());
    assert!(dir.join("made/here").is_dir() && dir.join("new").is_file(), "what is the host's stays");
}
