//! One file of the store: read if it changed and is whole, else as it was.
//!
//! A file is opened without blocking and looked at after opening, so that no fifo or device, however it came there, stops the
//! walk. Bytes are not kept: a digest tells whether a rewritten file says anything new.

use std::collections::HashMap;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use super::super::merge::FileState;
use super::super::reading::Parse;
use super::super::settle::Look;
use super::problem;
use crate::archive::Digest;

/// Larger files are no manifests: etcd takes no object above 1.5 MiB either.
const LARGEST: u64 = 10 * 1024 * 1024;

/// Files written less than this before they were read may be written again without a visible change of their times.
const TIMES_GRANULARITY: Duration = Duration::from_secs(2);

/// By which a change of a file is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        Signature {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[derive(Debug)]
struct Known {
    signature: Signature,
    state: FileState,
    digest: Option<[u8; 32]>,
    /// It was written so shortly before it was read that an equal signature proves nothing.
    fresh: bool,
}

/// A file about to be judged.
pub(super) struct Candidate<'a> {
    /// Its path as the user would name it.
    pub(super) shown: &'a Arc<Path>,
    /// Its path without symlinks.
    pub(super) real: &'a Path,
    /// What `stat` says of it.
    pub(super) metadata: &'a Metadata,
    /// Whether the event that led here says it is whole.
    pub(super) whole: bool,
}

/// What came of a candidate.
pub(super) enum Judged {
    /// This is known of it.
    State(FileState),
    /// It is no regular file, for this reason.
    Ignored(&'static str),
    /// It went away meanwhile.
    Vanished,
}

/// All that is known of files from earlier looks.
pub(super) struct Cache {
    parse: Parse,
    known: HashMap<Arc<Path>, Known>,
    /// Changed files that were not read yet, as they were when last looked at.
    pending: HashMap<Arc<Path>, Signature>,
}

impl Cache {
    pub(super) fn new(parse: Parse) -> Self {
        Cache { parse, known: HashMap::new(), pending: HashMap::new() }
    }

    /// Forgets the files that are not among these.
    pub(super) fn retain(&mut self, keep: impl Fn(&Arc<Path>) -> bool) {
        self.known.retain(|path, _| keep(path));
        self.pending.retain(|path, _| keep(path));
    }

    /// The digest of what is known of a file: of the bytes that were parsed.
    pub(super) fn digest(&self, path: &Path) -> Option<Digest> {
        self.known.get(path).and_then(|known| known.digest).map(Digest::from)
    }

    /// Judges a file. Sets `unsettled` if a later look will know more.
    pub(super) fn judge(&mut self, file: &Candidate<'_>, look: &Look, unsettled: &mut bool) -> Judged {
        let signature = Signature::of(file.metadata);
        if let Some(known) = self.known.get(file.shown)
            && known.signature == signature
            && !file.whole
        {
            let transient = matches!(known.state, FileState::Unreadable(_)) && known.digest.is_none();
            let doubtful = known.fresh || transient;
            let settled = matches!(look, Look::Settled { .. });
            if !(settled && doubtful) {
                *unsettled |= doubtful && look.is_round();
                self.pending.remove(file.shown);
                return Judged::State(known.state.clone());
            }
        }
        let readable = match look {
            Look::Prompt { .. } => {
                *unsettled |= !file.whole;
                file.whole
            }
            Look::Settled { writing } => {
                let moving = self.pending.get(file.shown).is_some_and(|seen| *seen != signature);
                *unsettled |= moving;
                !moving && !writing.contains(file.real)
            }
        };
        if !readable {
            return self.put_off(file.shown, signature);
        }
        match open(file.real) {
            Ok(Opened::Whole(bytes, signature)) => {
                self.pending.remove(file.shown);
                Judged::State(self.remember(file.shown, signature, &bytes))
            }
            Ok(Opened::Moving(signature)) => {
                *unsettled = true;
                self.put_off(file.shown, signature)
            }
            Ok(Opened::TooLarge(signature)) => {
                let message = format!(
                    "larger than {} MiB: split it, or move what is no manifest out of the store",
                    LARGEST >> 20
                );
                self.refuse(file.shown, signature, message, Some([0; 32]))
            }
            Ok(Opened::Special(reason)) => Judged::Ignored(reason),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *unsettled = true;
                Judged::Vanished
            }
            Err(error) => {
                let message = format!("can't be read ({error}): {}", remedy(&error));
                self.refuse(file.shown, signature, message, None)
            }
        }
    }

