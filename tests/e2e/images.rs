//! Images without a registry: archives on the node.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::Pod;
use ruzstd::encoding::CompressionLevel;
use serde_json::{Value, json};

use crate::kit::{Node, Setup, busybox_with, daemon_set, image_file, wait_until};

const SETUP: Setup =
    Setup { images: &["pause"], sandbox_image: "localhost/daemonlet/pause:1", has_network: true };
const BUSYBOX: &str = "docker.io/library/busybox:1";
/// Nobody listens at this port, so a pull fails at once.
const LATE: &str = "127.0.0.1:1/nobody/late:1";

fn spec(image: &str, policy: &str) -> String {
    format!(
        "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: {image}
  imagePullPolicy: {policy}
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep 2147483647 & wait']
"
    )
}

#[test]
fn archives_are_imported_before_anything_is_pulled_and_give_back_what_went_missing() {
    let Some(mut node) = Node::with(&SETUP, "") else { return };
    let folder = node.path("state/images");
    fs::create_dir_all(&folder).unwrap();
    lay(&gzip(&image_file("busybox")), &folder.join("busybox.tar.gz"));
    node.apply("app.yaml", daemon_set("app", &spec("busybox:1", "IfNotPresent")));
    node.agent.launch();
    node.agent.wait_until_ready();
    node.agent.wait_event(&node.slot().node_name(), "ImageArchiveImported", |it| it.contains(BUSYBOX));
    let pod = node.agent.wait_ready("app");
    assert!(is_pinned(&node, BUSYBOX));
    assert!(!was_pulled(&node), "no registry was asked");

    // It goes, and the next pod has it all the same.
    let refusal = node.agent.cli(&["image", "rm", "busybox:1"]);
    assert!(refusal.err.contains("a container was made from busybox:1"), "{}", refusal.err);
    node.agent.says(&["image", "rm", "--force", "busybox:1"]);
    assert!(!node.agent.says(&["image", "ls"]).contains(BUSYBOX));
    node.kill(&pod, "main");
    node.agent.wait_pod("app", "restarted", |pod| restarts(pod) == 1 && crate::kit::is_ready(pod));
    assert!(is_pinned(&node, BUSYBOX));
    assert!(!was_pulled(&node), "no registry was asked");

    // Once is enough; and what lies there no more is pinned no more.
    let imports = || node.agent.log().matches("image archive imported").count();
    assert_eq!(imports(), 2);
    node.agent.kill9();
    node.agent.launch();
    node.agent.wait_until_ready();
    fs::remove_file(folder.join("busybox.tar.gz")).unwrap();
    wait_until("the image is unpinned", || !is_pinned(&node, BUSYBOX));
    assert_eq!(node.agent.log().matches("image archive imported").count(), 2);
    assert!(node.agent.says(&["image", "ls"]).contains(BUSYBOX), "it is still there");
}

#[test]
fn an_archive_that_comes_later_counts_once_it_is_whole_and_a_bad_one_hurts_no_other() {
    let Some(mut node) = Node::with(&SETUP, "") else { return };
    let folder = node.path("state/images");
    node.apply("late.yaml", daemon_set("late", &spec(LATE, "Always")));
    node.agent.launch();
    node.agent.wait_until_ready();
    node.agent.wait_event("late-", "Failed", |message| message.contains("Failed to pull image"));

    fs::write(folder.join("bad.tar"), "this is no archive").unwrap();
    let name = node.slot().node_name();
    node.agent.wait_event(&name, "ImageArchiveRefused", |message| message.contains("bad.tar"));

    let made = busybox_with(&node.path("made"), LATE, &json!({"Env": ["PATH=/bin"]}), &[("mark", "late")]);
    let bytes = fs::read(made).unwrap();
    let mut file = File::create(folder.join("late.tar")).unwrap();
    file.write_all(&bytes[..bytes.len() / 2]).unwrap();
    file.sync_all().unwrap();
    // Something else happens in the folder meanwhile, and is looked at.
    fs::write(folder.join("worse.tar"), "neither is this").unwrap();
    node.agent.wait_event(&name, "ImageArchiveRefused", |message| message.contains("worse.tar"));
    file.write_all(&bytes[bytes.len() / 2..]).unwrap();
    drop(file);

    node.agent.wait_event(&name, "ImageArchiveImported", |message| message.contains(LATE));
    let refused =
        node.agent.log().lines().filter(|it| it.contains("not imported") && it.contains("late")).count();
    assert_eq!(refused, 0, "half of it is nothing to complain of");
    // Always asks the registry, and where there is none the archive counts.
    let pod = node.agent.wait_ready("late");
    assert_eq!(node.exec(&pod, "main", &["cat", "/mark"]), "late");
    node.agent.wait_event("late-", "Pulled", |message| message.contains("an archive of this node has"));
}

