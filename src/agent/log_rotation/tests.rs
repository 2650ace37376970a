use k8s_openapi::api::core::v1::PodStatus;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::*;
use crate::cri::Method;
use crate::cri::fake::{FakeOptions, FakeRuntime};
use crate::cri::proto::{
    ContainerConfig, ContainerMetadata, ImageSpec, PodSandboxConfig, PodSandboxMetadata,
};

const MIB: u64 = 1 << 20;
const BOUNDS: LogBounds = LogBounds { max_size: Some(10 * MIB), max_files: 5 };

/// A container that runs and logs, and an agent that keeps its log within bounds.
struct Bed {
    runtime: FakeRuntime,
    dir: TempDir,
    task: AbortHandle,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bed {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let runtime = FakeRuntime::start_with(&FakeOptions { log_files: true, ..FakeOptions::default() });
        let client = runtime.client();
        runtime.preload("busybox:1");
        let metadata = PodSandboxMetadata {
            name: "pod".into(),
            uid: "uid".into(),
            namespace: "ns".into(),
            ..PodSandboxMetadata::default()
        };
        let sandbox = PodSandboxConfig {
            metadata: Some(metadata),
            log_directory: dir.path().join("ns_pod_uid").display().to_string(),
            ..PodSandboxConfig::default()
        };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "main".into(), attempt: 0 }),
            image: Some(ImageSpec { image: "busybox:1".into(), ..ImageSpec::default() }),
            log_path: log_path("main", 0),
            ..ContainerConfig::default()
        };
        let id = client.run_pod_sandbox(sandbox.clone(), "").await.unwrap();
        let id = client.create_container(&id, config, sandbox).await.unwrap();
        client.start_container(&id).await.unwrap();
        let status: PodStatus = serde_json::from_value(json!({"containerStatuses": [{
            "name": "main", "containerID": format!("containerd://{id}"), "restartCount": 0, "ready": true,
            "image": "busybox:1", "imageID": "", "state": {"running": {}},
        }]}))
        .unwrap();
        let mut pod = Pod { status: Some(status), ..Pod::default() };
        pod.metadata.name = Some("pod".into());
        pod.metadata.namespace = Some("ns".into());
        pod.metadata.uid = Some("uid".into());
        let board = Arc::new(Board::new("node", Timestamp::UNIX_EPOCH));
        board.put_pod(pod);
        let task = tokio::spawn(keep_within(BOUNDS, board, client, dir.path().to_owned())).abort_handle();
        Self { runtime, dir, task }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("ns_pod_uid/main/0.log")
    }

    fn set_size(&self, size: u64) {
        fs::File::options().write(true).open(self.log()).unwrap().set_len(size).unwrap();
    }

    fn files(&self) -> usize {
        fs::read_dir(self.log().parent().unwrap()).unwrap().count()
    }

    async fn reopened(&self, times: usize) {
        let asked = self.runtime.wait_within(Duration::from_secs(120), |state| {
            state.calls.iter().filter(|call| call.method() == Method::ReopenContainerLog).count() == times
        });
        asked.await.unwrap();
        // What comes after the answer is done by the time of the next look.
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_full_is_turned_and_one_that_is_not_stays() {
    let bed = Bed::start().await;
    bed.set_size(10 * MIB - 1);
    sleep(Duration::from_secs(300)).await;
    assert_eq!((bed.runtime.count(Method::ReopenContainerLog), bed.files()), (0, 1));
    bed.set_size(10 * MIB);
    timeout(LATEST, bed.reopened(1)).await.unwrap();
    assert_eq!((fs::metadata(bed.log()).unwrap().len(), bed.files()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_the_runtime_does_not_reopen_keeps_its_name() {
    let bed = Bed::start().await;
    bed.set_size(11 * MIB);
    bed.runtime.fail(Method::ReopenContainerLog, 1, "no such process");
    bed.reopened(1).await;
    assert_eq!((fs::metadata(bed.log()).unwrap().len(), bed.files()), (11 * MIB, 1));
    bed.reopened(2).await;
    assert_eq!((fs::metadata(bed.log()).unwrap().len(), bed.files()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_removed_is_made_anew() {
    let bed = Bed::start().await;
    fs::remove_file(bed.log()).unwrap();
    bed.reopened(1).await;
    assert_eq!(fs::metadata(bed.log()).unwrap().len(), 0);
}

#[test]
fn logs_are_looked_at_the_sooner_the_faster_they_grow() {
    for (grown, left, seconds) in [
        (0, 10 * MIB, 60),
        (1000, 10 * MIB, 60),
        // Of 8 MiB that are left, 2 MiB in 20 s: half way in 40 s.
        (2 * MIB, 8 * MIB, 40),
        (5 * MIB, 5 * MIB, 10),
        (20 * MIB, 0, 10),
    ] {
        let next = next_look(grown, Duration::from_secs(20), left);
        assert_eq!(next.as_secs(), seconds, "{grown} {left}");
    }
}
