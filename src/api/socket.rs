//! The API's unix socket: for root alone, put in its place whole, and never taken from an agent that still answers.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Where the agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/daemonlet/daemonlet.sock";

/// Why the API can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another agent answers.
    #[error("another agent answers on {0}: stop it first, or give this one a socket of its own")]
    InUse(PathBuf),
    /// Something else has the path.
    #[error("{0} is there and is no socket: remove it, or choose another path for the API's socket")]
    NotASocket(PathBuf),
    /// A step failed.
    #[error("can't {step} {path}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A listening socket, which is removed when it is dropped unless another has taken its place.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    identity: (u64, u64),
    listener: UnixListener,
}

impl Socket {
    /// Listens at this path. Its directory is made if it is missing (0700); the socket itself is 0600.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |step: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| BindError::Io { step, path, source }
        };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(failed("make the directory", directory))?;
        }
        refuse_if_taken(path)?;
        // Made beside its place and moved there: nobody ever finds it with other permissions or not yet listening.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let draft = path.with_file_name(name);
        let _ = fs::remove_file(&draft);
        let listener = UnixListener::bind(&draft).map_err(failed("listen on", &draft))?;
        let placed = (|| {
            fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
            let metadata = fs::symlink_metadata(&draft)?;
            fs::rename(&draft, path)?;
            Ok((metadata.dev(), metadata.ino()))
        })();
        let identity = placed.map_err(|source| {
            let _ = fs::remove_file(&draft);
            failed("put in its place", path)(source)
        })?;
        Ok(Self { path: path.to_owned(), identity, listener })
    }

    pub(super) fn local_addr(&self) -> io::Result<tokio::net::unix::SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) fn listener(&mut self) -> &mut UnixListener {
        &mut self.listener
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_if_taken(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BindError::Io { step: "look at", path: path.to_owned(), source }),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path) {
            // A full backlog is an agent too, only a busy one.
            Ok(_) => Err(BindError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::InUse(path.to_owned())),
            Err(_) => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_is_for_root_alone_and_goes_with_the_agent() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run/daemonlet.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        drop(socket);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_socket_is_never_taken_from_an_agent_that_answers() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        let first = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(BindError::InUse(_))));
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
    }

    #[tokio::test]
    async fn a_socket_that_nobody_answers_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let _socket = Socket::bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_socket_that_has_taken_our_place_stays_when_we_go() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        let ours = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = Socket::bind(&path).unwrap();
        drop(ours);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
