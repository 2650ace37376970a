//! A containerd of a test's own: its state, images, network and sockets are in the test's slot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use daemonlet::cri::proto::ImageSpec;
use daemonlet::cri::{ClientOptions, CriClient, Endpoint};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Slot, images, leaks, requirements, wait_until};

/// A running containerd. When it goes, all that runs in it goes too, and what is left is a test failure.
#[derive(Debug)]
pub(crate) struct Containerd {
    slot: Arc<Slot>,
    process: Option<Child>,
    runtime: Runtime,
    cri: CriClient,
}

/// What a containerd has when it starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// Images of `examples/images.sh`.
    pub(crate) images: &'static [&'static str],
    /// What sandboxes are made from.
    pub(crate) sandbox_image: &'static str,
    /// Whether there is a network for pods. Otherwise there are no plugins either, where it looks for them.
    pub(crate) has_network: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { images: &["pause", "busybox", "fluentd"], sandbox_image: images::PAUSE, has_network: true }
    }
}

impl Containerd {
    /// Starts one, with the images pause, busybox and fluentd; nothing where this machine can't run it.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&Setup::default())
    }

    /// Starts one; nothing where this machine can't run it.
    pub(crate) fn with(setup: &Setup) -> Option<Self> {
        if !requirements::are_met() {
            return None;
        }
        let slot = Arc::new(Slot::claim());
        configure(&slot, setup);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = Endpoint::new(socket(&slot)).unwrap();
        let options = ClientOptions { request_timeout: Duration::from_secs(30) };
        let cri = {
            let _guard = runtime.enter();
            CriClient::connect(&endpoint, options)
        };
        let mut containerd = Self { slot, process: None, runtime, cri };
        containerd.launch();
        for image in setup.images {
            containerd.import(image);
        }
        Some(containerd)
    }

    /// The share of the machine that it uses.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Where its CRI listens.
    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.slot)
    }

    /// Asks the runtime itself, past the agent.
    pub(crate) fn ask<T, F: Future<Output = T>>(&self, question: impl FnOnce(CriClient) -> F) -> T {
        self.runtime.block_on(question(self.cri.clone()))
    }

    /// Puts an image of `examples/images.sh` into it.
    pub(crate) fn import(&self, name: &str) {
        self.import_file(&images::file(name));
    }

    /// Puts an image into it that is busybox with another configuration (`{"User": …}`) and with further files.
    pub(crate) fn import_busybox(&self, tag: &str, config: &Value, files: &[(&str, &str)]) {
        self.import_file(&images::busybox_with(&self.slot.path("images"), tag, config, files));
    }

    fn import_file(&self, file: &Path) {
        self.ctr(&["images", "import", &file.display().to_string()]);
        let imported = self.ctr(&["images", "list", "-q"]);
        // The CRI learns of an image by an event.
        for image in imported.lines().filter(|image| !image.starts_with("sha256:")) {
            let spec = || ImageSpec { image: image.to_owned(), ..Default::default() };
            wait_until("the CRI knows an image", || {
                self.ask(async |cri| cri.image_status(spec()).await.unwrap().is_some())
            });
        }
    }

    /// Runs `ctr` against it and gives what it prints.
    pub(crate) fn ctr(&self, words: &[&str]) -> String {
        let output = self.ctr_command(words).output().unwrap();
        assert!(output.status.success(), "ctr {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `ctr` against it, which may fail.
    pub(crate) fn try_ctr(&self, words: &[&str]) {
        let _ = self.ctr_command(words).output();
    }

    fn ctr_command(&self, words: &[&str]) -> Command {
        let mut command = self.slot.command("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(words);
        command
    }

    /// Kills it as a crash would; its shims and their containers go on.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again, after [`kill9`](Self::kill9) or instead of it.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.launch();
    }

    /// Stops it without ending it: it accepts connections and answers none.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Ends a [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            kill(Pid::from_raw(process.id().cast_signed()), signal).unwrap();
        }
    }

    fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.slot.path("containerd.log")).unwrap();
        let mut command = self.slot.command("containerd");
        command.arg("--config").arg(self.slot.path("containerd.toml"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.process = Some(command.spawn().unwrap());
        wait_until("containerd answers", || self.ask(async |cri| cri.version().await.is_ok()));
    }

    /// Ends every pod in order, so that CNI and the shims clear away what is theirs.
    fn end_pods(&mut self) -> Result<(), String> {
        self.resume();
        if self.process.as_mut().is_none_or(|process| process.try_wait().is_ok_and(|ended| ended.is_some())) {
            self.launch();
        }
        let mut ended = self.remove_sandboxes();
        for _ in 0..50 {
            if ended.is_ok() {
                break;
            }
            // A StartContainer whose caller was killed half way goes on for a while, and may leave containerd with a process that its
            // CRI knows nothing of.
            std::thread::sleep(Duration::from_millis(200));
            let tasks = self.ctr(&["tasks", "list", "-q"]);
            for task in tasks.lines() {
                self.try_ctr(&["tasks", "delete", "--force", task]);
            }
            ended = self.remove_sandboxes();
        }
        ended
    }

    fn remove_sandboxes(&self) -> Result<(), String> {
        let ended = self.ask(async |cri| {
            let ending = async {
                for sandbox in cri.list_pod_sandboxes(&BTreeMap::new()).await? {
                    let id = sandbox.id.as_str().into();
                    cri.stop_pod_sandbox(&id).await?;
                    cri.remove_pod_sandbox(&id).await?;
                }
                Ok::<_, daemonlet::cri::CriError>(())
            };
            tokio::time::timeout(Duration::from_secs(30), ending).await
        });
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("pods don't end".to_owned()),
        }
    }

    fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        if let Some(mut process) = self.process.take() {
            // What doesn't end by itself is killed with the rest.
            for _ in 0..250 {
                if process.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking();
        let ended = if is_failing { Ok(()) } else { self.end_pods() };
        self.end();
        leaks::reap(&self.slot);
        let left = leaks::find(&self.slot);
        // A second panic would end the whole test run without a word of the first.
        if !is_failing {
            assert_eq!(ended, Ok(()), "the pods of the test could not be ended");
            assert!(left.is_empty(), "left behind: {left:#?}");
        } else if !left.is_empty() {
            eprintln!("left behind: {left:#?}");
        }
    }
}

