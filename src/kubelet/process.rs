//! Kubelets among this machine's processes, and what each has been told: the runtime it uses, and where its static pods are.
//!
//! Options are those of `kubelet --help`; of its configuration file (KubeletConfiguration v1beta1) the two fields that concern us are read.
//! A kubelet whose runtime is another one is no business of ours. What can't be read (a process that ends, a file that is not there) counts as
//! not said, and then the kubelet's own default holds: to step back once too often does less harm than two agents on one runtime.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::manifest::yaml;

/// The runtime that a kubelet uses unless it is told otherwise.
const DEFAULT_ENDPOINT: &str = "unix:///run/containerd/containerd.sock";
/// Where kubeadm, and nearly everybody after it, has static pods.
pub const DEFAULT_STATIC_POD_PATH: &str = "/etc/kubernetes/manifests";
/// What processes that are a kubelet are called; `kubelite` is MicroK8s', which has the kubelet in it.
const NAMES: [&str; 2] = ["kubelet", "kubelite"];

/// A kubelet that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubelet {
    /// Its process.
    pub pid: u32,
    /// Where it reads static pods from, if it says so.
    pub static_pod_path: Option<PathBuf>,
}

/// The part of a kubelet's configuration that concerns us.
#[derive(Debug, Default, PartialEq, Eq)]
struct Configuration {
    container_runtime_endpoint: Option<String>,
    static_pod_path: Option<PathBuf>,
}

/// The first kubelet below `proc` (`/proc`) that uses the runtime whose CRI listens on `socket`.
pub fn find(proc: &Path, socket: &Path) -> Option<Kubelet> {
    let entries = fs::read_dir(proc).ok()?;
    entries.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read(entry.path().join("comm")).ok()?;
        if !NAMES.iter().any(|known| name.trim_ascii_end() == known.as_bytes()) {
            return None;
        }
        look_at(pid, &entry.path(), socket)
    })
}

fn look_at(pid: u32, process: &Path, socket: &Path) -> Option<Kubelet> {
    let line = fs::read(process.join("cmdline")).ok()?;
    // A process that has ended and was not yet waited for has no command line any more.
    if line.is_empty() {
        return None;
    }
    let options = options(&line);
    // Its paths are those of its own root.
    let root = process.join("root");
    let within = |path: &str| root.join(path.trim_start_matches('/'));
    let read = |path: &String| fs::read_to_string(within(path)).or_else(|_| fs::read_to_string(path)).ok();
    let written = options.get("config").and_then(read);
    let configuration = written.map_or_else(Configuration::default, |text| configuration(&text));
    let endpoint = options.get("container-runtime-endpoint").cloned();
    let endpoint = endpoint.or(configuration.container_runtime_endpoint).filter(|it| !it.is_empty());
    let endpoint = endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let theirs = endpoint.strip_prefix("unix://").unwrap_or(&endpoint);
    // A root that can't be looked into is taken for ours.
    let seen = if root.exists() { within(theirs) } else { PathBuf::from(theirs) };
    if !is_same(&seen, Path::new(theirs), socket) {
        return None;
    }
    let static_pod_path = options.get("pod-manifest-path").map(PathBuf::from);
    let static_pod_path =
        static_pod_path.or(configuration.static_pod_path).filter(|it| !it.as_os_str().is_empty());
    Some(Kubelet { pid, static_pod_path })
}

/// Whether two paths lead to one socket; `seen` is `theirs` as this process reaches it.
fn is_same(seen: &Path, theirs: &Path, ours: &Path) -> bool {
    match (fs::metadata(seen), fs::metadata(ours)) {
        (Ok(theirs), Ok(ours)) => (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()),
        // Neither is there at present: a runtime that restarts.
        (Err(_), Err(_)) => plain(theirs) == plain(ours),
        // What one of them doesn't see is not what the other has.
        _ => false,
    }
}

/// `/var/run` is `/run`.
fn plain(path: &Path) -> PathBuf {
    path.strip_prefix("/var/run").map_or_else(|_| path.to_owned(), |rest| Path::new("/run").join(rest))
}

/// `--name=value` and `--name value`, from a command line as `/proc` has it.
fn options(line: &[u8]) -> BTreeMap<String, String> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split('\0').peekable();
    let mut options = BTreeMap::new();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        let found = match option.split_once('=') {
            Some((name, value)) => Some((name, value)),
            None => words.next_if(|next| !next.starts_with('-')).map(|value| (option, value)),
        };
        if let Some((name, value)) = found {
            options.insert(name.to_owned(), value.to_owned());
        }
    }
    options
}

