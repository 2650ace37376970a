//! Where a runtime listens: the path of a unix socket, however the operator spells it.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The longest path that the kernel takes for a unix socket (`sun_path` less its terminating zero), in bytes.
const LONGEST: usize = 107;

/// A runtime's unix socket; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(Arc<Path>);

/// Why a text names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Only unix sockets carry the CRI on Linux.
    #[error("runtime endpoint {0:?} is not a unix socket; write unix:///path/to/socket")]
    Scheme(String),
    /// A path that depends on where the agent was started.
    #[error("runtime endpoint {0:?} is not an absolute path; write unix:///path/to/socket")]
    Relative(String),
    /// The kernel would refuse it.
    #[error(
        "runtime endpoint {0:?} is longer than the {LONGEST} bytes that the kernel takes for a socket's path"
    )]
    TooLong(PathBuf),
    /// The kernel would cut it off there.
    #[error("runtime endpoint {0:?} contains a zero byte")]
    ZeroByte(PathBuf),
}

impl Endpoint {
    /// An endpoint at an absolute path.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, EndpointError> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        if !path.is_absolute() {
            return Err(EndpointError::Relative(path.display().to_string()));
        }
        if bytes.contains(&0) {
            return Err(EndpointError::ZeroByte(path.to_owned()));
        }
        if bytes.len() > LONGEST {
            return Err(EndpointError::TooLong(path.to_owned()));
        }
        Ok(Self(path.into()))
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Takes `unix:///path`, `unix:/path` and `/path`, as kubelet and crictl do.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let path = match text.split_once(':') {
            Some(("unix", rest)) => rest.strip_prefix("//").unwrap_or(rest),
            Some((scheme, _)) if !scheme.contains('/') => return Err(EndpointError::Scheme(text.to_owned())),
            _ => text,
        };
        match Self::new(path) {
            Err(EndpointError::Relative(_)) => Err(EndpointError::Relative(text.to_owned())),
            other => other,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_names_the_same_socket() {
        for text in ["unix:///run/a.sock", "unix:/run/a.sock", "/run/a.sock"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.path(), Path::new("/run/a.sock"), "{text}");
            assert_eq!(endpoint.to_string(), "unix:///run/a.sock");
        }
        assert_eq!("/run/a:b.sock".parse::<Endpoint>().unwrap().path(), Path::new("/run/a:b.sock"));
    }

    #[test]
    fn what_is_no_unix_socket_is_refused_with_the_reason() {
        let parse = |text: &str| text.parse::<Endpoint>().unwrap_err();
        assert!(matches!(parse("tcp://127.0.0.1:10010"), EndpointError::Scheme(_)));
        assert!(matches!(parse("npipe:////./pipe/x"), EndpointError::Scheme(_)));
        for text in ["", "run/a.sock", "unix://", "unix://run/a.sock", "unix:a.sock"] {
            assert_eq!(parse(text), EndpointError::Relative(text.to_owned()));
        }
        assert!(matches!(parse("/run/\0.sock"), EndpointError::ZeroByte(_)));
    }

    #[test]
    fn a_path_as_long_as_the_kernel_takes_is_the_longest() {
        let path = format!("/{}", "x".repeat(106));
        assert!(Endpoint::new(&path).is_ok());
        assert!(matches!(Endpoint::new(path + "x"), Err(EndpointError::TooLong(_))));
    }
}