fn socket(slot: &Slot) -> PathBuf {
    slot.path("containerd.sock")
}

fn configure(slot: &Slot, setup: &Setup) {
    let dir = slot.dir().display();
    let cni = slot.path("cni");
    fs::create_dir_all(&cni).unwrap();
    let plugins = if setup.has_network {
        fs::write(cni.join("10-test.conflist"), conflist(slot)).unwrap();
        requirements::cni_directory().unwrap()
    } else {
        slot.path("cni-bin")
    };
    let config = format!(
        r#"version = 2
root = "{dir}/lib"
state = "{dir}/run"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{dir}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_tcp_service = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{dir}/runc"
"#,
        pause = setup.sandbox_image,
        plugins = plugins.display(),
        snapshotter = snapshotter(slot.dir()),
    );
    fs::write(slot.path("containerd.toml"), config).unwrap();
}

/// An overlay can't be laid over another.
fn snapshotter(directory: &Path) -> &'static str {
    let is_overlay = nix::sys::statfs::statfs(directory)
        .is_ok_and(|file_system| file_system.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC);
    if is_overlay { "native" } else { "overlayfs" }
}

/// A network of the test's own.
fn conflist(slot: &Slot) -> String {
    let dir = slot.dir().display();
    let (network, bridge, subnet) = (slot.network(), slot.bridge(), slot.subnet());
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "{network}", "plugins": [
  {{"type": "bridge", "bridge": "{bridge}", "isGateway": true,
   "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{subnet}.0/24"}}]], "dataDir": "{dir}/cni-data"}}}}]}}"#
    )
}
