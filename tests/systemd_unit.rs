//! The unit that we ship, as systemd reads it.

use std::fs;
use std::process::Command;

const UNIT: &str = include_str!("../systemd/daemonlet.service");
const INSTALLED: &str = "/usr/local/bin/daemonlet";

/// The unit's settings, comments left out.
fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNIT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
}

#[test]
fn systemd_has_nothing_to_say_about_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("daemonlet.service");
    // systemd looks for the binary, which is not installed where tests run.
    fs::write(&unit, UNIT.replace(INSTALLED, env!("CARGO_BIN_EXE_daemonlet"))).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output() else {
        eprintln!("systemd-analyze is not installed: the unit was not verified");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("daemonlet")).collect();
    assert!(output.status.success() && about_us.is_empty(), "{said}");
}

#[test]
fn the_unit_stays_in_the_hosts_mount_namespace() {
    // Any of these would hide the volumes that we mount from containerd.
    let of_their_own = [
        "PrivateMounts",
        "PrivateTmp",
        "PrivateDevices",
        "ProtectSystem",
        "ProtectHome",
        "ProtectProc",
        "ProcSubset",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "InaccessiblePaths",
        "ExecPaths",
        "NoExecPaths",
        "BindPaths",
        "BindReadOnlyPaths",
        "TemporaryFileSystem",
        "RootDirectory",
        "RootImage",
        "MountImages",
        "ExtensionImages",
        "MountAPIVFS",
        "MountFlags",
        "DynamicUser",
        "PrivateIPC",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "ProtectClock",
        "LoadCredential",
        "SetCredential",
    ];
    for (setting, _) in settings() {
        assert!(!of_their_own.contains(&setting), "{setting}");
    }
}

#[test]
fn the_unit_and_the_agent_agree() {
    let value = |name| settings().find(|(setting, _)| *setting == name).map(|(_, value)| value);
    assert_eq!(value("Type"), Some("notify"));
    assert_eq!(value("NotifyAccess"), Some("main"));
    assert_eq!(value("KillMode"), Some("process"), "containers outlive the agent");
    assert_eq!(value("Restart"), Some("always"));
    assert_eq!(value("RestartPreventExitStatus"), Some("69 78"), "a kubelet, EX_CONFIG");
    assert_eq!(value("OOMScoreAdjust"), Some("-999"));
    assert_eq!(value("RuntimeDirectory"), Some("daemonlet"), "the API's socket is in /run/daemonlet");
    assert_eq!(value("StateDirectory"), Some("daemonlet"), "what must outlive us is in /var/lib/daemonlet");
}