fn configuration(text: &str) -> Configuration {
    let (documents, _) = yaml::parse(text, 1);
    let said = |key| documents.first().and_then(|document| document.root.str(key)).map(str::to_owned);
    Configuration {
        container_runtime_endpoint: said("containerRuntimeEndpoint"),
        static_pod_path: said("staticPodPath").map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    struct Machine {
        folder: tempfile::TempDir,
        _socket: UnixListener,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = UnixListener::bind(folder.path().join("containerd.sock")).unwrap();
            UnixListener::bind(folder.path().join("other.sock")).unwrap();
            Self { folder, _socket: socket }
        }

        fn socket(&self) -> PathBuf {
            self.folder.path().join("containerd.sock")
        }

        fn process(&self, pid: u32, name: &str, words: &[&str]) {
            let process = self.folder.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&process).unwrap();
            fs::write(process.join("comm"), format!("{name}\n")).unwrap();
            let line: String = words.iter().flat_map(|word| [*word, "\0"]).collect();
            fs::write(process.join("cmdline"), line).unwrap();
            let _ = std::os::unix::fs::symlink("/", process.join("root"));
        }

        fn found(&self) -> Option<(u32, Option<PathBuf>)> {
            let found = find(&self.folder.path().join("proc"), &self.socket())?;
            Some((found.pid, found.static_pod_path))
        }
    }

    /// The process's name and words, its configuration file, and the static pods' folder if it counts.
    type Row<'a> = (&'a str, &'a [&'a str], &'a str, Option<Option<&'a str>>);

    #[test]
    fn only_a_kubelet_that_uses_our_runtime_counts() {
        let machine = Machine::new();
        let socket = machine.socket().display().to_string();
        let other = machine.folder.path().join("other.sock").display().to_string();
        let config = machine.folder.path().join("kubelet.yaml").display().to_string();
        let ours = format!("--container-runtime-endpoint=unix://{socket}");
        let link = machine.folder.path().join("link.sock");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let link = link.display().to_string();
        let rows: [Row; 9] = [
            ("kubelet", &["/usr/bin/kubelet", &ours], "", Some(None)),
            ("kubelite", &["kubelite", &ours], "", Some(None)),
            ("kubelet", &["kubelet", "--container-runtime-endpoint", &link, "-v", "2"], "", Some(None)),
            ("kubelet", &["kubelet", "--container-runtime-endpoint", &other], "", None),
            // Unless it is told otherwise, it is at a runtime that isn't this test's.
            ("kubelet", &["kubelet", "--v=2"], "", None),
            ("sleep", &["sleep", &ours], "", None),
            ("kubelet", &[], "", None),
            (
                "kubelet",
                &["kubelet", "--config", &config],
                "kind: KubeletConfiguration\nstaticPodPath: /srv/pods\ncontainerRuntimeEndpoint: unix://SOCKET\n",
                Some(Some("/srv/pods")),
            ),
            // The flag counts before the file, as with the kubelet.
            (
                "kubelet",
                &["kubelet", "--config", &config, "--pod-manifest-path=/flag", &ours],
                "staticPodPath: /srv/pods\ncontainerRuntimeEndpoint: unix:///nowhere.sock\n",
                Some(Some("/flag")),
            ),
        ];
        for (name, words, written, expected) in rows {
            fs::write(&config, written.replace("SOCKET", &socket)).unwrap();
            machine.process(17, name, words);
            let expected = expected.map(|path| (17, path.map(PathBuf::from)));
            assert_eq!(machine.found(), expected, "{name} {words:?} {written}");
        }
    }

    #[test]
    fn a_kubelet_in_a_container_has_a_socket_of_its_own_at_the_same_path() {
        let machine = Machine::new();
        let ours = format!("--container-runtime-endpoint=unix://{}", machine.socket().display());
        let root = machine.folder.path().join("container");
        fs::create_dir_all(&root).unwrap();
        let process = machine.folder.path().join("proc/17");
        fs::create_dir_all(&process).unwrap();
        std::os::unix::fs::symlink(&root, process.join("root")).unwrap();
        machine.process(17, "kubelet", &["kubelet", &ours]);
        assert_eq!(machine.found(), None, "it sees no socket there");
        let inside = root.join(machine.socket().strip_prefix("/").unwrap());
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        let _other = UnixListener::bind(&inside).unwrap();
        assert_eq!(machine.found(), None, "it sees another socket there");
        fs::remove_file(&inside).unwrap();
        fs::hard_link(machine.socket(), &inside).unwrap();
        assert_eq!(machine.found(), Some((17, None)), "it was given ours");
    }

    #[test]
    fn sockets_that_are_not_there_are_compared_by_name() {
        let rows = [
            ("/run/gone/a.sock", "/run/gone/a.sock", true),
            ("/var/run/gone/a.sock", "/run/gone/a.sock", true),
            ("/run/gone/b.sock", "/run/gone/a.sock", false),
        ];
        for (theirs, ours, expected) in rows {
            let theirs = Path::new(theirs);
            assert_eq!(is_same(theirs, theirs, Path::new(ours)), expected, "{}", theirs.display());
        }
    }
}
