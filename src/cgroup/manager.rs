//! Makes and limits cgroups, and lists those of pods.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::limits::{Controller, HugePages, Limits, host_page_sizes};
use super::{Version, control, hierarchy, removal, slice};
use crate::systemd::units::{Started, UnitError, Units};

/// The classes of pods that have a cgroup of their own below the root; Guaranteed pods lie in the root itself.
const CLASSES: [&str; 2] = ["burstable", "besteffort"];
const POD: &str = "pod";
/// How many hexadecimal digits a runtime's ids have.
const ID_LENGTH: usize = 64;
/// The shares of the `BestEffort` class: the fewest.
const BEST_EFFORT_SHARES: u64 = 2;

/// Who makes cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// We do, as directories.
    Cgroupfs,
    /// systemd does, as slices.
    Systemd,
}

/// The cgroup of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodCgroup {
    /// The pod's UID.
    pub uid: String,
    /// Its path as the CRI has it (`cgroup_parent`).
    pub path: String,
}

/// Why a cgroup is not as it should be.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum CgroupError {
    #[error("{action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("write {value:?} to {}", path.display())]
    Write { value: String, path: PathBuf, source: io::Error },
    #[error("{path:?} is not the cgroup of a pod below {root:?}")]
    NotAPod { path: String, root: String },
    #[error("cgroup root {0:?} is not an absolute path of plain names")]
    Root(String),
    #[error("processes in {} survive being killed: {}", path.display(), list(.pids))]
    Alive { path: PathBuf, pids: Vec<i32> },
    #[error(transparent)]
    Unit(#[from] UnitError),
}

/// The cgroups below one root.
#[derive(Debug, Clone)]
pub struct CgroupManager {
    version: Version,
    driver: Driver,
    mount: PathBuf,
    root: String,
    page_sizes: Vec<String>,
    units: Units,
}

/// Controllers whose limits do not hold, because the kernel runs without them.
pub type Missing = BTreeSet<&'static str>;

impl CgroupManager {
    /// Manages what lies below `root`: an absolute path as the driver writes it (`/kubepods`, `/kubepods.slice`).
    /// `mount` is where cgroups are mounted, `/sys/fs/cgroup`.
    pub fn new(version: Version, driver: Driver, mount: &Path, root: &str) -> Result<Self, CgroupError> {
        if !is_plain(root) {
            return Err(CgroupError::Root(root.to_owned()));
        }
        let page_sizes = host_page_sizes().map_err(|source| CgroupError::Io {
            action: "list",
            path: "/sys/kernel/mm/hugepages".into(),
            source,
        })?;
        Ok(Self {
            version,
            driver,
            mount: mount.to_owned(),
            root: root.to_owned(),
            page_sizes,
            units: Units::default(),
        })
    }

    /// The same, over another systemd than this machine's.
    #[must_use]
    pub fn with_units(self, units: Units) -> Self {
        Self { units, ..self }
    }

    /// Makes the root and the `QoS` classes' cgroups and limits them: the root to what the node gives to pods, Burstable to
    /// the shares that its pods request together, `BestEffort` to the fewest. To be called again when pods come and go.
    pub async fn ensure_qos_hierarchy(
        &self,
        node: &Limits,
        burstable_shares: u64,
    ) -> Result<Missing, CgroupError> {
        let mut missing = self.ensure(&self.root, node).await?;
        for ((class, _), shares) in self.classes().into_iter().zip([burstable_shares, BEST_EFFORT_SHARES]) {
            let limits =
                Limits { cpu_shares: Some(shares), huge_pages: HugePages::Unlimited, ..Limits::default() };
            missing.extend(self.ensure(&class, &limits).await?);
        }
        Ok(missing)
    }

    /// Makes the cgroup of a pod, `path` as in `cgroup_parent`, in every tree, and limits it.
    pub async fn ensure_pod(&self, path: &str, limits: &Limits) -> Result<Missing, CgroupError> {
        self.check_pod(path)?;
        self.ensure(path, limits).await
    }

