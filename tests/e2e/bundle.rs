//! A whole site in one file.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use minisign::KeyPair;
use serde_json::{Value, json};

use crate::images::digest_of;
use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

const BUSYBOX: &str = "docker.io/library/busybox:1";

pub(crate) fn spec(word: &str) -> String {
    format!(
        "
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  env: [{{name: WORD, value: {word}}}]
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep 2147483647 & wait']
"
    )
}

/// Packs a site whose one DaemonSet says this word.
pub(crate) fn pack(node: &Node, serial: u32, word: &str) -> PathBuf {
    let dir = node.path(&format!("site-{serial}"));
    fs::create_dir_all(dir.join("apps")).unwrap();
    fs::write(dir.join("apps/app.yaml"), daemon_set("app", &spec(word))).unwrap();
    let bundle = node.path(&format!("{serial}.bundle"));
    let words =
        ["bundle", "create", "-f", &shown(&dir), "-o", &shown(&bundle), "--serial", &serial.to_string()];
    let said = node.agent.says(&words);
    assert!(said.contains(&format!("serial {serial}, 1 manifests, 1 images")), "{said}");
    bundle
}

#[test]
fn a_site_is_packed_and_applied_and_taken_back() {
    let Some(node) = Node::start() else { return };
    let (fifth, sixth) = (pack(&node, 5, "five"), pack(&node, 6, "six"));
    let shows = node.agent.says(&["bundle", "inspect", &shown(&sixth)]);
    for part in ["Serial:     6", "  apps/app.yaml (", BUSYBOX, "linux/"] {
        assert!(shows.contains(part), "{shows}");
    }

    // On a node that has neither manifests nor images.
    node.agent.says(&["image", "rm", "busybox:1"]);
    node.agent.says(&["bundle", "apply", &shown(&fifth)]);
    wait_word(&node, "five");
    assert!(
        node.agent.says(&["image", "ls"]).lines().any(|it| it.starts_with(BUSYBOX) && it.ends_with("yes"))
    );
    node.agent.says(&["bundle", "apply", &shown(&sixth)]);
    let pod = wait_word(&node, "six");

    // What is older or altered changes nothing.
    let older = node.agent.cli(&["bundle", "apply", &shown(&fifth)]);
    assert_eq!(older.code, Some(1));
    assert!(older.err.contains("its serial number 5 is lower than 6"), "{}", older.err);
    let altered = altered(&sixth);
    for verb in ["inspect", "apply"] {
        let refused = node.agent.cli(&["bundle", verb, &shown(&altered)]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.err.contains("it was altered or is incomplete"), "{}", refused.err);
    }
    node.agent.says(&["bundle", "apply", &shown(&sixth)]);
    let same = node.agent.wait_ready("app");
    assert_eq!(container_ids(&same), container_ids(&pod));

    assert!(node.agent.says(&["bundle", "rollback"]).contains("bundle 5 is back"));
    wait_word(&node, "five");
    assert_eq!(node.agent.cli(&["bundle", "apply", &shown(&fifth)]).code, Some(1), "the number stays");
    node.agent.says(&["bundle", "apply", "--allow-older", &shown(&fifth)]);
}

#[test]
fn with_a_trust_file_only_signed_bundles_count_and_the_last_good_one_goes_on() {
    let Some(node) = Node::start() else { return };
    let key = KeyPair::generate_unencrypted_keypair().unwrap();
    fs::write(node.path("trust.pub"), key.pk.to_box().unwrap().to_string()).unwrap();
    node.agent.configure(&format!("trustFile: {}\n", shown(&node.path("trust.pub"))));
    let (first, second) = (pack(&node, 1, "one"), pack(&node, 2, "two"));
    let refused = node.agent.cli(&["bundle", "apply", &shown(&first)]);
    assert!(refused.err.contains("it is not signed"), "{}", refused.err);

    sign(&key, &first);
    node.agent.says(&["bundle", "apply", &shown(&first)]);
    let pod = wait_word(&node, "one");
    sign(&KeyPair::generate_unencrypted_keypair().unwrap(), &second);
    let refused = node.agent.cli(&["bundle", "apply", &shown(&second)]);
    assert!(
        refused.err.contains("it is signed with a key that the trust file does not have"),
        "{}",
        refused.err
    );
    // A bundle in itself, but not the one that was signed.
    fs::copy(signature_of(&first), signature_of(&second)).unwrap();
    let refused = node.agent.cli(&["bundle", "apply", &shown(&second)]);
    assert!(refused.err.contains("it was altered after it was signed"), "{}", refused.err);
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod));
    sign(&key, &second);
    assert!(node.agent.says(&["bundle", "inspect", &shown(&second)]).contains("Signature:  good"));
    node.agent.says(&["bundle", "apply", &shown(&second)]);
    wait_word(&node, "two");
}

