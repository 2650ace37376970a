//! A store that has to be signed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use minisign::KeyPair;
use serde_json::{Value, json};

use super::bundle::{pack, shown, sign, spec, wait_word};
use crate::kit::{Node, container_ids, daemon_set, is_ready, wait_until};

/// A node, not yet running, that trusts one key.
fn node_with_key() -> Option<(Node, KeyPair)> {
    let node = Node::prepared("")?;
    let key = KeyPair::generate_unencrypted_keypair().unwrap();
    let trust_file = node.path("trust.pub");
    fs::write(&trust_file, key.pk.to_box().unwrap().to_string()).unwrap();
    node.agent.configure(&format!("trustFile: {}\n", shown(&trust_file)));
    Some((node, key))
}

fn list_of(node: &Node) -> PathBuf {
    node.manifest("SHA256SUMS")
}

/// As the README says.
fn list_and_sign(node: &Node, key: &KeyPair) {
    let listing = "find . -name '*.yaml' -o -name '*.yml' -o -name '*.json' | sort | xargs -d '\\n' sha256sum > SHA256SUMS";
    let listed =
        Command::new("sh").args(["-c", listing]).current_dir(node.path("manifests")).status().unwrap();
    assert!(listed.success());
    sign(key, &list_of(node));
}

/// What the agent says of its store; nothing before it listens.
fn store(node: &Node) -> Value {
    let status = match node.agent.api.get("/apis/daemonlet.dev/v1/status") {
        Ok((200, body)) => serde_json::from_str(&body).unwrap(),
        _ => Value::Null,
    };
    status["store"].clone()
}

#[track_caller]
fn wait_refused(node: &Node, freshness: &str, text: &str) {
    wait_until(text, || {
        let store = store(node);
        store["freshness"] == freshness && store["problems"].to_string().contains(text)
    });
}

#[track_caller]
fn wait_trusted(node: &Node) {
    wait_until("the store is trusted", || store(node)["freshness"] == "Current");
}

#[test]
fn what_is_not_signed_is_refused_and_what_runs_goes_on_until_it_is() {
    let Some((mut node, key)) = node_with_key() else { return };
    let name = node.slot().node_name();
    node.apply("app.yaml", daemon_set("app", &spec("one")));
    node.agent.launch();
    node.agent.wait_event(&name, "StoreRefused", |it| it.contains("SHA256SUMS: there is none"));
    let status = node.agent.says(&["status"]);
    assert!(
        status.contains("nothing of it is used, and there is no last good content: the store is not trusted"),
        "{status}"
    );
    assert!(status.contains("Ready:") && status.contains("False"), "{status}");

    list_and_sign(&node, &key);
    node.agent.wait_until_ready();
    let pod = wait_word(&node, "one");
    assert!(
        node.agent.says(&["store", "verify"]).contains("trusted: 1 manifests, its list was signed at 20")
    );

    // Anybody can look, before a store goes out.
    let (keys, dir) = (shown(&node.path("trust.pub")), shown(&node.path("manifests")));
    let elsewhere = ["store", "verify", "--set", "trustFile=", "--trust-file", &keys, &dir];
    assert!(node.agent.says(&elsewhere).contains("trusted: 1 manifests"));
    let nobody = node.agent.cli(&["store", "verify", "--set", "trustFile=", &dir]);
    assert!(nobody.code == Some(1) && nobody.err.contains("there is no trustFile"), "{}", nobody.err);

    // Altered: also over a restart of the agent what runs goes on.
    node.apply("app.yaml", daemon_set("app", &spec("evil")));
    wait_refused(&node, "LastGood", "is not what SHA256SUMS says");
    node.agent.wait_event(&name, "StoreRefused", |it| {
        it.contains("app.yaml") && it.contains("the last good content goes on")
    });
    node.agent.restart();
    wait_refused(&node, "LastGood", "is not what SHA256SUMS says");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod));
    let verified = node.agent.cli(&["store", "verify"]);
    assert_eq!(verified.code, Some(1), "{}", verified.out);
    assert!(verified.out.contains("manifests/app.yaml: is not what SHA256SUMS says"), "{}", verified.out);

    // One more that nobody has signed.
    node.apply("app.yaml", daemon_set("app", &spec("one")));
    node.apply("extra.yaml", daemon_set("extra", &spec("extra")));
    wait_refused(&node, "LastGood", "is not in SHA256SUMS: remove it");
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod));
    node.delete("extra.yaml");
    node.agent.wait_event(&name, "StoreTrusted", |_| true);
    wait_trusted(&node);
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod));

    // Signed again.
    node.apply("app.yaml", daemon_set("app", &spec("two")));
    list_and_sign(&node, &key);
    wait_word(&node, "two");
    node.agent.wait_gone("extra");

    // An old list with its manifests is not enough to go back; told to, the node does.
    let older = |word: &str| {
        node.apply("app.yaml", daemon_set("app", &spec(word)));
        list_and_sign(&node, &key);
        let comment = "timestamp:1000000000\tfile:SHA256SUMS\thashed";
        let list = fs::File::open(list_of(&node)).unwrap();
        let signature = minisign::sign(Some(&key.pk), &key.sk, list, Some(comment), None).unwrap();
        fs::write(list_of(&node).with_extension("minisig"), signature.to_string()).unwrap();
    };
    older("two");
    wait_refused(
        &node,
        "LastGood",
        "it was signed at 2001-09-09T01:46:40Z, before the one that was used last",
    );
    node.agent.says(&["store", "allow-older"]);
    wait_trusted(&node);
}

