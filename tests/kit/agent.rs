//! The agent as a process: the built binary on a containerd of the test's own.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Api, Containerd, Slot, is_ready, pod_of, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_daemonlet");

/// What a command line has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) out: String,
    /// What it complained about.
    pub(crate) err: String,
}

/// An agent, running or ended. It ends with the test; its pods end with their containerd.
#[derive(Debug)]
pub(crate) struct Agent {
    slot: Arc<Slot>,
    process: Option<Child>,
    /// What its environment has beyond the test's.
    environment: Vec<(&'static str, String)>,
    /// Its API.
    pub(crate) api: Api,
}

impl Agent {
    /// Starts the agent on a containerd and waits until it is ready. `config` is laid over the configuration that every test has.
    pub(crate) fn start(containerd: &Containerd, config: &str) -> Self {
        let mut agent = Self::prepared(containerd, config);
        agent.launch();
        agent.wait_until_ready();
        agent
    }

    /// An agent with its configuration, not yet running.
    pub(crate) fn prepared(containerd: &Containerd, config: &str) -> Self {
        let slot = Arc::clone(containerd.slot());
        for directory in ["manifests", "config.d"] {
            fs::create_dir_all(slot.path(directory)).unwrap();
        }
        let dir = slot.dir().display();
        let text = format!(
            "nodeName: {node}
nodeFile: {dir}/node.yaml
rootDir: {dir}/state
store:
  path: {dir}/manifests
containerRuntimeEndpoint: unix://{runtime}
apiSocket: {dir}/api.sock
podLogsDir: {dir}/pod-logs
holdsDir: {dir}/holds
containerLogsDir: {dir}/container-logs
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
evictionHard:
  memory.available: 1Mi
logging:
  level: debug
  format: text
",
            node = slot.node_name(),
            runtime = containerd.socket().display(),
            cgroup = slot.cgroup(),
        );
        fs::write(slot.path("config.yaml"), text).unwrap();
        fs::write(slot.path("config.d/test.yaml"), config).unwrap();
        let api = Api::new(slot.path("api.sock"));
        Self { slot, process: None, environment: Vec::new(), api }
    }

    /// Writes what is laid over the configuration from its next start on.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.slot.path("config.d/test.yaml"), config).unwrap();
    }

    /// Gives the process a variable from its next start on.
    pub(crate) fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.environment.push((variable, value.into()));
    }

    /// Starts the process, which need not become ready.
    pub(crate) fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.slot.path("agent.log")).unwrap();
        let mut command = self.slot.command(BINARY);
        command.arg("agent").env("DAEMONLET_CONFIG", self.slot.path("config.yaml"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.process = Some(command.spawn().unwrap());
    }

    /// Waits until it is ready by its own word.
    #[track_caller]
    pub(crate) fn wait_until_ready(&mut self) {
        if let Err(error) = self.api.wait_ready() {
            panic!("{error}");
        }
    }

    /// The agent's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Kills it at whatever it is doing.
    pub(crate) fn kill9(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Tells it to end and says how it did.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM).unwrap();
        let mut status = None;
        wait_until("the agent ends", || {
            status = process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// How the process has ended by itself.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        let mut status = None;
        wait_until("the agent ends by itself", || {
            status = process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Kills it and starts it again.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.launch();
        self.wait_until_ready();
    }

    /// Runs the command line against this agent.
    pub(crate) fn cli(&self, words: &[&str]) -> Answer {
        let mut command = self.slot.command(BINARY);
        let output = command
            .args(words)
            .env("DAEMONLET_SOCKET", self.api.socket())
            .env("DAEMONLET_CONFIG", self.slot.path("config.yaml"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Answer {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs the command line, which must succeed, and gives what it prints.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let answer = self.cli(words);
        assert_eq!(answer.code, Some(0), "daemonlet {words:?}: {}{}", answer.out, answer.err);
        answer.out
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.slot.path("agent.log"))
    }

    /// Another client of the same API.
    pub(crate) fn watcher(&self) -> Api {
        Api::new(self.api.socket().to_owned())
    }

    /// The pods of a DaemonSet (`namespace/name`, or a name in `test`) once they are as wanted.
    #[track_caller]
    pub(crate) fn wait_pods(
        &self,
        daemon_set: &str,
        what: &str,
        mut judge: impl FnMut(&[Pod]) -> bool,
    ) -> Vec<Pod> {
        let waited = self.api.wait("/api/v1/pods", |objects| {
            let pods = objects.values().map(|pod| serde_json::from_value::<Pod>(pod.clone()).unwrap());
            let pods: Vec<Pod> = pods.filter(|pod| pod_of(pod, daemon_set)).collect();
            judge(&pods).then_some(pods)
        });
        expect(waited, &format!("{daemon_set}: {what}"))
    }

    /// The one pod of a DaemonSet once it is ready.
    #[track_caller]
    pub(crate) fn wait_ready(&self, daemon_set: &str) -> Pod {
        self.wait_pod(daemon_set, "one pod, and it is ready", is_ready)
    }

    /// The one pod of a DaemonSet once it is as wanted.
    #[track_caller]
    pub(crate) fn wait_pod(&self, daemon_set: &str, what: &str, mut judge: impl FnMut(&Pod) -> bool) -> Pod {
        let mut pods = self.wait_pods(daemon_set, what, |pods| pods.len() == 1 && judge(&pods[0]));
        pods.remove(0)
    }

    /// Waits until no pod of a DaemonSet is left.
    #[track_caller]
    pub(crate) fn wait_gone(&self, daemon_set: &str) {
        self.wait_pods(daemon_set, "no pod", <[Pod]>::is_empty);
    }

    /// The status of a DaemonSet (`namespace/name`, or a name in `test`) once it is as wanted.
    #[track_caller]
    pub(crate) fn wait_daemon_set(
        &self,
        daemon_set: &str,
        what: &str,
        mut judge: impl FnMut(&Value) -> bool,
    ) -> Value {
        let key = if daemon_set.contains('/') { daemon_set.to_owned() } else { format!("test/{daemon_set}") };
        let waited = self.api.wait("/apis/apps/v1/daemonsets", |objects| {
            objects.get(&key).filter(|object| judge(object)).cloned()
        });
        expect(waited, &format!("DaemonSet {key}: {what}"))
    }

    /// The first Event about an object of this name with this reason, once there is one. Names may be beginnings.
    #[track_caller]
    pub(crate) fn wait_event(
        &self,
        object: &str,
        reason: &str,
        mut judge: impl FnMut(&str) -> bool,
    ) -> Value {
        let waited = self.api.wait("/api/v1/events", |events| {
            let found = events.values().find(|event| {
                event["reason"] == reason
                    && event["involvedObject"]["name"].as_str().is_some_and(|name| name.starts_with(object))
                    && event["message"].as_str().is_some_and(&mut judge)
            });
            found.cloned()
        });
        expect(waited, &format!("an Event {reason} about {object}"))
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("the agent's last words:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[track_caller]
fn expect<T>(waited: Result<T, String>, what: &str) -> T {
    waited.unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
