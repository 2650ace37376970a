//! The node's own registry credentials: a file in the format of docker's `config.json`, for the images of every pod.
//!
//! Looked at when an image is pulled, and read again when it is another than before; nothing watches it. What can't be read never holds up a
//! pull: it goes on with what else there is, and the problem is told. Rules: `pkg/credentialprovider/config.go` (the kubelet's
//! `{root-dir}/config.json`) and `keyring.go`, whose union asks a pod's own secrets first.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;
use tracing::warn;

use crate::image::{CredentialsError, Keyring, SecretFormat};

/// More than this is no file of credentials.
const LARGEST: u64 = 1 << 20;

/// Where the file is, and whether it must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsFile {
    /// Where it is looked for of itself. It need not exist.
    Default(PathBuf),
    /// Where the configuration says that it is.
    Configured(PathBuf),
}

/// Why the file gives no credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeCredentialsError {
    /// It can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// It is not what docker writes.
    #[error("understand {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: CredentialsError,
    },
    /// It is too large to be what it should be.
    #[error("{} has more than {LARGEST} bytes", path.display())]
    Size {
        /// The file.
        path: PathBuf,
    },
}

/// The node's credentials. Cloning shares them.
#[derive(Debug, Clone)]
pub struct NodeCredentials(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: CredentialsFile,
    read: Mutex<Option<Read>>,
}

/// What was read, and from which state of the file.
#[derive(Debug)]
struct Read {
    stamp: Stamp,
    outcome: Result<Arc<Keyring>, NodeCredentialsError>,
}

/// By what a changed file is told from the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl NodeCredentials {
    /// Credentials from this file.
    pub fn new(file: CredentialsFile) -> Self {
        Self(Arc::new(Shared { file, read: Mutex::new(None) }))
    }

    /// The credentials as the file has them now. No default file, no credentials.
    ///
    /// # Errors
    /// When there is a file and it can't be used, or there is none where one was configured.
    pub async fn now(&self) -> Result<Arc<Keyring>, NodeCredentialsError> {
        let shared = Arc::clone(&self.0);
        spawn_blocking(move || shared.now()).await.unwrap_or_else(|panic| {
            Err(NodeCredentialsError::Read {
                path: self.0.path().to_owned(),
                source: Arc::new(io::Error::other(panic)),
            })
        })
    }
}

impl Shared {
    fn path(&self) -> &Path {
        match &self.file {
            CredentialsFile::Default(path) | CredentialsFile::Configured(path) => path,
        }
    }

    fn now(&self) -> Result<Arc<Keyring>, NodeCredentialsError> {
        let path = self.path();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(source) => {
                *read = None;
                if matches!(self.file, CredentialsFile::Default(_))
                    && source.kind() == io::ErrorKind::NotFound
                {
                    return Ok(Arc::default());
                }
                return Err(unreadable(path, source));
            }
        };
        let stamp = Stamp::of(&found);
        if let Some(read) = read.as_ref().filter(|read| read.stamp == stamp) {
            return read.outcome.clone();
        }
        if found.mode() & 0o004 != 0 {
            warn!(file = %path.display(), "everybody on this node can read the registry credentials: chmod 0600 keeps them secret");
        }
        let outcome = keyring_of(path, &found).map(Arc::new);
        *read = Some(Read { stamp, outcome: outcome.clone() });
        outcome
    }
}

fn keyring_of(path: &Path, found: &Metadata) -> Result<Keyring, NodeCredentialsError> {
    if !found.is_file() {
        return Err(unreadable(path, io::Error::other("it is not a regular file")));
    }
    if found.len() > LARGEST {
        return Err(NodeCredentialsError::Size { path: path.to_owned() });
    }
    let document = fs::read(path).map_err(|source| unreadable(path, source))?;
    let mut keyring = Keyring::default();
    keyring
        .add(SecretFormat::DockerConfigJson, &document)
        .map_err(|source| NodeCredentialsError::Content { path: path.to_owned(), source })?;
    Ok(keyring)
}

fn unreadable(path: &Path, source: io::Error) -> NodeCredentialsError {
    NodeCredentialsError::Read { path: path.to_owned(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;

    use super::*;
    use crate::error_chain::error_chain;
    use crate::image::ImageName;

    fn document(user: &str) -> String {
        format!(r#"{{"auths": {{"r.example": {{"username": "{user}", "password": "p"}}}}}}"#)
    }

    async fn user(credentials: &NodeCredentials) -> Option<String> {
        let keyring = credentials.now().await.unwrap();
        keyring.lookup(&ImageName::parse("r.example/a").unwrap()).first().map(|found| found.username.clone())
    }

    #[tokio::test]
    async fn the_file_is_read_when_it_comes_changes_and_goes_and_not_in_between() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("config.json");
        let credentials = NodeCredentials::new(CredentialsFile::Default(path.clone()));
        assert_eq!(user(&credentials).await, None);
        fs::write(&path, document("one")).unwrap();
        assert_eq!(user(&credentials).await.as_deref(), Some("one"));
        let (first, second) = (credentials.now().await.unwrap(), credentials.now().await.unwrap());
        assert!(Arc::ptr_eq(&first, &second), "read once");
        // Of the same length and in the same moment, as far as its times go.
        fs::write(dir.path().join("new"), document("two")).unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(user(&credentials).await.as_deref(), Some("two"));
        fs::write(&path, document("six")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(user(&credentials).await.as_deref(), Some("six"));
        fs::remove_file(&path).unwrap();
        assert_eq!(user(&credentials).await, None);
    }

    #[tokio::test]
    async fn what_can_not_be_used_says_why_and_gives_nothing_away() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("config.json");
        let said = async |file| {
            let problem = NodeCredentials::new(file).now().await.unwrap_err();
            error_chain(&problem).replace(&path.display().to_string(), "FILE")
        };
        let configured = || CredentialsFile::Configured(path.clone());
        assert_eq!(said(configured()).await, "read FILE: No such file or directory (os error 2)");
        fs::write(&path, r#"{"auths": {"r.example": {"auth": "aHVudGVyMg=="}}}"#).unwrap();
        let expected = "understand FILE: unable to parse auth field of registry \"r.example\", must be formatted as base64(username:password)";
        assert_eq!(said(configured()).await, expected);
        fs::write(&path, "{\"auths\":\n hunter2").unwrap();
        let default = CredentialsFile::Default(path.clone());
        assert_eq!(said(default).await, "understand FILE: not valid registry credentials: line 2, column 2");
        fs::File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(said(configured()).await, "FILE has more than 1048576 bytes");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(said(configured()).await, "read FILE: it is not a regular file");
    }
}