#[test]
fn a_pod_that_waits_for_its_image_has_it_as_soon_as_an_archive_brings_it() {
    let Some(mut node) = Node::with(&SETUP, "") else { return };
    node.apply("late.yaml", daemon_set("late", &spec(LATE, "Always")));
    node.agent.launch();
    node.agent.wait_until_ready();
    // The second try has failed, too: the next is 20 s away.
    let twice = |event: &Value| {
        let is_it = event["message"].as_str().is_some_and(|it| it.contains("Failed to pull image"));
        is_it && event["count"].as_i64() >= Some(2)
    };
    let waited = node.agent.api.wait("/api/v1/events", |events| events.values().any(twice).then_some(()));
    waited.unwrap();
    let made = busybox_with(&node.path("made"), LATE, &json!({"Env": ["PATH=/bin"]}), &[("mark", "late")]);
    lay(&fs::read(made).unwrap(), &node.path("state/images/late.tar"));
    let name = node.slot().node_name();
    node.agent.wait_event(&name, "ImageArchiveImported", |message| message.contains(LATE));
    let imported = Instant::now();
    node.agent.wait_ready("late");
    assert!(imported.elapsed() < Duration::from_secs(10), "{:?}", imported.elapsed());
}

#[test]
fn a_full_disk_takes_no_image_that_an_archive_has_given() {
    // Older runtimes say of no image that it is pinned.
    let config = "imageGCHighThresholdPercent: 1\nimageGCLowThresholdPercent: 0\nimageMinimumGCAge: 0s\n";
    let Some(mut node) = Node::with(&SETUP, config) else { return };
    let folder = node.path("state/images");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(image_file("busybox"), folder.join("busybox.tar")).unwrap();
    node.agent.launch();
    node.agent.wait_until_ready();
    wait_until("the image is there", || is_pinned(&node, BUSYBOX));
    node.agent.kill9();
    node.containerd.import_busybox("unwanted:1", &json!({}), &[("mark", "unwanted")]);
    node.agent.launch();
    node.agent.wait_until_ready();
    let listed = || node.agent.says(&["image", "ls"]);
    wait_until("what nobody needs has gone", || !listed().contains("docker.io/library/unwanted:1"));
    assert!(listed().contains(BUSYBOX), "{}", listed());
}

#[test]
fn an_image_that_has_taken_the_name_of_an_archives_since_is_left_alone() {
    let Some(mut node) = Node::with(&SETUP, "imageGCHighThresholdPercent: 100\n") else { return };
    let folder = node.path("state/images");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(image_file("busybox"), folder.join("busybox.tar")).unwrap();
    node.agent.launch();
    node.agent.wait_until_ready();
    wait_until("the image is there", || is_pinned(&node, BUSYBOX));
    let before = digest_of(&node, BUSYBOX);
    node.containerd.import_busybox(BUSYBOX, &json!({}), &[("mark", "newer")]);
    let newer = digest_of(&node, BUSYBOX);
    assert_ne!(newer, before);
    node.agent.restart();
    // Another archive is imported, so the folder has been looked at.
    let made = busybox_with(&node.path("made"), LATE, &json!({}), &[("mark", "late")]);
    fs::copy(made, folder.join("late.tar")).unwrap();
    wait_until("the other image is there", || is_pinned(&node, LATE));
    assert_eq!(digest_of(&node, BUSYBOX), newer);
}