    /// Kills what is left in a pod's cgroup and removes it; one that isn't there is done.
    ///
    /// Waits, for less than a second, while processes die, on a thread of its own.
    pub async fn destroy_pod(&self, path: &str) -> Result<(), CgroupError> {
        self.check_pod(path)?;
        let trees = hierarchy::trees(self.version, &self.mount).at("list", &self.mount)?;
        let dirs: Vec<PathBuf> = trees.iter().map(|tree| below(tree, path)).collect();
        let dirs = aside(move || removal::kill(&dirs).map(|()| dirs)).await?;
        if self.driver == Driver::Systemd {
            self.units.stop(slice::unit_of(path)).await?;
        }
        // systemd leaves the trees of version 1 that it doesn't use itself.
        aside(move || removal::remove(&dirs)).await
    }

    /// The containers, sandboxes' own among them, that have a cgroup in a pod's, by the ids that the runtime gave them.
    pub fn containers_of(&self, path: &str) -> Result<BTreeSet<String>, CgroupError> {
        self.check_pod(path)?;
        let mut ids = BTreeSet::new();
        for tree in hierarchy::trees(self.version, &self.mount).at("list", &self.mount)? {
            let names = children(&below(&tree, path))?;
            ids.extend(names.iter().filter_map(|name| container_of(name)).map(str::to_owned));
        }
        Ok(ids)
    }

    /// Kills what is left in a container's cgroup within a pod's and removes it. One that isn't there is done.
    ///
    /// Waits like [`destroy_pod`](Self::destroy_pod).
    pub async fn destroy_container(&self, path: &str, id: &str) -> Result<(), CgroupError> {
        self.check_pod(path)?;
        let mut dirs = Vec::new();
        for tree in hierarchy::trees(self.version, &self.mount).at("list", &self.mount)? {
            let pod = below(&tree, path);
            let of_container = children(&pod)?.into_iter().filter(|name| container_of(name) == Some(id));
            dirs.extend(of_container.map(|name| pod.join(name)));
        }
        aside(move || removal::kill(&dirs).and_then(|()| removal::remove(&dirs))).await
    }

    /// The pods that have a cgroup in any tree, by UID.
    pub fn list_pods(&self) -> Result<Vec<PodCgroup>, CgroupError> {
        let mut found = BTreeMap::new();
        let trees = hierarchy::trees(self.version, &self.mount).at("list", &self.mount)?;
        for tree in &trees {
            for (parent, prefix) in self.parents() {
                for name in children(&below(tree, &parent))? {
                    if let Some(uid) = self.uid_of(&name, &prefix) {
                        found.insert(uid, format!("{parent}/{name}"));
                    }
                }
            }
        }
        Ok(found.into_iter().map(|(uid, path)| PodCgroup { uid, path }).collect())
    }

    /// The cgroups in which pods lie, each with what a pod's name there begins with.
    fn parents(&self) -> Vec<(String, String)> {
        let mut parents = vec![(self.root.clone(), format!("{}{POD}", self.prefix()))];
        parents.extend(self.classes());
        parents
    }

    /// The `QoS` classes' cgroups, each with what a pod's name there begins with.
    fn classes(&self) -> [(String, String); 2] {
        let (root, prefix) = (&self.root, self.prefix());
        CLASSES.map(|class| match self.driver {
            Driver::Cgroupfs => (format!("{root}/{class}"), POD.to_owned()),
            Driver::Systemd => (format!("{root}/{prefix}{class}.slice"), format!("{prefix}{class}-{POD}")),
        })
    }

    /// What the names of slices in the root begin with: a slice's name repeats those of the slices it lies in.
    fn prefix(&self) -> String {
        match self.driver {
            Driver::Cgroupfs => String::new(),
            Driver::Systemd => {
                let name = slice::unit_of(&self.root);
                format!("{}-", name.strip_suffix(".slice").unwrap_or(name))
            }
        }
    }

    /// The UID in the name of a pod's cgroup.
    fn uid_of(&self, name: &str, prefix: &str) -> Option<String> {
        let rest = name.strip_prefix(prefix)?;
        let uid = match self.driver {
            Driver::Cgroupfs => rest.to_owned(),
            Driver::Systemd => rest.strip_suffix(".slice")?.replace('_', "-"),
        };
        (!uid.is_empty()).then_some(uid)
    }

