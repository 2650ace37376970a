//! The Debian package: what is in it, what dpkg does with it, and what its scripts ask of systemd.
//!
//! dpkg installs it into a root of the test's own, with a shell and a few tools in it and stand-ins for what would talk to systemd. On a
//! whole machine it is `make test-vm` that installs, upgrades, removes and purges it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(unreachable_pub, reason = "the program that writes them has it, too")]
#[path = "../../systemd/documents/pages.rs"]
mod pages;
mod root;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use root::Root;

/// What a command prints; it must succeed.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What all tests of this file make packages from: the binary, stripped, and its documents.
fn ingredients() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("daemonlet");
        output(Command::new("strip").arg("-o").arg(&binary).arg(env!("CARGO_BIN_EXE_daemonlet")));
        pages::write(&directory.path().join("documents")).unwrap();
        directory
    });
    made.path()
}

fn package(version: &str, into: &Path) -> PathBuf {
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/deb/build.sh");
    let mut command = Command::new(recipe);
    command.args([ingredients().join("daemonlet"), ingredients().join("documents")]).arg(into);
    command.env("VERSION", version).env("COMPRESSION", "none").env("SOURCE_DATE_EPOCH", "1700000000");
    PathBuf::from(output(&mut command).trim())
}

fn is_there(program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap().status.success();
    if !found {
        eprintln!("SKIPPED: there is no {program}");
    }
    found
}

#[test]
fn everything_a_node_needs_is_in_it_and_nothing_that_is_not() {
    if !is_there("dpkg-deb") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let package = package("1.2.3", directory.path());
    let listing = output(Command::new("dpkg-deb").arg("--contents").arg(&package));
    let entries: Vec<(&str, &str)> = (listing.lines())
        .map(|line| (line.split(' ').next().unwrap(), line.rsplit(' ').next().unwrap()))
        .collect();
    for expected in [
        ("-rwxr-xr-x", "./usr/bin/daemonlet"),
        ("-rw-r--r--", "./usr/lib/systemd/system/daemonlet.service"),
        ("drwxr-x---", "./etc/daemonlet/"),
        ("-rw-r-----", "./etc/daemonlet/config.yaml"),
        ("-rw-r--r--", "./etc/daemonlet/node.yaml"),
        ("drwxr-x---", "./etc/daemonlet/manifests/"),
        ("-rw-r--r--", "./usr/share/man/man1/daemonlet.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/daemonlet-rollout-undo.1.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/daemonlet"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_daemonlet"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/daemonlet.fish"),
        ("-rw-r--r--", "./usr/share/doc/daemonlet/copyright"),
        ("-rw-r--r--", "./usr/share/doc/daemonlet/docs/operations.md"),
    ] {
        assert!(entries.contains(&expected), "{expected:?} is not in\n{listing}");
    }
    assert!(!listing.contains("./usr/local") && !listing.contains("./etc/systemd"), "{listing}");
    assert!(listing.lines().all(|line| line.contains(" root/root ")), "{listing}");

    let tree = directory.path().join("tree");
    output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&tree));
    let unit = fs::read_to_string(tree.join("usr/lib/systemd/system/daemonlet.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/daemonlet agent\n") && !unit.contains("/usr/local"), "{unit}");
    let conffiles = output(Command::new("dpkg-deb").arg("--info").arg(&package).arg("conffiles"));
    let below_etc = |(_, path): &(&str, &str)| path.starts_with("./etc/") && !path.ends_with('/');
    let configuration: Vec<&str> =
        entries.iter().filter(|it| below_etc(it)).map(|(_, path)| &path[1..]).collect();
    assert_eq!(
        conffiles.lines().collect::<Vec<_>>(),
        configuration,
        "every file below /etc is the administrator's"
    );
    let checked = Command::new(ingredients().join("daemonlet"))
        .args(["check-config", "--config"])
        .arg(tree.join("etc/daemonlet/config.yaml"))
        .status();
    assert!(checked.unwrap().success(), "what is shipped is a good configuration");
}

#[test]
fn it_depends_on_the_glibc_that_the_binary_asks_for_and_is_the_same_each_time() {
    if !is_there("dpkg-deb") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    let package_one = package("1.2.3", &first);
    let field = |name: &str| {
        output(Command::new("dpkg-deb").arg("--field").arg(&package_one).arg(name)).trim().to_owned()
    };
    assert_eq!((field("Package"), field("Version")), ("daemonlet".to_owned(), "1.2.3".to_owned()));
    let symbols = output(Command::new("objdump").arg("-T").arg(ingredients().join("daemonlet")));
    let versions = symbols.split("GLIBC_2.").skip(1);
    let newest: u32 = versions
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .max()
        .unwrap();
    assert!(field("Depends").contains(&format!("libc6 (>= 2.{newest})")), "{}", field("Depends"));
    assert!(newest <= 36, "Debian 12 has glibc 2.36, the binary asks for 2.{newest}");
    let package_two = package("1.2.3", &second);
    assert!(
        fs::read(&package_one).unwrap() == fs::read(package_two).unwrap(),
        "the same input, another package"
    );
    if is_there("lintian") {
        let said = output(Command::new("lintian").args(["--allow-root", "--fail-on=none"]).arg(&package_one));
        let said: Vec<&str> = said.lines().filter(|line| !line.contains("-no-compression-for-")).collect();
        assert!(said.is_empty(), "{said:#?}");
    }
}

