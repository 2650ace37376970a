//! Why a volume can't be set up, in the kubelet's words.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::field_ref::FieldRefError;
use super::layout::InvalidName;
use super::payload::InvalidPath;

/// One volume that could not be set up or brought up to date.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?}")]
pub struct VolumeError {
    /// The volume's name in the pod.
    pub volume: String,
    /// What is wrong.
    #[source]
    pub reason: Reason,
}

impl VolumeError {
    /// The message of the `FailedMount` event, reason included, as the kubelet writes it.
    pub fn event_message(&self) -> String {
        format!("{self} : {}", Chain(&self.reason))
    }
}

/// What is wrong with a volume.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum Reason {
    #[error("configmap {0:?} not found")]
    ConfigMapNotFound(String),
    #[error("secret {0:?} not found")]
    SecretNotFound(String),
    #[error("configmap references non-existent config key: {0}")]
    ConfigMapKey(String),
    #[error("references non-existent secret key: {0}")]
    SecretKey(String),
    #[error(transparent)]
    FieldRef(#[from] FieldRefError),
    #[error(
        "no token for service account {namespace:?}/{account:?}: add a Secret of type \
         kubernetes.io/service-account-token with the annotation kubernetes.io/service-account.name: {account} \
         and the key token to namespace {namespace}"
    )]
    NoServiceAccountToken { namespace: String, account: String },
    #[error("projected source {0} needs an API server, and daemonlet runs without one")]
    NeedsApiServer(&'static str),
    #[error("volumes of kind {0} need an API server or a driver, and daemonlet runs without them")]
    Unsupported(&'static str),
    #[error("hostPath type check failed: {} is not {expected}", path.display())]
    HostPathType { path: PathBuf, expected: &'static str },
    #[error("{0} is an invalid volume type")]
    HostPathUnknownType(String),
    #[error("invalid HostPath `{0}`: must not contain '..'")]
    HostPathBackstep(String),
    #[error("emptyDir medium {0:?} is not known: use \"\", Memory, HugePages or HugePages-<size>")]
    UnknownMedium(String),
    #[error("medium {0}: hugePages storage requested, but there is no resource request for huge pages")]
    NoHugePagesRequest(String),
    #[error("medium HugePages can't be used if container requests multiple huge page sizes")]
    SeveralHugePageSizes,
    #[error("{0} is already mounted as {1}, which is not what the volume asks for")]
    OtherMount(PathBuf, String),
    #[error("invalid Container mount point {0}")]
    MountPoint(String),
    #[error(transparent)]
    Path(#[from] InvalidPath),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Io(#[from] PathError),
    #[error("{}", Several(.0))]
    Several(Vec<Reason>),
}

impl Reason {
    /// All of these at once; `None` if there are none.
    pub(super) fn of_several(mut reasons: Vec<Reason>) -> Option<Reason> {
        if reasons.len() > 1 { Some(Reason::Several(reasons)) } else { reasons.pop() }
    }
}

/// An operation on a path that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct PathError {
    /// What was tried, in the infinitive.
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// Says on which path something failed.
pub(super) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, PathError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, PathError> {
        self.map_err(|source| PathError { action, path: path.to_owned(), source: source.into() })
    }
}

/// An error and its causes on one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Several reasons as Kubernetes joins errors: `[one, two]`.
struct Several<'a>(&'a [Reason]);

impl fmt::Display for Several<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, reason) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Chain(reason))?;
        }
        write!(f, "]")
    }
}