    /// Refuses a path that isn't a pod's below our root.
    fn check_pod(&self, path: &str) -> Result<(), CgroupError> {
        let known = is_plain(path)
            && self.parents().iter().any(|(parent, prefix)| {
                let name = path.strip_prefix(parent.as_str()).and_then(|rest| rest.strip_prefix('/'));
                name.is_some_and(|name| !name.contains('/') && self.uid_of(name, prefix).is_some())
            });
        if known {
            Ok(())
        } else {
            Err(CgroupError::NotAPod { path: path.to_owned(), root: self.root.clone() })
        }
    }

    /// Makes a cgroup and limits it; returns the controllers that could not be had.
    async fn ensure(&self, path: &str, limits: &Limits) -> Result<Missing, CgroupError> {
        if self.driver == Driver::Systemd {
            let unit = slice::unit_of(path);
            let mut properties = slice::frame(path, self.version);
            properties.extend(slice::limits(limits, self.version));
            if self.units.start(unit, &properties).await? == Started::Existing {
                self.units.set(unit, &slice::limits(limits, self.version)).await?;
            }
        }
        self.write(path, limits)
    }

    /// Makes a cgroup in every tree and writes its limits. systemd, which has them already, makes a slice only in the trees that it
    /// uses itself, and lets only those controllers act in it.
    fn write(&self, path: &str, limits: &Limits) -> Result<Missing, CgroupError> {
        for tree in hierarchy::trees(self.version, &self.mount).at("list", &self.mount)? {
            self.make(&tree, path)?;
        }
        let mut missing = BTreeSet::new();
        for setting in limits.settings(self.version, &self.page_sizes) {
            let controller = setting.controller;
            let tree =
                hierarchy::tree_of(self.version, &self.mount, controller.name()).at("find", &self.mount)?;
            let file = tree.map(|tree| below(&tree, path).join(&setting.file));
            match file.filter(|file| file.exists()) {
                Some(file) => control::write(&file, &setting.value)?,
                // Without the controller no pod can have huge pages limited, which is the rule on small kernels.
                None if controller == Controller::HugeTlb => {}
                None => {
                    missing.insert(controller.name());
                }
            }
        }
        Ok(missing)
    }

    /// Makes a cgroup and those above it in one tree.
    fn make(&self, tree: &Path, path: &str) -> Result<(), CgroupError> {
        if self.version == Version::V1 && !control::has_cpusets(tree) {
            // Nothing is handed down here: the last name alone is enough, where the others are there.
            let dir = below(tree, path);
            return fs::create_dir_all(&dir).at("make cgroup", &dir);
        }
        let mut dir = tree.to_owned();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if self.version == Version::V2 {
                control::delegate(&dir)?;
            }
            let parent = dir.clone();
            dir.push(name);
            match fs::create_dir(&dir) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => other.at("make cgroup", &dir)?,
            }
            if self.version == Version::V1 {
                control::inherit_cpuset(&parent, &dir)?;
            }
        }
        Ok(())
    }
}

/// Does what may wait on a thread of its own.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CgroupError> + Send + 'static,
) -> Result<T, CgroupError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => Err(CgroupError::Io {
            action: "clean up below",
            path: PathBuf::from("/sys/fs/cgroup"),
            source: io::Error::other(panic),
        }),
    }
}

/// The names of the cgroups in a cgroup, none if it isn't there.
fn children(dir: &Path) -> Result<Vec<String>, CgroupError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", dir)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.at("list", dir)?;
        if entry.file_type().at("look at", &entry.path())?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// The container whose cgroup bears this name: its id, or under systemd a scope that has it.
fn container_of(name: &str) -> Option<&str> {
    let bare = name.strip_suffix(".scope").and_then(|name| name.rsplit('-').next()).unwrap_or(name);
    (bare.len() == ID_LENGTH && bare.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(bare)
}

fn below(tree: &Path, path: &str) -> PathBuf {
    tree.join(path.trim_start_matches('/'))
}

/// Whether a path is absolute, has at least one name, and nothing but names.
fn is_plain(path: &str) -> bool {
    let mut components = Path::new(path).components();
    let names = path.len() > 1 && components.next() == Some(Component::RootDir);
    names && components.all(|component| matches!(component, Component::Normal(_))) && !path.contains("//")
}

/// Says on which path something failed.
pub(super) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, CgroupError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, CgroupError> {
        self.map_err(|source| CgroupError::Io { action, path: path.to_owned(), source })
    }
}

fn list(pids: &[i32]) -> String {
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    pids.join(", ")
}