#[test]
fn of_two_archives_with_one_name_the_newer_counts_also_when_the_image_was_lost() {
    let Some(mut node) = Node::with(&SETUP, "imageGCHighThresholdPercent: 100\n") else { return };
    let folder = node.path("state/images");
    fs::create_dir_all(&folder).unwrap();
    let bytes = |word: &str| {
        let made = busybox_with(&node.path(word), BUSYBOX, &json!({"Env": ["PATH=/bin"]}), &[("mark", word)]);
        fs::read(made).unwrap()
    };
    let (older, newer) = (bytes("older"), bytes("newer"));
    lay(&older, &folder.join("z.tar"));
    node.agent.launch();
    node.agent.wait_until_ready();
    wait_until("the image is there", || is_pinned(&node, BUSYBOX));
    let of_older = digest_of(&node, BUSYBOX);
    lay(&newer, &folder.join("a.tar"));
    wait_until("the newer one has the name", || digest_of(&node, BUSYBOX) != of_older);
    let of_newer = digest_of(&node, BUSYBOX);

    // Lost while the agent was off, both archives are imported again.
    node.agent.kill9();
    node.containerd.ctr(&["images", "rm", BUSYBOX]);
    node.agent.launch();
    node.agent.wait_until_ready();
    node.apply("app.yaml", daemon_set("app", &spec("busybox:1", "IfNotPresent")));
    let pod = node.agent.wait_ready("app");
    assert_eq!(node.exec(&pod, "main", &["cat", "/mark"]), "newer");
    assert_eq!(digest_of(&node, BUSYBOX), of_newer);
    // Lost while it runs, the one that has it is asked.
    node.agent.says(&["image", "rm", "--force", "busybox:1"]);
    node.kill(&pod, "main");
    node.agent.wait_pod("app", "restarted", |pod| restarts(pod) == 1 && crate::kit::is_ready(pod));
    assert_eq!(digest_of(&node, BUSYBOX), of_newer);
}

#[test]
fn what_an_archive_gave_that_went_while_the_agent_was_off_is_unpinned_also_if_some_of_it_was_lost() {
    const OTHER: &str = "r.example/other:1";
    let Some(mut node) = Node::with(&SETUP, "imageGCHighThresholdPercent: 100\n") else { return };
    let folder = node.path("state/images");
    fs::create_dir_all(&folder).unwrap();
    node.containerd.import_busybox(BUSYBOX, &json!({}), &[("mark", "one")]);
    node.containerd.import_busybox(OTHER, &json!({}), &[("mark", "other")]);
    let both = folder.join("both.tar");
    node.containerd.ctr(&["images", "export", &both.display().to_string(), BUSYBOX, OTHER]);
    node.agent.launch();
    node.agent.wait_until_ready();
    wait_until("the images are there", || is_pinned(&node, BUSYBOX) && is_pinned(&node, OTHER));
    node.agent.kill9();
    fs::remove_file(&both).unwrap();
    node.containerd.ctr(&["images", "rm", OTHER]);
    node.agent.launch();
    node.agent.wait_until_ready();
    wait_until("what is left is unpinned", || !is_pinned(&node, BUSYBOX));
}

