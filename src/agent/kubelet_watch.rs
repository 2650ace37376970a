//! Watches for a kubelet on the same runtime.
//!
//! Processes are looked through once a minute, and at once when a container ends: a kubelet begins with killing what it doesn't know. Pods of a
//! kubelet's are looked for when the runtime tells of a container that is not ours. Those that are there when the agent starts show nothing: a
//! kubelet that has gone leaves its pods behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::Settings;
use crate::cri::CriClient;
use crate::cri::proto::{PodSandbox, PodSandboxState};
use crate::kubelet::process::{self, Kubelet};
use crate::kubelet::{Sign, is_kubelets};
use crate::pod::MARK;

const PROC: &str = "/proc";
/// How often processes are looked through though nothing has happened.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long a kubelet must have been there to count: one without its configuration ends at once, and is started again for ever.
const CONFIRMATION: Duration = Duration::from_secs(3);
/// Not more often than this, whatever happens.
const PAUSE: Duration = Duration::from_secs(1);
/// How long pods that others make are left alone before they are looked at, and how long between two such looks.
const PODS_SETTLE: Duration = Duration::from_secs(5);

/// The main loop's end of it.
#[derive(Debug)]
pub(super) struct KubeletWatch {
    seen: watch::Receiver<Option<Sign>>,
    look: Arc<Notify>,
    look_at_pods: Arc<Notify>,
}

struct Watcher {
    socket: PathBuf,
    cri: CriClient,
    told: watch::Sender<Option<Sign>>,
    look: Arc<Notify>,
    look_at_pods: Arc<Notify>,
    /// The pods of a kubelet's that were there when the agent started.
    left_behind: Option<BTreeSet<String>>,
}

impl KubeletWatch {
    /// Watches until `shutdown`.
    pub(super) fn spawn(settings: &Settings, cri: &CriClient, shutdown: &CancellationToken) -> Self {
        let (told, seen) = watch::channel(None);
        let (look, look_at_pods) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let watcher = Watcher {
            socket: settings.container_runtime_endpoint.clone(),
            cri: cri.clone(),
            told,
            look: Arc::clone(&look),
            look_at_pods: Arc::clone(&look_at_pods),
            left_behind: None,
        };
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(watcher.run()));
        Self { seen, look, look_at_pods }
    }

    /// Sees nothing.
    pub(super) fn off() -> Self {
        let (_, seen) = watch::channel(None);
        Self { seen, look: Arc::default(), look_at_pods: Arc::default() }
    }

    /// Has processes looked through now.
    pub(super) fn look(&self) {
        self.look.notify_one();
    }

    /// Has pods looked at soon.
    pub(super) fn look_at_pods(&self) {
        self.look_at_pods.notify_one();
    }

    /// Waits until there is a kubelet. Safe to drop and await again.
    pub(super) async fn seen(&mut self) -> Sign {
        if let Ok(sign) = self.seen.wait_for(Option::is_some).await
            && let Some(sign) = sign.clone()
        {
            return sign;
        }
        std::future::pending().await
    }
}

impl Watcher {
    async fn run(mut self) {
        self.find_pods().await;
        let mut pods_due = None;
        loop {
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = self.look.notified() => {}
                () = self.look_at_pods.notified(), if pods_due.is_none() => {
                    pods_due = Some(Instant::now() + PODS_SETTLE);
                    continue;
                }
                () = sleep_until(pods_due) => {
                    pods_due = None;
                    if let Some(pod) = self.find_pods().await {
                        self.told.send_replace(Some(Sign::Pod { pod }));
                    }
                    continue;
                }
            }
            if let Some(kubelet) = confirmed(&self.socket).await {
                self.told.send_replace(Some(Sign::Process(kubelet)));
            }
            sleep(PAUSE).await;
        }
    }

    /// Looks for a kubelet's pod that was not there when the agent started.
    async fn find_pods(&mut self) -> Option<String> {
        let sandboxes = match self.cri.list_pod_sandboxes(&std::collections::BTreeMap::new()).await {
            Ok(sandboxes) => sandboxes,
            Err(problem) => {
                debug!(%problem, "cannot look for a kubelet's pods");
                return None;
            }
        };
        let of_a_kubelet = |sandbox: &&PodSandbox| {
            let annotation = |key: &str| sandbox.annotations.get(key).map(String::as_str);
            is_kubelets(|label| sandbox.labels.contains_key(label), annotation, MARK)
        };
        let theirs = sandboxes.iter().filter(of_a_kubelet);
        let Some(left_behind) = &self.left_behind else {
            let left_behind: BTreeSet<String> = theirs.map(|sandbox| sandbox.id.clone()).collect();
            if !left_behind.is_empty() {
                warn!(pods = left_behind.len(), "the runtime has pods of a kubelet's; they are left alone");
            }
            self.left_behind = Some(left_behind);
            return None;
        };
        let ready = PodSandboxState::SandboxReady as i32;
        let mut new = theirs.filter(|sandbox| sandbox.state == ready && !left_behind.contains(&sandbox.id));
        let metadata = new.next()?.metadata.as_ref()?;
        Some(format!("{}/{}", metadata.namespace, metadata.name))
    }
}

/// The kubelet that uses the runtime on `socket`, if it stays for long enough to be one that works.
pub(super) async fn confirmed(socket: &Path) -> Option<Kubelet> {
    let first = present(socket).await?;
    sleep(CONFIRMATION).await;
    present(socket).await.filter(|kubelet| kubelet.pid == first.pid)
}

/// The kubelet that uses the runtime on `socket` now.
pub(super) async fn present(socket: &Path) -> Option<Kubelet> {
    let socket = socket.to_owned();
    spawn_blocking(move || process::find(Path::new(PROC), &socket)).await.ok().flatten()
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
