use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn the_image_is_small_static_and_always_the_same() {
    let image = built_in_sandbox_image("registry.example/pause:1").unwrap();
    assert_eq!(image.names, ["registry.example/pause:1"]);
    assert!(image.size() < 100_000, "{} bytes", image.size());
    assert_eq!(built_in_sandbox_image("registry.example/pause:1").unwrap(), image);
    for blob in &image.blobs {
        let Source::Bytes(bytes) = &blob.source else { panic!("{blob:?}") };
        assert_eq!(Digest::of(bytes), blob.descriptor.digest);
    }
    assert!(PROGRAM.starts_with(b"\x7fELF"));
    assert!(!PROGRAM.windows(8).any(|it| it == b"ld-linux"), "it needs no loader");
}

#[test]
fn the_program_ends_when_it_is_told_to_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let program = write(dir.path());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        ends_on(Command::new(&program), signal);
    }
}

/// The first process of its own namespace takes in what others leave. Needs root; a test of a real pod does the same.
#[test]
fn the_program_leaves_no_zombies_where_it_is_the_first_process() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: a namespace of processes needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = write(dir.path());
    // The shell becomes the program and leaves it children that end later, as orphans of a container do.
    let script = format!("(sleep 0.1 & sleep 0.1 & sleep 0.1 &); exec {}", program.display());
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "sh", "-c", &script]);
    let mut parent = unshare.stdin(Stdio::null()).spawn().unwrap();
    let children = |pid: u32| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let first = || children(parent.id()).first().copied().filter(|pid| name(*pid) == "pause\n");
    let begun = Instant::now();
    while first().is_none_or(|pid| !children(pid).is_empty()) {
        assert!(begun.elapsed() < DEADLINE, "{:?} has children {:?}", first(), first().map(children));
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = parent.kill();
    let _ = parent.wait();
}

#[test]
fn the_program_is_built_for_arm64_too() {
    let (compiler, emulator) = ("aarch64-linux-gnu-gcc", "qemu-aarch64-static");
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !is_there(compiler) || !is_there(emulator) {
        eprintln!("SKIPPED: the program for arm64 needs Debian's gcc-aarch64-linux-gnu and qemu-user-static");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("pause");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/containerd/pause/pause.c");
    let flags = env!("PAUSE_FLAGS").split(' ').filter(|flag| !flag.starts_with("-fcf-"));
    let built = Command::new(compiler).args(flags).arg("-o").arg(&program).arg(source).status().unwrap();
    assert!(built.success());
    let mut command = Command::new(emulator);
    command.arg(&program);
    ends_on(command, Signal::SIGTERM);
}

fn write(dir: &Path) -> PathBuf {
    let path = dir.join("pause");
    fs::write(&path, PROGRAM).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn ends_on(mut command: Command, signal: Signal) {
    let mut child: Child = loop {
        // Another test's fork may still have the file open for writing.
        match command.stdin(Stdio::null()).spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            child => break child.unwrap(),
        }
    };
    let pid = Pid::from_raw(child.id().cast_signed());
    // It sleeps only where it waits for signals.
    let waits = |child: &Child| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        status.contains("State:\tS")
    };
    let begun = Instant::now();
    while !waits(&child) {
        assert!(begun.elapsed() < DEADLINE, "it never waits for signals");
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(pid, signal).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal}");
}
