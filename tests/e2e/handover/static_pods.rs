//! A kubelet as far as static pods go: it runs what is written into its folder, when it is allowed to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use daemonlet::cri::proto::{
    ContainerConfig, ContainerMetadata, ImageSpec, PodSandboxConfig, PodSandboxMetadata, PodSandboxState,
};
use daemonlet::cri::{ClientOptions, CriClient, Endpoint};
use k8s_openapi::api::core::v1::Pod;

use crate::kit::Node;

/// How often it looks at its folder.
const PAUSE: Duration = Duration::from_millis(20);

/// A static pod when it was first seen.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its name in the file.
    pub(super) name: String,
    /// The pods that the runtime had then with a sandbox that is ready.
    pub(super) beside: Vec<String>,
}

/// Runs static pods until it is dropped.
pub(super) struct StaticPods {
    ends: Arc<AtomicBool>,
    starts: Arc<AtomicBool>,
    found: Arc<Mutex<Vec<Found>>>,
    thread: Option<JoinHandle<()>>,
}

impl StaticPods {
    /// Watches `folder`. It starts nothing before it is [allowed](Self::allow) to.
    pub(super) fn watch(node: &Node, folder: &Path) -> Self {
        let (ends, starts, found) = <(Arc<AtomicBool>, Arc<AtomicBool>, Arc<Mutex<Vec<Found>>>)>::default();
        let follower = Follower {
            folder: folder.to_owned(),
            node_name: node.slot().node_name(),
            starts: Arc::clone(&starts),
            found: Arc::clone(&found),
            started: 0,
        };
        let (socket, ended) = (node.containerd.socket(), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(follower.run(&socket, &ended));
        });
        Self { ends, starts, found, thread: Some(thread) }
    }

    /// Has it start what it has found, and will find.
    pub(super) fn allow(&self) {
        self.starts.store(true, Ordering::SeqCst);
    }

    /// What it has found so far.
    pub(super) fn found(&self) -> Vec<Found> {
        self.found.lock().unwrap().clone()
    }
}

impl Drop for StaticPods {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the kubelet's stand-in has failed");
    }
}

struct Follower {
    folder: PathBuf,
    node_name: String,
    starts: Arc<AtomicBool>,
    found: Arc<Mutex<Vec<Found>>>,
    /// How many of those found it has started.
    started: usize,
}

impl Follower {
    async fn run(mut self, socket: &Path, ends: &AtomicBool) {
        let options = ClientOptions { request_timeout: Duration::from_secs(30) };
        let cri = CriClient::connect(&Endpoint::new(socket).unwrap(), options);
        let mut pods: Vec<Pod> = Vec::new();
        while !ends.load(Ordering::SeqCst) {
            let mut files: Vec<PathBuf> =
                fs::read_dir(&self.folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
            for file in files {
                let text = fs::read_to_string(file).unwrap();
                let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
                let pod: Pod = serde_json::from_value(value).unwrap();
                if pods.iter().all(|known| known != &pod) {
                    let name = pod.metadata.name.clone().unwrap();
                    let beside = ready(&cri).await;
                    self.found.lock().unwrap().push(Found { name, beside });
                    pods.push(pod);
                }
            }
            while self.starts.load(Ordering::SeqCst) && self.started < pods.len() {
                self.start(&cri, &pods[self.started]).await;
                self.started += 1;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts a pod as a kubelet does, as far as anybody looks.
    async fn start(&self, cri: &CriClient, pod: &Pod) {
        let metadata = &pod.metadata;
        let namespace = metadata.namespace.clone().unwrap();
        let name = format!("{}-{}", metadata.name.as_deref().unwrap(), self.node_name);
        let uid = format!("static-{name}");
        let mut labels = metadata.labels.clone().unwrap_or_default();
        labels.insert("io.kubernetes.pod.uid".into(), uid.clone());
        let mut annotations = metadata.annotations.clone().unwrap_or_default();
        annotations.insert("kubernetes.io/config.source".into(), "file".into());
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata { name, uid, namespace, attempt: 0 }),
            labels: labels.clone(),
            annotations,
            ..PodSandboxConfig::default()
        };
        let sandbox = cri.run_pod_sandbox(config.clone(), "").await.unwrap();
        for container in &pod.spec.as_ref().unwrap().containers {
            let made = ContainerConfig {
                metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: 0 }),
                image: Some(ImageSpec { image: container.image.clone().unwrap(), ..ImageSpec::default() }),
                command: container.command.clone().unwrap_or_default(),
                labels: labels.clone(),
                annotations: BTreeMap::from([(
                    "io.kubernetes.pod.terminationGracePeriod".to_owned(),
                    "1".to_owned(),
                )]),
                ..ContainerConfig::default()
            };
            let id = cri.create_container(&sandbox, made, config.clone()).await.unwrap();
            cri.start_container(&id).await.unwrap();
        }
    }
}

async fn ready(cri: &CriClient) -> Vec<String> {
    let ready = PodSandboxState::SandboxReady as i32;
    let sandboxes = cri.list_pod_sandboxes(&BTreeMap::new()).await.unwrap();
    sandboxes
        .into_iter()
        .filter(|it| it.state == ready)
        .map(|sandbox| sandbox.metadata.unwrap().name)
        .collect()
}
