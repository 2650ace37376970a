use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::cri::Method;
use crate::cri::fake::{FakeRuntime, RecordedCall, Request};
use crate::cri::proto::{
    ContainerConfig, ContainerMetadata, Image, ImageSpec, PodSandboxConfig, PodSandboxMetadata,
};

/// A disk of 100 bytes whose images are all that is on it; more than 80 are too many, 50 are few enough.
const CAPACITY: u64 = 100;
const THRESHOLDS: Thresholds =
    Thresholds { high_percent: 80, low_percent: 50, min_age: Duration::from_secs(120) };
const NAMES: [&str; 5] = ["a:1", "b:1", "c:1", "d:1", "pause:1"];
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What the disk says when images use so much of it.
type Used = fn(u64) -> io::Result<Usage>;

/// As much is used as the images are large.
const HONEST: Used = |used| Ok(Usage { capacity: CAPACITY, available: CAPACITY - used });
/// Whatever is removed.
const FULL: Used = |_| Ok(Usage { capacity: CAPACITY, available: 0 });

/// A runtime with images, and an agent that looks after them.
struct Bed {
    runtime: Arc<FakeRuntime>,
    board: Arc<Board>,
    task: JoinHandle<()>,
    /// Whether there is room, whatever else the disk says.
    has_room: Arc<AtomicBool>,
    kept: watch::Sender<Kept>,
    asked: mpsc::Sender<ImagesAsked>,
    _snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bed {
    /// The sandbox's image is pinned, and no template counts that isn't the store's.
    fn start(thresholds: Thresholds, disk: Used) -> Self {
        Self::start_with(thresholds, disk, Some(BTreeSet::new()), true)
    }

    /// Five images of 18 bytes; the sandbox's is pinned if it is to be known.
    fn start_with(thresholds: Thresholds, disk: Used, kept: Kept, pinned: bool) -> Self {
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
        let (kept, kept_seen) = watch::channel(kept);
        let (asked, asked_seen) = mpsc::channel(1);
        let (of_disk, has_room) = (Arc::clone(&runtime), Arc::new(AtomicBool::new(false)));
        let room = Arc::clone(&has_room);
        let usage = move |_: &Path| {
            let used = of_disk.read(|state| state.images.iter().map(|image| image.size).sum());
            let roomy = Usage { capacity: CAPACITY, available: CAPACITY };
            if room.load(Ordering::SeqCst) { Ok(roomy) } else { disk(used) }
        };
        let gc = ImageGc {
            thresholds,
            clock: Clock::start(),
            cri: runtime.client(),
            board: Arc::clone(&board),
            snapshots: snapshots_seen,
            kept: kept_seen,
            disk: Arc::new(usage),
            asked: asked_seen,
        };
        let task = tokio::spawn(gc.run());
        Self { runtime, board, task, has_room, kept, asked, _snapshots: snapshots }
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

    /// Shows a pod with these containers.
    fn show(&self, ids: &[&str]) {
        let container = |id: &&str| {
            json!({"name": id, "containerID": format!("containerd://{id}"), "restartCount": 0, "ready": true,
                "image": "", "imageID": ""})
        };
        let statuses: Vec<_> = ids.iter().map(container).collect();
        let pod = json!({"metadata": {"name": "pod", "namespace": "test"}, "status": {"containerStatuses": statuses}});
        self.board.put_pod(serde_json::from_value(pod).unwrap());
    }

    fn removed(&self) -> Vec<String> {
        let removed = |call: RecordedCall| match call.request {
            Request::RemoveImage(request) => Some(request.image?.image),
            _ => None,
        };
        self.runtime.calls().into_iter().filter_map(removed).collect()
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

/// The first and last use of each image was noted while there was room: what is full after a month is full of old images.
#[tokio::test(start_paused = true)]
async fn images_go_from_the_high_threshold_down_to_the_low_one_the_longest_unused_first() {
    let bed = Bed::start(THRESHOLDS, HONEST);
    bed.has_room.store(true, Ordering::SeqCst);
    let (first, _second) = (bed.use_image("a:1").await, bed.use_image("c:1").await);
    bed.show(&["first", "second"]);
    sleep(EVERY * 3 / 2).await;
    let before = bed.runtime.count(Method::ListImages);
    sleep(EVERY * 2).await;
    assert_eq!(bed.runtime.count(Method::ListImages), before, "nothing has changed");
    bed.runtime.client().remove_container(&first).await.unwrap();
    bed.show(&["second"]);
    sleep(EVERY * 2).await;
    assert_eq!(bed.runtime.count(Method::ListImages), before + 1, "a container has gone");
    sleep(HOUR * 24 * 30).await;
    let noted = bed.runtime.count(Method::ListImages);
    assert!((24 * 28..=24 * 31).contains(&noted), "once an hour: {noted}");
    bed.has_room.store(false, Ordering::SeqCst);
    sleep(EVERY).await;
    // 90 bytes down to 54 with all that was never used, then to 36 with what was used before.
    assert_eq!(bed.left(), ["c:1", "pause:1"]);
    assert_eq!(bed.removed(), ["sha256:b:1", "sha256:d:1", "sha256:a:1"]);
    sleep(EVERY * 3).await;
    assert_eq!(bed.told("FreeDiskSpaceFailed"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn images_that_are_too_young_are_waited_for_and_nobody_has_failed_before() {
    for (min_age, waits) in [(120, 120), (1, 60), (300, 300)] {
        let bed = Bed::start(Thresholds { min_age: SECOND * min_age, ..THRESHOLDS }, HONEST);
        sleep(SECOND * (waits - 1)).await;
        assert_eq!(bed.left(), NAMES, "{min_age}");
        sleep(SECOND * 2).await;
        assert_eq!(bed.left(), ["d:1", "pause:1"], "{min_age}");
        assert_eq!(bed.told("FreeDiskSpaceFailed"), [""; 0], "{min_age}");
    }
    let bed = Bed::start(Thresholds { min_age: HOUR * 24, ..THRESHOLDS }, HONEST);
    sleep(SECOND).await;
    assert_eq!(bed.told("FreeDiskSpaceFailed").len(), 1, "nothing can be done for a day");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_stays_full_is_looked_at_every_five_minutes_whatever_the_age() {
    for min_age in [0, 120] {
        let wanted = Some(NAMES.map(str::to_owned).into());
        let thresholds = Thresholds { min_age: SECOND * min_age, ..THRESHOLDS };
        let bed = Bed::start_with(thresholds, FULL, wanted, true);
        sleep(HOUR - SECOND).await;
        assert_eq!(bed.runtime.count(Method::ListImages), 12, "{min_age}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_runs_short_asks_for_all_that_may_go_and_is_no_reason_to_look_sooner() {
    let bed = Bed::start(THRESHOLDS, FULL);
    sleep(SECOND).await;
    for _ in 0..10 {
        let (asked, done) = oneshot::channel();
        bed.asked.send(asked).await.unwrap();
        assert!(done.await.is_err(), "dropped when it is done");
        assert_eq!(bed.left(), ["pause:1"], "whatever the age");
    }
    assert_eq!(bed.runtime.count(Method::ListImages), 11);
    sleep(EVERY).await;
    assert_eq!(bed.runtime.count(Method::ListImages), 12);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_or_pinned_stays_though_the_disk_is_full() {
    let bed = Bed::start(THRESHOLDS, FULL);
    for image in ["a:1", "b:1", "c:1"] {
        bed.use_image(image).await;
    }
    sleep(EVERY / 2).await;
    assert_eq!(bed.told("ImageGCFailed"), [""; 0]);
    sleep(EVERY * 4).await;
    assert_eq!(bed.left(), ["a:1", "b:1", "c:1", "pause:1"]);
    let expected =
        "Failed to garbage collect required amount of images. Attempted to free 50 bytes, but only found ";
    assert!(bed.told("FreeDiskSpaceFailed")[0].starts_with(expected));
    assert!(bed.told("ImageGCFailed")[0].starts_with(expected), "it has happened again");
}

#[tokio::test(start_paused = true)]
async fn images_of_templates_that_count_beside_the_stores_stay_and_nothing_goes_before_they_are_known() {
    let now = Thresholds { min_age: Duration::ZERO, ..THRESHOLDS };
    let bed = Bed::start_with(now, FULL, None, true);
    sleep(EVERY * 2).await;
    assert_eq!(bed.left(), NAMES);
    bed.kept.send(Some(["a:1".to_owned(), "docker.io/library/c:1".to_owned()].into())).unwrap();
    sleep(SECOND).await;
    assert_eq!(bed.left(), ["a:1", "c:1", "pause:1"]);
    bed.kept.send(Some(["a:1".to_owned()].into())).unwrap();
    sleep(EVERY).await;
    assert_eq!(bed.left(), ["a:1", "pause:1"]);
}

#[tokio::test(start_paused = true)]
async fn images_that_the_runtime_does_not_remove_are_told_of_in_its_words_once_it_happens_again() {
    let now = Thresholds { min_age: Duration::ZERO, ..THRESHOLDS };
    let bed = Bed::start(now, HONEST);
    bed.runtime.fail(Method::RemoveImage, 5, "device is busy");
    sleep(SECOND).await;
    // Three of four were removed, which is enough, and yet it has failed.
    assert_eq!((bed.removed().len(), bed.left().len()), (4, 5));
    assert_eq!(bed.told("ImageGCFailed"), [""; 0], "once may be chance");
    sleep(EVERY).await;
    assert_eq!(
        bed.told("ImageGCFailed"),
        [
            "wanted to free 40 bytes, but freed 54 bytes space with errors in image deletion: rpc error: code = Unknown desc = device is busy"
        ]
    );
    assert_eq!(bed.told("FreeDiskSpaceFailed"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_without_capacity_is_told_of_at_once() {
    let bed = Bed::start(THRESHOLDS, |_| Ok(Usage { capacity: 0, available: 0 }));
    sleep(SECOND).await;
    let expected = "invalid capacity 0 on image filesystem";
    assert_eq!(
        (bed.told("InvalidDiskCapacity"), bed.told("ImageGCFailed").len()),
        (vec![expected.to_owned()], 0)
    );
    sleep(EVERY).await;
    assert_eq!(bed.told("ImageGCFailed"), [expected]);
    assert_eq!(bed.left(), NAMES);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_the_disk_can_not_be_looked_at() {
    let bed = Bed::start(THRESHOLDS, |_| Err(io::Error::other("the disk is away")));
    sleep(EVERY / 2).await;
    assert_eq!(bed.told("ImageGCFailed"), [""; 0], "once may be chance");
    sleep(EVERY * 3).await;
    assert_eq!((bed.left(), bed.runtime.count(Method::RemoveImage)), (NAMES.map(str::to_owned).to_vec(), 0));
    let told = bed.told("ImageGCFailed");
    assert_eq!(told, ["find out how full the disk of /var/lib/fake is: the disk is away"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_the_runtime_does_not_answer_or_its_sandbox_image_is_not_known() {
    let bed = Bed::start_with(THRESHOLDS, HONEST, Some(BTreeSet::new()), false);
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
    let bed = Bed::start(THRESHOLDS, |_| Ok(Usage { capacity: CAPACITY, available: CAPACITY }));
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
