//! A whole site in one file.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use minisign::KeyPair;

use crate::kit::{Node, container_ids, daemon_set, is_ready};

const BUSYBOX: &str = "docker.io/library/busybox:1";

fn spec(word: &str) -> String {
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
fn pack(node: &Node, serial: u32, word: &str) -> PathBuf {
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

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Waits for the pod whose environment has this word.
#[track_caller]
fn wait_word(node: &Node, word: &str) -> Pod {
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

fn signature_of(bundle: &Path) -> PathBuf {
    PathBuf::from(format!("{}.minisig", bundle.display()))
}

/// As `minisign -S -m BUNDLE` does.
fn sign(key: &KeyPair, bundle: &Path) {
    let signature =
        minisign::sign(Some(&key.pk), &key.sk, fs::File::open(bundle).unwrap(), None, None).unwrap();
    fs::write(signature_of(bundle), signature.to_string()).unwrap();
}
