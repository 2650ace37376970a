//! Which IDs of the host a pod with users of its own (`hostUsers: false`) has: 65,536 of them, no other pod's.
//!
//! What is given away stands in each pod's directory (`pods/<uid>/userns`, the kubelet's file and format) and nowhere else: it outlives the
//! agent, and is given back when the directory goes. A file that can't be read stops new allocations, for two pods must never share.
//! Rule: KEP-127; `pkg/kubelet/userns/userns_manager.go`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::identity::PodUid;
use crate::atomic_file::{self, AtomicFileError};
use crate::cri::translate::host::UserNamespaceRange;

/// How many IDs a pod has.
const LENGTH: u32 = 65_536;
/// The host's own users have the first 65,536; the rest of 2³² is divided among pods.
const RANGES: u32 = u32::MAX / LENGTH;
const FILE: &str = "userns";

/// Gives IDs to pods.
#[derive(Debug)]
pub struct UserNamespaces {
    pods_dir: PathBuf,
    allocating: Mutex<()>,
}

/// Why a pod has no IDs of its own.
#[derive(Debug, thiserror::Error)]
pub enum UserNamespaceError {
    /// What is given away can't be listed.
    #[error("list pods' directories in {}", dir.display())]
    List {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It can't be known what a pod has.
    #[error("read {}", path.display())]
    Read {
        /// The pod's file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It says something else than this agent or a kubelet writes.
    #[error("{} says nothing of {LENGTH} IDs: {problem}; it may be removed once its pod has ended", path.display())]
    Content {
        /// The pod's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// All are given away.
    #[error("no range of {LENGTH} IDs is free")]
    Exhausted,
    /// The pod's directory can't be made, or its file not be written.
    #[error("write down the pod's user IDs")]
    Write(#[from] AtomicFileError),
}

/// The kubelet's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mappings {
    uid_mappings: Vec<Mapping>,
    gid_mappings: Vec<Mapping>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

impl UserNamespaces {
    /// For the pods that have their directories in `pods_dir`.
    pub fn new(pods_dir: PathBuf) -> Self {
        Self { pods_dir, allocating: Mutex::new(()) }
    }

    /// The pod's IDs: those it has, or the lowest that are free, which it has from then on.
    pub fn of_pod(&self, uid: &PodUid) -> Result<UserNamespaceRange, UserNamespaceError> {
        let _alone = self.allocating.lock().unwrap_or_else(PoisonError::into_inner);
        let pod_dir = self.pods_dir.join(uid.as_str());
        let path = pod_dir.join(FILE);
        if let Some(range) = read(&path)? {
            return Ok(range);
        }
        let taken = self.taken()?;
        let free = (1..RANGES).find(|range| !taken.contains(range)).ok_or(UserNamespaceError::Exhausted)?;
        let range = UserNamespaceRange { host_id: free * LENGTH, length: LENGTH };
        fs::create_dir_all(&pod_dir)
            .map_err(|source| AtomicFileError::Create { path: pod_dir.clone(), source })?;
        atomic_file::write(&path, &written(range), 0o600)?;
        Ok(range)
    }

    fn taken(&self) -> Result<BTreeSet<u32>, UserNamespaceError> {
        let listed = |source| UserNamespaceError::List { dir: self.pods_dir.clone(), source };
        let mut taken = BTreeSet::new();
        for pod in fs::read_dir(&self.pods_dir).map_err(listed)? {
            if let Some(range) = read(&pod.map_err(listed)?.path().join(FILE))? {
                taken.insert(range.host_id / LENGTH);
            }
        }
        Ok(taken)
    }
}

fn read(path: &Path) -> Result<Option<UserNamespaceRange>, UserNamespaceError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(UserNamespaceError::Read { path: path.to_owned(), source }),
    };
    let content = |problem: String| UserNamespaceError::Content { path: path.to_owned(), problem };
    let mappings: Mappings = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
    match mappings.uid_mappings.as_slice() {
        [Mapping { host_id, container_id: 0, length: LENGTH }]
            if *host_id >= LENGTH
                && host_id.is_multiple_of(LENGTH)
                && mappings.gid_mappings == mappings.uid_mappings =>
        {
            Ok(Some(UserNamespaceRange { host_id: *host_id, length: LENGTH }))
        }
        _ => Err(content("it maps other IDs".to_owned())),
    }
}

fn written(range: UserNamespaceRange) -> Vec<u8> {
    let mapping = Mapping { host_id: range.host_id, container_id: 0, length: range.length };
    let mappings = Mappings { uid_mappings: vec![mapping.clone()], gid_mappings: vec![mapping] };
    serde_json::to_vec(&mappings).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn uid(name: &str) -> PodUid {
        PodUid::parse(name).unwrap()
    }

    #[test]
    fn each_pod_has_its_own_ids_keeps_them_and_gives_them_back_with_its_directory() {
        let dir = TempDir::new().unwrap();
        let of = |name| UserNamespaces::new(dir.path().to_owned()).of_pod(&uid(name)).unwrap().host_id;
        assert_eq!((of("one"), of("two"), of("one"), of("three")), (65_536, 131_072, 65_536, 196_608));
        fs::remove_dir_all(dir.path().join("two")).unwrap();
        assert_eq!((of("four"), of("three")), (131_072, 196_608));
    }

    #[test]
    fn the_file_is_the_kubelets() {
        let dir = TempDir::new().unwrap();
        let theirs = r#"{"uidMappings":[{"hostId":131072,"containerId":0,"length":65536}],
            "gidMappings":[{"hostId":131072,"containerId":0,"length":65536}]}"#;
        fs::create_dir(dir.path().join("pod")).unwrap();
        fs::write(dir.path().join("pod/userns"), theirs).unwrap();
        let users = UserNamespaces::new(dir.path().to_owned());
        assert_eq!(
            users.of_pod(&uid("pod")).unwrap(),
            UserNamespaceRange { host_id: 131_072, length: 65_536 }
        );
        users.of_pod(&uid("other")).unwrap();
        let ours: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join("other/userns")).unwrap()).unwrap();
        assert_eq!(
            ours["gidMappings"][0],
            serde_json::json!({"hostId": 65536, "containerId": 0, "length": 65536})
        );
    }

    #[test]
    fn what_cannot_be_understood_gives_no_ids_away() {
        let dir = TempDir::new().unwrap();
        for broken in [
            "",
            "{}",
            r#"{"uidMappings":[],"gidMappings":[]}"#,
            r#"{"uidMappings":[{"hostId":7,"containerId":0,"length":65536}],"gidMappings":[]}"#,
        ] {
            fs::create_dir_all(dir.path().join("old")).unwrap();
            fs::write(dir.path().join("old/userns"), broken).unwrap();
            for name in ["old", "new"] {
                let told = UserNamespaces::new(dir.path().to_owned()).of_pod(&uid(name)).unwrap_err();
                assert!(matches!(told, UserNamespaceError::Content { .. }), "{broken}: {told}");
            }
        }
    }
}
