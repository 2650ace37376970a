use super::*;

const GOOD: &str = "apiVersion: v1\nkind: Node\nmetadata:\n  name: edge-1\n  labels: {disk: ssd}\n";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("etc/node.yaml")
    }

    fn copy(&self) -> PathBuf {
        self.folder.path().join("state/node/last-good.yaml")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    /// The file as an agent that has just started sees it.
    fn start(&self) -> NodeFile {
        NodeFile::new(&self.path(), self.copy(), "edge-1".parse().unwrap())
    }
}

fn disk(file: &NodeFile) -> Option<&str> {
    file.node()?.metadata.labels.as_ref()?.get("disk").map(String::as_str)
}

fn texts(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

#[test]
fn no_file_is_a_node_nobody_described() {
    let bench = Bench::new();
    let mut file = bench.start();
    assert_eq!(file.reload(), []);
    assert!(file.node().is_none());
}

#[test]
fn a_good_file_is_used_and_none_at_all_is_no_problem() {
    let bench = Bench::new();
    let mut file = bench.start();
    assert_eq!(file.reload(), []);
    assert!(file.node().is_none());
    bench.write(GOOD);
    assert_eq!(file.reload(), []);
    assert_eq!(disk(&file), Some("ssd"));
    bench.write("apiVersion: v1\nkind: Node\nmetadata: {name: edge-1}\n");
    assert_eq!(file.reload(), []);
    assert_eq!(disk(&file), None, "a Node without labels takes them away");
}

#[test]
fn a_file_for_any_node_describes_this_one() {
    let bench = Bench::new();
    bench.write(&GOOD.replace("edge-1", THIS_NODE));
    let mut file = bench.start();
    assert_eq!(file.reload(), []);
    assert_eq!(disk(&file), Some("ssd"));
    assert_eq!(file.node().and_then(|node| node.metadata.name.as_deref()), Some("edge-1"));
}

#[test]
fn every_bad_file_leaves_the_last_good_one_also_over_a_restart() {
    let bad = [
        ("", "the file holds no Node"),
        ("# nothing\n", "the file holds no Node"),
        ("kind: [", "node.yaml:"),
        ("\0\0", "binary"),
        (
            "apiVersion: v1\nkind: Node\nmetadata: {name: edge-2}\n",
            "\"edge-2\" is another node, this one is edge-1",
        ),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: edge-1, labels: {disk: 1}}\n", "metadata.labels"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n", "only a Node"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\n", "only a Node"),
    ];
    let bench = Bench::new();
    bench.write(GOOD);
    let mut file = bench.start();
    file.reload();
    for (text, expected) in bad {
        bench.write(text);
        let problems = texts(&file.reload());
        assert!(problems.contains(expected) && problems.contains("stays as it was"), "{text:?}: {problems}");
        assert_eq!(disk(&file), Some("ssd"), "{text:?}");

        let mut restarted = bench.start();
        let problems = texts(&restarted.reload());
        assert!(problems.contains("last good version is used"), "{text:?}: {problems}");
        assert_eq!(disk(&restarted), Some("ssd"), "{text:?}");
    }
}

#[test]
fn a_file_that_is_gone_is_not_a_node_without_labels() {
    let bench = Bench::new();
    bench.write(GOOD);
    let mut file = bench.start();
    file.reload();
    fs::remove_file(bench.path()).unwrap();
    assert!(texts(&file.reload()).contains("is gone"));
    assert_eq!(disk(&file), Some("ssd"));
    let mut restarted = bench.start();
    assert!(texts(&restarted.reload()).contains("is gone"));
    assert_eq!(disk(&restarted), Some("ssd"), "also after a restart");
}

#[test]
fn what_is_no_readable_file_is_told_and_changes_nothing() {
    let bench = Bench::new();
    bench.write(GOOD);
    let mut file = bench.start();
    file.reload();
    fs::remove_file(bench.path()).unwrap();

    std::os::unix::fs::symlink("nowhere", bench.path()).unwrap();
    assert!(texts(&file.reload()).contains("leads to no file"));
    fs::remove_file(bench.path()).unwrap();

    fs::create_dir(bench.path()).unwrap();
    assert!(texts(&file.reload()).contains("no regular file"));
    fs::remove_dir(bench.path()).unwrap();

    nix::unistd::mkfifo(&bench.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(texts(&file.reload()).contains("no regular file"));

    fs::remove_dir_all(bench.path().parent().unwrap()).unwrap();
    assert!(texts(&file.reload()).contains("is gone"));
    assert_eq!(disk(&file), Some("ssd"));
    assert!(texts(&bench.start().reload()).contains("is gone"));
}

#[test]
fn a_copy_that_cannot_be_kept_is_a_warning() {
    let bench = Bench::new();
    bench.write(GOOD);
    fs::write(bench.folder.path().join("state"), "in the way").unwrap();
    let mut file = bench.start();
    assert!(texts(&file.reload()).contains("warning: no copy can be kept"));
    assert_eq!(disk(&file), Some("ssd"));
}
