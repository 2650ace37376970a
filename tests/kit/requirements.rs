//! What the machine must have for tests with a real containerd.

use std::path::{Path, PathBuf};

const PROGRAMS: [&str; 6] = ["containerd", "ctr", "runc", "ip", "prometheus-node-exporter", "bash"];
const CNI_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// Whether everything is there. Otherwise the test is skipped, loudly; where `CI` is set it fails.
pub(super) fn are_met() -> bool {
    let mut missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !is_there(program)).collect();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root");
    }
    if cni_directory().is_none() {
        missing.push("CNI plugins");
    }
    if missing.is_empty() {
        return true;
    }
    let message = format!("tests with a real containerd need: {}; `make test` gets it", missing.join(", "));
    assert!(std::env::var_os("CI").is_none(), "{message}");
    eprintln!("SKIPPED: {message}");
    false
}

/// Where the CNI plugins are.
pub(super) fn cni_directory() -> Option<PathBuf> {
    let told = std::env::var_os("CNI_BIN").map(PathBuf::from);
    let usual = CNI_DIRECTORIES.into_iter().map(PathBuf::from);
    told.into_iter().chain(usual).find(|directory| directory.join("bridge").exists())
}

/// The library under which a process sees a clock of the test's own. Without it, tests of the clock are skipped, loudly.
pub(crate) fn faketime_library() -> Option<PathBuf> {
    let told = std::env::var_os("FAKETIME_LIBRARY").map(PathBuf::from);
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let usual = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = told.into_iter().chain(usual).find(|library| library.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: tests of a clock that is set need libfaketime; `make test` gets it");
    }
    found
}

fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/local/sbin", "/usr/sbin", "/sbin"]).any(|directory| {
        let file = Path::new(directory).join(program);
        file.is_file()
    })
}