#[test]
fn what_a_signed_bundle_has_put_into_the_store_is_trusted_as_it_was_put_there() {
    let Some((mut node, key)) = node_with_key() else { return };
    node.agent.launch();
    wait_refused(&node, "Unknown", "or apply a signed bundle");
    let bundles = [pack(&node, 1, "one"), pack(&node, 2, "two")];
    for bundle in &bundles {
        sign(&key, bundle);
    }
    node.agent.says(&["bundle", "apply", &shown(&bundles[0])]);
    node.agent.wait_until_ready();
    let pod = wait_word(&node, "one");

    let manifest = node.manifest("bundle/apps/app.yaml");
    fs::write(&manifest, daemon_set("app", &spec("evil"))).unwrap();
    wait_refused(&node, "LastGood", "is not what the bundle has put there: apply the bundle again");
    node.agent.restart();
    assert_eq!(container_ids(&node.agent.wait_ready("app")), container_ids(&pod));
    let extra = node.manifest("extra.yaml");
    fs::write(&extra, daemon_set("extra", &spec("extra"))).unwrap();
    let applied = node.agent.cli(&["bundle", "apply", &shown(&bundles[1])]);
    assert!(applied.err.contains("extra.yaml: is not in SHA256SUMS"), "{}", applied.err);
    fs::remove_file(extra).unwrap();
    wait_word(&node, "two");
    wait_trusted(&node);
    // What was edited is no way back.
    let refused = node.agent.cli(&["bundle", "rollback"]);
    assert!(refused.err.contains("was changed in the store"), "{}", refused.err);
    node.agent.says(&["bundle", "apply", "--allow-older", &shown(&bundles[0])]);
    wait_word(&node, "one");
    node.agent.says(&["bundle", "apply", &shown(&bundles[1])]);
    wait_word(&node, "two");
    node.agent.says(&["bundle", "rollback"]);
    wait_word(&node, "one");
    wait_trusted(&node);
    assert!(node.agent.says(&["store", "verify"]).contains("a bundle has put them there"));
}

/// Has a client of the API send a patch of a DaemonSet; the status line and the body of the answer.
fn patch(node: &Node, name: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = UnixStream::connect(node.agent.api.socket()).unwrap();
    write!(
        stream,
        "PATCH /apis/apps/v1/namespaces/test/daemonsets/{name} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
         Content-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_client_of_the_api_may_go_back_and_restart_and_bring_nothing_new() {
    let Some((mut node, key)) = node_with_key() else { return };
    node.apply("app.yaml", daemon_set("app", &spec("one")));
    list_and_sign(&node, &key);
    node.agent.launch();
    let first = wait_word(&node, "one");
    node.apply("app.yaml", daemon_set("app", &spec("two")));
    list_and_sign(&node, &key);
    let second = wait_word(&node, "two");

    let evil = json!({"spec": {"template": {"spec": {"hostPID": true}}}});
    let answer = patch(&node, "app", &evil);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("with trustFile only what is signed runs"), "{answer}");
    assert_eq!(container_ids(&wait_word(&node, "two")), container_ids(&second));

    node.agent.says(&["rollout", "restart", "ds/app", "-n", "test"]);
    node.agent
        .wait_pod("app", "restarted", |pod| is_ready(pod) && container_ids(pod) != container_ids(&second));
    node.agent.says(&["rollout", "undo", "ds/app", "-n", "test", "--to-revision=1"]);
    let arguments = |pod: &Pod| format!("{:?}", pod.spec.as_ref().map(|spec| &spec.containers));
    let back = node
        .agent
        .wait_pod("app", "back at the first", |pod| is_ready(pod) && arguments(pod) == arguments(&first));
    assert_ne!(container_ids(&back), container_ids(&first));
}