    fn parse(&self, path: &Arc<Path>, bytes: &[u8]) -> FileState {
        // A file that the reader trips over is that file's failure alone.
        catch_unwind(|| (self.parse)(path, bytes)).map_or_else(
            |_| {
                let message = "reading it fails through a fault of daemonlet's: please report it with the file; \
                               what it provided stays";
                FileState::Unreadable(problem(path, message.to_owned()))
            },
            |reading| FileState::Read(Arc::new(reading)),
        )
    }

    fn put_off(&mut self, path: &Arc<Path>, signature: Signature) -> Judged {
        self.pending.insert(Arc::clone(path), signature);
        Judged::State(self.known.get(path).map_or(FileState::Pending, |known| known.state.clone()))
    }

    fn refuse(
        &mut self,
        path: &Arc<Path>,
        signature: Signature,
        message: String,
        digest: Option<[u8; 32]>,
    ) -> Judged {
        self.pending.remove(path);
        let state = FileState::Unreadable(problem(path, message + "; what it provided stays"));
        let known = Known { signature, state: state.clone(), digest, fresh: false };
        self.known.insert(Arc::clone(path), known);
        Judged::State(state)
    }

    fn remember(&mut self, path: &Arc<Path>, signature: Signature, bytes: &[u8]) -> FileState {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let unchanged = self.known.get(path).filter(|known| known.digest == Some(digest));
        let state = match unchanged {
            Some(known) => known.state.clone(),
            None => self.parse(path, bytes),
        };
        let written =
            SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(signature.modified.0).unwrap_or(0), 0);
        let fresh = !written.elapsed().is_ok_and(|age| age >= TIMES_GRANULARITY);
        let known = Known { signature, state: state.clone(), digest: Some(digest), fresh };
        self.known.insert(Arc::clone(path), known);
        state
    }
}

enum Opened {
    Whole(Vec<u8>, Signature),
    Moving(Signature),
    TooLarge(Signature),
    Special(&'static str),
}

fn open(path: &Path) -> io::Result<Opened> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if let Some(reason) = special(&metadata) {
        return Ok(Opened::Special(reason));
    }
    let signature = Signature::of(&metadata);
    if metadata.size() > LARGEST {
        return Ok(Opened::TooLarge(signature));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.size()).unwrap_or(0) + 1);
    (&mut file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    let after = Signature::of(&file.metadata()?);
    if after != signature || bytes.len() as u64 != signature.size {
        return Ok(Opened::Moving(after));
    }
    Ok(Opened::Whole(bytes, signature))
}

/// Why a file beside the manifests was not read.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum NotRead {
    #[error("there is none")]
    Absent,
    #[error("it is being written")]
    Moving,
    #[error("it is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    #[error("it is {0}")]
    Special(&'static str),
    #[error("{0}")]
    System(io::Error),
}

/// Reads a file that is no manifest, with the same care: nothing that may lie there stops the walk.
pub(in crate::store) fn read(path: &Path) -> Result<Vec<u8>, NotRead> {
    match open(path) {
        Ok(Opened::Whole(bytes, _)) => Ok(bytes),
        Ok(Opened::Moving(_)) => Err(NotRead::Moving),
        Ok(Opened::TooLarge(_)) => Err(NotRead::TooLarge),
        Ok(Opened::Special(reason)) => Err(NotRead::Special(reason)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(NotRead::Absent),
        Err(error) => Err(NotRead::System(error)),
    }
}

/// Why a thing that is neither a directory nor a regular file is left out.
pub(super) fn special(metadata: &Metadata) -> Option<&'static str> {
    let file_type = metadata.file_type();
    if file_type.is_file() {
        None
    } else if file_type.is_fifo() {
        Some("a named pipe")
    } else if file_type.is_socket() {
        Some("a socket")
    } else if file_type.is_dir() {
        Some("a directory")
    } else {
        Some("a device")
    }
}

/// What to do about an error of the file system.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let the agent read it",
        io::ErrorKind::NotFound => "create it, or mount what belongs there",
        io::ErrorKind::NotADirectory => "put a directory there",
        io::ErrorKind::StaleNetworkFileHandle => "mount the file system again",
        _ => "check the file system and the kernel's log",
    }
}