#[test]
fn installing_starts_it_upgrading_restarts_it_and_only_a_removal_stops_it() {
    if !is_there("dpkg") || !nix::unistd::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(&directory.path().join("root"), &ingredients().join("daemonlet"));
    let (old, new) = (package("1.0", directory.path()), package("1.1", directory.path()));

    root.dpkg(&["--install"], &[&old]);
    assert_eq!(
        root.asked(),
        [
            "deb-systemd-helper unmask daemonlet.service",
            "deb-systemd-helper --quiet was-enabled daemonlet.service",
            "deb-systemd-helper enable daemonlet.service",
            "systemctl --system daemon-reload",
            "deb-systemd-invoke start daemonlet.service",
        ]
    );

    fs::write(root.path("etc/daemonlet/node.yaml"), "# mine\n").unwrap();
    root.dpkg(&["--install"], &[&new]);
    let asked = root.asked();
    assert_eq!(asked.last().map(String::as_str), Some("deb-systemd-invoke restart daemonlet.service"));
    assert!(!asked.iter().any(|line| line.contains("stop")), "{asked:?}");
    let node = fs::read_to_string(root.path("etc/daemonlet/node.yaml")).unwrap();
    assert_eq!(node, "# mine\n", "what an administrator wrote stays");

    fs::create_dir_all(root.path("var/lib/daemonlet/records")).unwrap();
    fs::write(root.path("var/lib/daemonlet/records/a.json"), "{}").unwrap();
    fs::write(root.path("etc/daemonlet/manifests/a.yaml"), "").unwrap();
    root.dpkg(&["--remove"], &["daemonlet".as_ref()]);
    assert_eq!(root.asked()[0], "deb-systemd-invoke stop daemonlet.service");
    assert!(!root.path("usr/bin/daemonlet").exists() && root.path("etc/daemonlet/config.yaml").exists());
    assert!(root.path("var/lib/daemonlet/records/a.json").exists(), "pods are on record as before");

    // The way back: what was kept for a purge is no longer needed.
    root.dpkg(&["--install"], &[&new]);
    assert!(!root.path("var/lib/daemonlet/package").exists());
    root.dpkg(&["--remove"], &["daemonlet".as_ref()]);

    fs::remove_file(root.path("var/lib/daemonlet/records/a.json")).unwrap();
    root.dpkg(&["--purge"], &["daemonlet".as_ref()]);
    assert!(!root.path("var/lib/daemonlet").exists());
    let left: Vec<_> =
        fs::read_dir(root.path("etc/daemonlet")).unwrap().flatten().map(|it| it.file_name()).collect();
    assert_eq!(left, ["manifests"], "manifests stay, configuration goes");
}

#[test]
fn a_purge_that_cannot_end_the_pods_keeps_their_state_and_says_what_to_do() {
    if !is_there("dpkg") || !nix::unistd::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(&directory.path().join("root"), &ingredients().join("daemonlet"));
    root.dpkg(&["--install"], &[&package("1.0", directory.path())]);
    root.dpkg(&["--remove"], &["daemonlet".as_ref()]);
    // Stands in for an agent whose runtime is away.
    fs::write(root.path("var/lib/daemonlet/package/daemonlet"), "#!/bin/sh\necho \"$@\" >>/asked\nexit 1\n")
        .unwrap();
    root.asked();
    let said = root.dpkg_fails(&["--purge"], &["daemonlet".as_ref()]);
    assert!(said.contains("see that containerd runs, then purge again"), "{said}");
    assert!(root.path("var/lib/daemonlet/package").exists());
    let with = "reset --config /var/lib/daemonlet/package/config.yaml --end-pods --yes";
    assert!(root.asked().contains(&with.to_owned()), "by the configuration it had");
}

#[test]
fn a_package_that_was_never_configured_takes_no_pods_state_with_it() {
    if !is_there("dpkg") || !nix::unistd::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(&directory.path().join("root"), &ingredients().join("daemonlet"));
    root.dpkg(&["--unpack"], &[&package("1.0", directory.path())]);
    let record = root.path("var/lib/daemonlet/records/a-uid.json");
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    fs::write(&record, "{}").unwrap();
    root.asked();
    let said = root.dpkg_fails(&["--purge"], &["daemonlet".as_ref()]);
    assert!(said.contains("install the package again, then purge it"), "{said}");
    assert!(record.exists());
    let stop = "deb-systemd-invoke stop daemonlet.service".to_owned();
    assert!(root.asked().contains(&stop), "no agent goes on without its program");
    fs::remove_file(record).unwrap();
    root.dpkg(&["--purge"], &["daemonlet".as_ref()]);
    assert!(!root.path("var/lib/daemonlet").exists());
}
