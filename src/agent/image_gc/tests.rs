use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::cri::Method;
use crate::cri::fake::FakeRuntime;
use crate::cri::proto::{
    ContainerConfig, ContainerMetadata, Image, ImageSpec, PodSandboxConfig, PodSandboxMetadata,
};

/// A disk of 100 bytes whose images are all that is on it; more than 80 are too many, 50 are few enough.
const CAPACITY: u64 = 100;
const THRESHOLDS: Thresholds =
    Thresholds { high_percent: 80, low_percent: 50, min_age: Duration::from_secs(120) };
const NAMES: [&str; 5] = ["a:1", "b:1", "c:1", "d:1", "pause:1"];

/// A runtime with images, and an agent that looks after them.
struct Bed {
    runtime: Arc<FakeRuntime>,
    board: Arc<Board>,
    task: JoinHandle<()>,
    asked: mpsc::Sender<ImagesAsked>,
    _snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bed {
    /// Five images of 18 bytes; the sandbox's is pinned if it is to be known.
    fn start(pinned: bool, disk: impl Fn(u64) -> io::Result<u64> + Send + Sync + 'static) -> Self {
        let runtime = Arc::new(FakeRuntime::start());
        for name in NAMES {
            runtime.add_image(Image {
                id: format!("sha256:{name}"),
                repo_tags: vec![format!("docker.io/library/{name}")],
                size: 18,
                pinned: pinned && name == "pause:1",
                ..Image::default()
            });
        }
        let board = Arc::new(Board::new("node", Timestamp::UNIX_EPOCH));
        let mut node = Node::default();
        node.metadata.name = Some("node".to_owned());
        board.put_node(node);
        let snapshot = Snapshot { freshness: Freshness::Current, ..Snapshot::default() };
        let (snapshots, snapshots_seen) = watch::channel(Arc::new(snapshot));
        let (asked, asked_seen) = mpsc::channel(1);
        let of_disk = Arc::clone(&runtime);
        let usage = move |_: &Path| {
            let used = of_disk.read(|state| state.images.iter().map(|image| image.size).sum());
            Ok(Usage { capacity: CAPACITY, available: CAPACITY - disk(used)? })
        };
        let gc = ImageGc {
            thresholds: THRESHOLDS,
            clock: Clock::start(),
            cri: runtime.client(),
            board: Arc::clone(&board),
            snapshots: snapshots_seen,
            disk: Arc::new(usage),
            asked: asked_seen,
        };
        Self { runtime, board, task: tokio::spawn(gc.run()), asked, _snapshots: snapshots }
    }

    /// Has a container made from an image.
    async fn use_image(&self, image: &str) -> crate::cri::ContainerId {
        let client = self.runtime.client();
        let metadata = PodSandboxMetadata { name: "pod".into(), uid: image.into(), ..Default::default() };
        let sandbox = PodSandboxConfig { metadata: Some(metadata), ..PodSandboxConfig::default() };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "main".into(), attempt: 0 }),
            image: Some(ImageSpec { image: format!("sha256:{image}"), ..ImageSpec::default() }),
            ..ContainerConfig::default()
        };
        let id = client.run_pod_sandbox(sandbox.clone(), "").await.unwrap();
        client.create_container(&id, config, sandbox).await.unwrap()
    }

    fn left(&self) -> Vec<String> {
        let strip = |image: &Image| image.id.trim_start_matches("sha256:").to_owned();
        let mut left: Vec<String> = self.runtime.read(|state| state.images.iter().map(strip).collect());
        left.sort();
        left
    }

    fn told(&self, reason: &str) -> Vec<String> {
        let events = self.board.events();
        let those = events.iter().filter(|event| event.reason.as_deref() == Some(reason));
        those.filter_map(|event| event.message.clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn images_go_from_the_high_threshold_down_to_the_low_one_the_longest_unused_first() {
    let bed = Bed::start(true, Ok);
    let (first, _second) = (bed.use_image("a:1").await, bed.use_image("c:1").await);
    // Seen now for the first time: all are too young.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.left(), NAMES);
    bed.runtime.client().remove_container(&first).await.unwrap();
    sleep(THRESHOLDS.min_age + Duration::from_secs(1)).await;
    // 90 bytes down to 54 with all that was never used, then to 36 with what was used before.
    assert_eq!(bed.left(), ["c:1", "pause:1"]);
    assert_eq!(bed.runtime.count(Method::RemoveImage), 3);
    let order: Vec<String> = bed
        .runtime
        .calls()
        .into_iter()
        .filter_map(|call| match call.request {
            crate::cri::fake::Request::RemoveImage(request) => Some(request.image?.image),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["sha256:b:1", "sha256:d:1", "sha256:a:1"]);
    sleep(EVERY * 3).await;
    assert_eq!(bed.runtime.count(Method::ListImages), 2, "nobody is asked while there is room");
    assert_eq!(bed.told("FreeDiskSpaceFailed").len(), 1, "when all were too young");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_or_pinned_stays_though_the_disk_is_full() {
    let bed = Bed::start(true, |_| Ok(CAPACITY));
    for image in ["a:1", "b:1", "c:1"] {
        bed.use_image(image).await;
    }
    sleep(EVERY * 4).await;
    assert_eq!(bed.left(), ["a:1", "b:1", "c:1", "pause:1"]);
    assert!(bed.told("FreeDiskSpaceFailed")[0].contains("Attempted to free 50 bytes"));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_the_disk_can_not_be_looked_at() {
    let bed = Bed::start(true, |_| Err(io::Error::other("the disk is away")));
    sleep(EVERY / 2).await;
    assert_eq!(bed.told("ImageGCFailed"), [""; 0], "once may be chance");
    sleep(EVERY * 3).await;
    assert_eq!((bed.left(), bed.runtime.count(Method::RemoveImage)), (NAMES.map(str::to_owned).to_vec(), 0));
    let told = bed.told("ImageGCFailed");
    assert_eq!(told, ["find out how full the disk of /var/lib/fake is: the disk is away"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_the_runtime_does_not_answer_or_its_sandbox_image_is_not_known() {
    let bed = Bed::start(false, Ok);
    bed.runtime.fail(Method::ImageFsInfo, 3, "no statistics yet");
    sleep(EVERY * 5 / 2).await;
    assert!(bed.told("ImageGCFailed")[0].contains("no statistics yet"));
    sleep(EVERY * 4).await;
    let told = bed.told("ImageGCFailed");
    assert!(told.iter().any(|message| message.contains("neither names nor pins")), "{told:?}");
    assert_eq!((bed.left(), bed.runtime.count(Method::RemoveImage)), (NAMES.map(str::to_owned).to_vec(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_runs_short_has_all_images_removed_but_only_while_it_waits_for_it() {
    let bed = Bed::start(true, |_| Ok(0));
    let (asked, given_up) = oneshot::channel();
    drop(given_up);
    bed.asked.send(asked).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.left(), NAMES);
    let (asked, done) = oneshot::channel();
    bed.asked.send(asked).await.unwrap();
    done.await.unwrap_err();
    assert_eq!(bed.left(), ["pause:1"]);
}