#[test]
fn another_folder_in_the_place_of_the_archives_is_seen_and_a_bad_entry_hurts_no_other() {
    let Some(mut node) = Node::with(&SETUP, "imageGCHighThresholdPercent: 100\n") else { return };
    let folder = node.path("state/images");
    node.agent.launch();
    node.agent.wait_until_ready();
    fs::rename(&folder, node.path("state/old")).unwrap();
    fs::create_dir(&folder).unwrap();
    symlink("loop.tar", folder.join("loop.tar")).unwrap();
    let made = busybox_with(&node.path("made"), LATE, &json!({}), &[("mark", "late")]);
    let bytes = fs::read(made).unwrap();
    lay(&bytes, &folder.join("late.tar"));
    wait_until("the image is there", || is_pinned(&node, LATE));
    fs::rename(&folder, node.path("state/older")).unwrap();
    fs::create_dir(&folder).unwrap();
    wait_until("it is empty", || !is_pinned(&node, LATE));
    lay(&bytes, &folder.join("late.tar"));
    wait_until("the image is there again", || is_pinned(&node, LATE));
}

#[test]
fn the_command_line_imports_lists_and_removes() {
    let Some(node) = Node::start() else { return };
    // As an OCI layout, with the digest that a registry would have given.
    let layout = node.path("busybox.oci.tar");
    node.containerd.ctr(&["images", "export", &layout.display().to_string(), BUSYBOX]);
    let compressed = node.path("busybox.tar.zst");
    lay(&zstd(&layout), &compressed);
    node.agent.says(&["image", "rm", "busybox:1"]);
    let missing = node.agent.cli(&["image", "rm", "busybox:1"]);
    assert_eq!(missing.code, Some(1), "{}", missing.err);

    let bad = node.path("bad.tar");
    fs::write(&bad, &fs::read(&layout).unwrap()[..10_000]).unwrap();
    let answer =
        node.agent.cli(&["image", "import", &bad.display().to_string(), &compressed.display().to_string()]);
    assert_eq!(answer.code, Some(1), "{}", answer.out);
    assert!(answer.err.contains("bad.tar"), "{}", answer.err);
    assert!(answer.out.contains(&format!("{BUSYBOX} imported (")), "{} {}", answer.out, answer.err);
    let list = node.agent.says(&["image", "ls"]);
    let line = list.lines().find(|line| line.starts_with(BUSYBOX)).unwrap();
    assert!(line.ends_with("yes"), "{line}");

    // A manifest may name it by its digest.
    let digest = digest_of(&node, BUSYBOX);
    let by_digest = spec(&format!("busybox@{digest}"), "Never");
    node.apply("app.yaml", daemon_set("app", &by_digest));
    node.agent.wait_ready("app");
}

/// Lays an archive where it is wanted, whole from the first moment.
fn lay(bytes: &[u8], to: &Path) {
    let part = to.with_extension("part");
    fs::write(&part, bytes).unwrap();
    fs::rename(part, to).unwrap();
}

fn gzip(from: &Path) -> Vec<u8> {
    let mut compressor = GzEncoder::new(Vec::new(), Compression::fast());
    compressor.write_all(&fs::read(from).unwrap()).unwrap();
    compressor.finish().unwrap()
}

fn zstd(from: &Path) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(fs::read(from).unwrap().as_slice(), CompressionLevel::Fastest)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
    statuses.first().map_or(0, |status| status.restart_count)
}

fn is_pinned(node: &Node, name: &str) -> bool {
    let list = node.containerd.ctr(&["images", "list"]);
    let line = list.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.is_some_and(|line| line.contains("io.cri-containerd.pinned=pinned"))
}

pub(crate) fn digest_of(node: &Node, name: &str) -> String {
    let list = node.containerd.ctr(&["images", "list"]);
    let line = list.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.split_whitespace().nth(2).unwrap().to_owned()
}

fn was_pulled(node: &Node) -> bool {
    let (_, events) = node.agent.api.get("/api/v1/events").unwrap();
    let events: Value = serde_json::from_str(&events).unwrap();
    events["items"].as_array().unwrap().iter().any(|event| event["reason"] == "Pulling")
}
