//! What a control plane is built upon, before there is one: the example of a three-member etcd, as a user would run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn three_nodes_bring_up_an_etcd_and_one_that_was_cut_off_finds_its_data_again() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:{}", target.join("tools/usr/bin").display());
    let is_there =
        |program: &str| path.split(':').any(|folder| PathBuf::from(folder).join(program).is_file());
    let missing: Vec<&str> = ["containerd", "runc", "ip", "nsenter", "etcd", "etcdctl"]
        .into_iter()
        .filter(|it| !is_there(it))
        .collect();
    if !missing.is_empty() || !nix::unistd::geteuid().is_root() {
        let message =
            format!("the etcd example needs root, and: {}; `make test` gets it", missing.join(", "));
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("SKIPPED: {message}");
        return;
    }
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/etcd/run.sh"))
        .env("PATH", path)
        .env("DEMO_BINARY", env!("CARGO_BIN_EXE_daemonlet"))
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complaint}");
    for expected in [
        "does not run on node node-1",
        "during\nthe cut",
        "== Done: three members, no control plane, no key lost",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
}
