//! A root directory that dpkg installs into, with just enough in it for maintainer scripts to run.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::output;

/// What the scripts use beside the shell.
const TOOLS: [&str; 4] = ["sh", "cp", "install", "rm"];
/// What would talk to systemd; each notes down what it was asked and agrees.
const STAND_INS: [&str; 3] = ["deb-systemd-helper", "deb-systemd-invoke", "systemctl"];

pub(super) struct Root(PathBuf);

impl Root {
    /// `program` is what the packages hold: its libraries must be there, too.
    pub(super) fn new(path: &Path, program: &Path) -> Self {
        let root = Self(path.to_owned());
        for directory in
            ["usr/bin", "usr/lib", "usr/lib64", "dev", "run/systemd/system", "tmp", "var/lib/dpkg/updates"]
        {
            fs::create_dir_all(root.path(directory)).unwrap();
        }
        fs::create_dir_all(root.path("var/lib/dpkg/info")).unwrap();
        for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
            symlink(target, root.path(link)).unwrap();
        }
        for file in ["var/lib/dpkg/status", "var/lib/dpkg/available", "dev/null", "asked"] {
            fs::write(root.path(file), "").unwrap();
        }
        root.libraries_of(program);
        for tool in TOOLS {
            let found = output(Command::new("which").arg(tool));
            let found = fs::canonicalize(found.trim()).unwrap();
            fs::copy(&found, root.path("usr/bin").join(tool)).unwrap();
            root.libraries_of(&found);
        }
        for name in STAND_INS {
            let file = root.path("usr/bin").join(name);
            fs::write(&file, "#!/bin/sh\necho \"${0##*/} $*\" >>/asked\n").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        root
    }

    fn libraries_of(&self, program: &Path) {
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            let target = self.path(library.trim_start_matches('/'));
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(library, target).unwrap();
        }
    }

    /// A path below this root.
    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    /// What systemd was asked for since the last time.
    pub(super) fn asked(&self) -> Vec<String> {
        let lines = fs::read_to_string(self.path("asked")).unwrap().lines().map(str::to_owned).collect();
        fs::write(self.path("asked"), "").unwrap();
        lines
    }

    #[track_caller]
    pub(super) fn dpkg(&self, action: &[&str], what: &[&Path]) {
        let output = self.run(action, what);
        assert!(output.status.success(), "{}", text(&output));
    }

    #[track_caller]
    pub(super) fn dpkg_fails(&self, action: &[&str], what: &[&Path]) -> String {
        let output = self.run(action, what);
        assert!(!output.status.success(), "{}", text(&output));
        text(&output)
    }

    fn run(&self, action: &[&str], what: &[&Path]) -> Output {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", self.0.display())).arg("--force-depends,confold,bad-path,unsafe-io");
        dpkg.args(action).args(what).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
