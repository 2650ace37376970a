//! Whether the store is to be trusted, where a trust file is configured: all of it, or none of it.
//!
//! A store that many nodes share (NFS, rsync, a git checkout) is trusted for a list of its manifests, `SHA256SUMS` in its root, that
//! `SHA256SUMS.minisig` beside it signs:
//!
//! ```text
//! find . -name '*.yaml' -o -name '*.yml' -o -name '*.json' | sort | xargs -d '\n' sha256sum > SHA256SUMS && minisign -S -m SHA256SUMS
//! ```
//!
//! What a verified bundle has put into the store is trusted for the record that `bundle apply` keeps in the state directory. The precise rule is
//! [`rule`]; which files count as manifests is the listing's to say, so neither hidden files nor back-ups need be listed, and no file that would
//! be read can be left out. There is one list for the whole tree, sub-folders included. The digests are those of the very bytes that were
//! parsed: the listing computes them as it reads, and nothing is read twice.
//!
//! A store that is refused is refused as a whole: of what it holds nothing is used, and the last good content rules, also after a restart.
//! So a store that is half copied is not taken either until the rest has come.
//!
//! When the newest list was signed that ever counted here is remembered with the last good content. An older one is refused, for a list that was
//! good once stays signed for ever; `daemonlet store allow-older` takes it all the same. Two lists of the same second count as equally new, and
//! one whose trusted comment has no time (`minisign -t`) as older than any that has.
//!
//! This module reads the list, its signature, the keys and the record; it must never change any of them, nor decide anything: that is the rule's.

pub mod list;
mod rule;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use self::list::{Digests, ListError, NAME};
use self::rule::{Evidence, Fault, Finding, Found, SignedList};
use super::listing::{self, Lister, Listing, NotRead};
use super::merge::FileState;
use crate::bundle::signature::{self, SignatureError, Trust};
use crate::bundle::state::State;
use crate::error_chain::error_chain;

pub(super) use self::rule::Grounds;
pub use self::verify::{Verification, verify};

/// Where to look for what vouches for a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustSettings {
    /// The public keys.
    pub trust_file: PathBuf,
    /// The record of the bundles that this node has had.
    pub bundles: PathBuf,
}

/// What is asked about a store beside what is in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// When the newest list that ever counted was signed.
    pub(super) newest: Option<u64>,
    /// An operator says that an older one is meant.
    pub(super) older_is_meant: bool,
}

/// Why a store is not trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    findings: Vec<Finding>,
}

impl Refusal {
    /// Each file with what is wrong with it. The list is among them where it is at fault itself.
    pub(super) fn findings(&self) -> impl Iterator<Item = (&str, &Fault)> {
        self.findings.iter().map(|finding| (finding.path.as_str(), &finding.fault))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store is not trusted")?;
        if let Some(first) = self.findings.first() {
            write!(f, ": {}: {}", first.path, first.fault)?;
        }
        match self.findings.len() {
            0 | 1 => Ok(()),
            many => write!(f, " (and {} more)", many - 1),
        }
    }
}

/// Why there is no list that counts.
#[derive(Debug, thiserror::Error)]
enum NoList {
    #[error(
        "there is none, and nothing else vouches for the store: list its manifests and sign the list, or apply a signed bundle"
    )]
    Absent,
    #[error("can't be read: {0}")]
    NotRead(NotRead),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("its signature can't be read: {0}")]
    SignatureNotRead(NotRead),
    #[error("it is signed, and can't be used: {0}")]
    Malformed(ListError),
}

/// Whether a file of the store is the list or its signature.
pub(super) fn is_own_file(root: &Path, path: &Path) -> bool {
    let list = root.join(NAME);
    path == list || path == signature::beside(&list)
}

/// Looks at what vouches for a listing that has come to its end, and judges it.
pub(super) fn ask(
    settings: &TrustSettings,
    lister: &Lister,
    listing: &Listing,
    context: Context,
) -> Result<Grounds, Refusal> {
    let root = lister.root();
    let name_of = |path: &Path| {
        let below = path.strip_prefix(root).unwrap_or(path);
        below.to_string_lossy().into_owned()
    };
    let manifests: BTreeMap<String, Found> =
        listing.files.iter().map(|(path, state)| (name_of(path), found(state, lister, path))).collect();
    let also_named = listing.twins.iter().map(|(path, first)| (name_of(path), name_of(first))).collect();
    let list = signed_list(&settings.trust_file, root).map_err(|problem| problem.to_string());
    let record = State::read(&settings.bundles);
    let none = Vec::new();
    let (bundles, problem) = match &record {
        Ok(state) => (state.vouched().collect(), None),
        Err(error) => (none, Some(error_chain(error))),
    };
    let judged = rule::judge(&Evidence {
        manifests: &manifests,
        also_named: &also_named,
        list: list.as_ref().map_err(String::as_str),
        newest: context.newest,
        older_is_meant: context.older_is_meant,
        bundles: &bundles,
    });
    judged.map_err(|mut findings| {
        // It may be what is missing.
        if let Some(problem) = problem {
            findings.push(Finding {
                path: crate::bundle::install::DIRECTORY.to_owned(),
                fault: Fault::NoRecord(problem),
            });
        }
        Refusal { findings }
    })
}

fn found(state: &FileState, lister: &Lister, path: &Path) -> Found {
    match (state, lister.digest(path)) {
        (FileState::Read(_), Some(digest)) => Found::Read(digest),
        (FileState::Read(_) | FileState::Pending, _) => Found::Unfinished,
        (FileState::Unreadable(problem), _) => Found::Unreadable(problem.message.clone()),
    }
}

/// The list in the store's root, if one of the trusted keys has signed it.
fn signed_list(trust_file: &Path, root: &Path) -> Result<SignedList, NoList> {
    let path = root.join(NAME);
    let bytes = match listing::read(&path) {
        Err(NotRead::Absent) => return Err(NoList::Absent),
        read => read.map_err(NoList::NotRead)?,
    };
    let trust = Trust::read(trust_file)?;
    let beside = signature::beside(&path);
    let signature = match listing::read(&beside) {
        Err(NotRead::Absent) => return Err(SignatureError::Unsigned(beside).into()),
        read => signature::decode(&read.map_err(NoList::SignatureNotRead)?, &beside)?,
    };
    let mut verifier = trust.verifier(&signature)?;
    verifier.update(&bytes);
    verifier.finish()?;
    let digests: Digests = list::parse(&bytes).map_err(NoList::Malformed)?;
    Ok(SignedList { digests, at: signature::signed_at(&signature).unwrap_or(0) })
}