#[test]
fn an_image_that_only_a_bundle_gave_comes_back_by_itself() {
    let Some(node) = Node::start() else { return };
    // The same name stands for another image in each.
    let bundles = ["one", "two", "three"].into_iter().zip(1..).map(|(word, serial)| {
        node.containerd.import_busybox(BUSYBOX, &json!({"Env": ["PATH=/bin"]}), &[("mark", word)]);
        (pack(&node, serial, word), word)
    });
    let bundles: Vec<_> = bundles.collect();
    let kept = || {
        let entries = fs::read_dir(node.path("state/images")).unwrap().map(|it| it.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().contains("bundle-sha256-")).count()
    };
    let is_marked = |word: &str| {
        let pod = wait_word(&node, word);
        assert_eq!(node.exec(&pod, "main", &["cat", "/mark"]), word);
        pod
    };
    node.agent.says(&["image", "rm", "busybox:1"]);
    for (number, (bundle, word)) in bundles.iter().enumerate() {
        node.agent.says(&["bundle", "apply", &shown(bundle)]);
        is_marked(word);
        assert_eq!(kept(), (number + 1).min(2), "the one that counts, and the one before");
        // The bundle itself may go.
        fs::remove_file(bundle).unwrap();
    }
    let archived = || {
        let memory = fs::read_to_string(node.path("state/images.json")).unwrap_or_default();
        memory.matches("bundle-sha256-").count()
    };
    wait_until("the bundle that counts is an archive", || archived() == 1);
    let comes_back = |word: &str| {
        node.agent.says(&["image", "rm", "--force", "busybox:1"]);
        let pod = is_marked(word);
        node.kill(&pod, "main");
        node.agent.wait_pod("app", "restarted", |pod| restarts(pod) == 1 && is_ready(pod));
        is_marked(word);
        assert!(is_pinned(&node));
    };
    comes_back("three");

    node.agent.says(&["bundle", "rollback"]);
    is_marked("two");
    assert_eq!(kept(), 2, "the way back needs both");
    comes_back("two");

    node.agent.configure("keepBundles: false\n");
    node.agent.says(&["bundle", "apply", &shown(&pack(&node, 4, "four"))]);
    wait_word(&node, "four");
    assert_eq!(kept(), 0);
    // A bundle has pinned it, whatever archive has gone.
    wait_until("the archives' going was seen", || archived() == 0);
    assert!(is_pinned(&node));
}

#[test]
fn the_way_back_has_its_own_images_also_with_no_agent() {
    let Some(mut node) = Node::start() else { return };
    // Both are packed first: an agent gives the name back to what a bundle in force has under it.
    let bundles = [("one", 1), ("two", 2)].map(|(word, serial)| {
        node.containerd.import_busybox(BUSYBOX, &json!({"Env": ["PATH=/bin"]}), &[("mark", word)]);
        pack(&node, serial, word)
    });
    let digests = bundles.map(|bundle| {
        node.agent.says(&["bundle", "apply", &shown(&bundle)]);
        digest_of(&node, BUSYBOX)
    });
    node.agent.kill9();
    for wanted in [&digests[0], &digests[1]] {
        node.agent.says(&["bundle", "rollback"]);
        assert_eq!(digest_of(&node, BUSYBOX), *wanted);
    }
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn what_is_kept_of_a_bundle_and_was_altered_gives_nothing() {
    let Some(node) = Node::start() else { return };
    let (first, second) = (pack(&node, 1, "one"), pack(&node, 2, "two"));
    for bundle in [&first, &second] {
        node.agent.says(&["bundle", "apply", &shown(bundle)]);
    }
    wait_word(&node, "two");
    let name = node.slot().node_name();
    node.agent.wait_event(&name, "ImageArchiveImported", |message| message.contains("bundle-sha256-"));
    let folder = node.path("state/images");
    let kept = |is_hidden: bool| {
        let mut paths = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path());
        let begins = if is_hidden { ".bundle-sha256-" } else { "bundle-sha256-" };
        paths.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begins)).unwrap()
    };
    // Whole bundles, but not those that were checked when they were applied; written in place, as curl does it.
    fs::copy(&first, kept(false)).unwrap();
    node.agent.wait_event(&name, "ImageArchiveRefused", |message| {
        message.contains("it was kept as another bundle than it is")
    });
    fs::copy(&second, kept(true)).unwrap();
    let refused = node.agent.cli(&["bundle", "rollback"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("is another bundle by now; apply bundle 1 again"), "{}", refused.err);
    wait_word(&node, "two");

    // What the operator does with his own file changes nothing.
    node.agent.says(&["bundle", "apply", &shown(&second)]);
    node.agent.says(&["bundle", "apply", "--allow-older", &shown(&first)]);
    fs::copy(&second, &first).unwrap();
    node.agent.says(&["bundle", "rollback"]);
    wait_word(&node, "two");
    node.agent.says(&["bundle", "rollback"]);
    wait_word(&node, "one");
}

