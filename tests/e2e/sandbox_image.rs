//! A node whose runtime wants a sandbox image that nobody has.

use std::fs;

use crate::kit::{Node, Setup, daemon_set, image_file, wait_until};

/// Nobody listens at this port, so a pull fails at once.
const NOWHERE: &str = "127.0.0.1:1/nobody/pause:9";

const SETUP: Setup = Setup { images: &["busybox"], sandbox_image: NOWHERE, has_network: true };

const SPEC: &str = "
shareProcessNamespace: true
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: busybox:1
  command: [sh, -c, 'sleep 2147483647']
";

#[test]
fn the_built_in_one_takes_the_place_of_one_that_is_not_to_be_had() {
    let Some(mut node) = Node::with(&SETUP, "") else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.agent.launch();
    node.agent.wait_until_ready();
    let pod = node.agent.wait_ready("app");
    let name = node.slot().node_name();
    node.agent.wait_event(&name, "BuiltInSandboxImage", |message| message.contains(NOWHERE));
    assert!(node.agent.says(&["image", "ls"]).contains(NOWHERE));

    // The sandbox's process is the first one of the pod and takes in orphans.
    assert_eq!(node.exec(&pod, "main", &["cat", "/proc/1/comm"]), "pause");
    node.exec(&pod, "main", &["sh", "-c", "for i in 1 2 3; do (sleep 0.2 & exec true) & done; wait"]);
    wait_until("every process that ended was taken in", || {
        let states = "for p in /proc/[0-9]*; do read -r line < $p/stat && echo \"${line##*) }\"; done 2>/dev/null; true";
        let states = node.exec(&pod, "main", &["sh", "-c", states]);
        !states.lines().any(|line| line.starts_with('Z')) && states.lines().count() <= 4
    });
}

#[test]
fn nothing_takes_its_place_where_that_is_turned_off_until_an_archive_does() {
    let Some(mut node) = Node::with(&SETUP, "builtInSandboxImage: false\n") else { return };
    node.apply("app.yaml", daemon_set("app", SPEC));
    node.agent.launch();
    node.agent.wait_until_ready();
    node.agent.wait_event("app-", "FailedCreatePodSandBox", |message| message.contains(NOWHERE));
    assert!(!node.agent.says(&["image", "ls"]).contains(NOWHERE));

    // An archive of an image of this name, made out of the one of the examples.
    let dir = node.path("unpacked");
    fs::create_dir(&dir).unwrap();
    let tar = |words: &[&str]| assert!(node.slot().command("tar").args(words).status().unwrap().success());
    let (from, dir_name) = (image_file("pause").display().to_string(), dir.display().to_string());
    tar(&["-xf", &from, "-C", &dir_name]);
    let list = fs::read_to_string(dir.join("manifest.json")).unwrap();
    fs::write(dir.join("manifest.json"), list.replace("localhost/daemonlet/pause:1", NOWHERE)).unwrap();
    let archive = node.path("state/images/pause.tar").display().to_string();
    tar(&["-cf", &format!("{archive}.part"), "-C", &dir_name, "manifest.json", "config.json", "layer.tar"]);
    fs::rename(format!("{archive}.part"), &archive).unwrap();
    let pod = node.agent.wait_ready("app");
    assert_eq!(node.exec(&pod, "main", &["cat", "/proc/1/comm"]), "busybox");
}