#[test]
fn names_and_manifests_are_of_one_bundle_whatever_fails_and_wherever_it_was_broken_off() {
    let Some(mut node) = Node::start() else { return };
    let mut made = Vec::new();
    for (word, serial) in ["one", "two", "three"].into_iter().zip(1..) {
        node.containerd.import_busybox(BUSYBOX, &json!({"Env": ["PATH=/bin"]}), &[("mark", word)]);
        made.push((pack(&node, serial, word), digest_of(&node, BUSYBOX)));
    }
    let [(first, first_image), (second, second_image), (third, third_image)] = made.try_into().unwrap();
    node.agent.kill9();
    node.agent.says(&["bundle", "apply", &shown(&first)]);
    node.agent.says(&["bundle", "apply", &shown(&second)]);
    assert_eq!(digest_of(&node, BUSYBOX), second_image);

    // A file where the folder should be.
    fs::rename(node.path("state/images"), node.path("state/away")).unwrap();
    fs::write(node.path("state/images"), "").unwrap();
    let refused = node.agent.cli(&["bundle", "apply", &shown(&third)]);
    assert!(refused.err.contains("keep the bundle for its images"), "{}", refused.err);
    assert_eq!(digest_of(&node, BUSYBOX), second_image, "nothing was changed");
    fs::remove_file(node.path("state/images")).unwrap();
    fs::rename(node.path("state/away"), node.path("state/images")).unwrap();

    // As if the power had gone: the record says that one is coming, and its images have their names.
    let record = node.path("state/bundle.json");
    let read = || -> Value { serde_json::from_slice(&fs::read(&record).unwrap()).unwrap() };
    let mut state = read();
    assert!(state["coming"].is_null());
    state["coming"] = state["previous"].clone();
    state["coming"]["images"] = json!(["docker.io/library/busybox:1", "r.example/only:3"]);
    fs::write(&record, state.to_string()).unwrap();
    let third_archive = third.with_extension("tar");
    fs::copy(&third, &third_archive).unwrap();
    node.agent.says(&["image", "import", &shown(&third_archive)]);
    assert_eq!(digest_of(&node, BUSYBOX), third_image);
    // Whichever command is next, and whether it does anything.
    let refused = node.agent.cli(&["bundle", "apply", &shown(&first)]);
    assert!(refused.err.contains("its serial number 1 is lower than 2"), "{}", refused.err);
    assert!(refused.err.contains("bundle 2 counts, and gives its images again"), "{}", refused.err);
    assert_eq!(digest_of(&node, BUSYBOX), second_image);
    assert!(read()["coming"].is_null() && read()["leaving"].is_null(), "{}", read());
    node.agent.says(&["bundle", "rollback"]);
    assert_eq!(digest_of(&node, BUSYBOX), first_image);
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.clone().unwrap_or_default().container_statuses.unwrap_or_default();
    statuses.first().map_or(0, |status| status.restart_count)
}

fn is_pinned(node: &Node) -> bool {
    let list = node.agent.says(&["image", "ls"]);
    list.lines().any(|line| line.starts_with(BUSYBOX) && line.ends_with("yes"))
}

pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Waits for the pod whose environment has this word.
#[track_caller]
pub(crate) fn wait_word(node: &Node, word: &str) -> Pod {
    let says = |pod: &Pod| {
        let env = pod.spec.as_ref().unwrap().containers[0].env.clone().unwrap_or_default();
        env.first().and_then(|it| it.value.as_deref()) == Some(word) && is_ready(pod)
    };
    let pod = node.agent.wait_pod("app", word, says);
    assert_eq!(node.exec(&pod, "main", &["sh", "-c", "echo $WORD"]), word);
    pod
}

/// A copy with one byte turned in the midst of it.
fn altered(bundle: &Path) -> PathBuf {
    let mut bytes = fs::read(bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let path = bundle.with_extension("altered");
    fs::write(&path, bytes).unwrap();
    path
}

fn signature_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.minisig", file.display()))
}

/// As `minisign -S -m FILE` does.
pub(crate) fn sign(key: &KeyPair, file: &Path) {
    let signature =
        minisign::sign(Some(&key.pk), &key.sk, fs::File::open(file).unwrap(), None, None).unwrap();
    fs::write(signature_of(file), signature.to_string()).unwrap();
}
