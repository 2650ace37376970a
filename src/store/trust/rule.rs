//! Whether a store is to be trusted, by what was found in it and what vouches for it.
//!
//! Pure. Two things can vouch, each for its own part of the tree, and each for all of that part: what is there, and that nothing else is.
//!
//! - The directory [`bundle`](DIRECTORY) in the root is what a verified bundle has put there, by the node's own record. A bundle that is about to
//!   take its place counts as well as the one that has it, so that no instant of the exchange is refused. Where no bundle is on record, or the
//!   signed list names manifests in that directory, it may be as the list says instead.
//! - Everything else is as the signed list says.
//!
//! A list is asked for as soon as something needs it: a manifest that no bundle has put there, or the memory of a list that once counted. Who
//! deletes list and manifests together therefore deletes nothing.

use std::collections::BTreeMap;
use std::fmt;

use super::list::{Digests, NAME};
use crate::archive::Digest;
use crate::bundle::install::DIRECTORY;

/// What the listing found under a manifest's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Bytes with this digest were read, and are what would be used.
    Read(Digest),
    /// Somebody is writing it.
    Unfinished,
    /// It can't be read, for this reason.
    Unreadable(String),
}

/// A list whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedList {
    /// What it lists.
    pub(super) digests: Digests,
    /// When it was signed, by its signature: seconds since 1970; 0 where it does not say.
    pub(super) at: u64,
}

/// What is known of a store.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// Every manifest in it, by its path below the root.
    pub(super) manifests: &'a BTreeMap<String, Found>,
    /// More names of these manifests, links to them, each with the name that it stands for.
    pub(super) also_named: &'a BTreeMap<String, String>,
    /// The signed list, or why there is none that counts.
    pub(super) list: Result<&'a SignedList, &'a str>,
    /// When the newest list that ever counted here was signed; none: none ever did.
    pub(super) newest: Option<u64>,
    /// An operator says that an older list, or none, is meant.
    pub(super) older_is_meant: bool,
    /// What verified bundles have put into their directory, or are about to.
    pub(super) bundles: &'a [&'a Digests],
}

/// Why a store is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Grounds {
    /// When the list was signed that vouches for it; none where a bundle alone does.
    pub(in crate::store) signed: Option<u64>,
}

/// What is wrong with one file of a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Finding {
    /// Its path below the root.
    pub(in crate::store) path: String,
    /// What.
    pub(in crate::store) fault: Fault,
}

/// What can be wrong with a file of a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Fault {
    /// The list itself does not count, for this reason.
    NoList(String),
    /// The node's own record of its bundles does not count, for this reason.
    NoRecord(String),
    /// The list was signed before one that counted.
    Older {
        /// When it was signed.
        at: u64,
        /// When the other was.
        newest: u64,
    },
    /// Nothing vouches for it.
    Unlisted(Voucher),
    /// It has another digest.
    Altered(Voucher),
    /// It is not there.
    Missing(Voucher),
    /// Somebody is writing it.
    Unfinished,
    /// It can't be read, for this reason.
    Unreadable(String),
}

/// Who would have to vouch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Voucher {
    /// The signed list.
    List,
    /// The bundle that was applied.
    Bundle,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList(reason) => f.write_str(reason),
            Self::NoRecord(reason) => write!(f, "nobody knows what a bundle has put there: {reason}"),
            Self::Older { at, newest } => {
                let (at, newest) = (shown(*at), shown(*newest));
                write!(
                    f,
                    "it was signed {at}, before the one that was used last ({newest}): sign it again, or run `daemonlet store allow-older`"
                )
            }
            Self::Unlisted(Voucher::List) => write!(f, "is not in {NAME}: remove it, or list and sign it"),
            Self::Altered(Voucher::List) => {
                write!(f, "is not what {NAME} says: put the signed one back, or list and sign it")
            }
            Self::Missing(Voucher::List) => {
                write!(f, "is in {NAME} and not in the store: put it back, or list and sign what there is")
            }
            Self::Unlisted(Voucher::Bundle) => f.write_str("no bundle has put it there: remove it"),
            Self::Altered(Voucher::Bundle) => {
                f.write_str("is not what the bundle has put there: apply the bundle again")
            }
            Self::Missing(Voucher::Bundle) => {
                f.write_str("the bundle has put it there and it is gone: apply the bundle again")
            }
            Self::Unfinished => f.write_str("is being written"),
            Self::Unreadable(reason) => write!(f, "can't be compared: {reason}"),
        }
    }
}

/// A time as people read it.
fn shown(at: u64) -> String {
    use k8s_openapi::jiff::Timestamp;
    let time = i64::try_from(at).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    match time {
        Some(time) if at > 0 => format!("at {time}"),
        _ => "at no known time".to_owned(),
    }
}

/// Judges a store. Everything that is wrong with it is found in one go.
pub(super) fn judge(evidence: &Evidence<'_>) -> Result<Grounds, Vec<Finding>> {
    let (list, mut findings) = usable_list(evidence);
    let listed = |is_wanted: fn(&str) -> bool| {
        list.into_iter().flat_map(|list| &list.digests).filter(move |(path, _)| is_wanted(path))
    };
    let of_bundle = Part::new(evidence, is_of_bundle);
    let others = Part::new(evidence, |path| !is_of_bundle(path));
    let mut needs_list = evidence.newest.is_some() && !evidence.older_is_meant;

    let by_list = of_bundle.compare(listed(is_of_bundle), Voucher::List, evidence.also_named);
    let list_has_some = listed(is_of_bundle).next().is_some();
    let by_bundles = evidence.bundles.iter().map(|digests| {
        let expected: Digests =
            digests.iter().map(|(path, digest)| (format!("{DIRECTORY}/{path}"), *digest)).collect();
        of_bundle.compare(&expected, Voucher::Bundle, &BTreeMap::new())
    });
    let by_bundles: Vec<Vec<Finding>> = by_bundles.collect();
    let is_bundles = by_bundles.iter().any(Vec::is_empty);
    match by_bundles.into_iter().next() {
        _ if is_bundles => {}
        Some(by_bundle) if !(list_has_some && by_list.is_empty()) => findings.extend(by_bundle),
        Some(_) => {}
        None => {
            needs_list |= !of_bundle.manifests.is_empty();
            if list.is_some() {
                findings.extend(by_list);
            }
        }
    }

    needs_list |= !others.manifests.is_empty();
    // A node that nothing was ever meant for has nothing that a bundle could vouch for either.
    needs_list |= evidence.bundles.is_empty();
    if list.is_some() {
        findings.extend(others.compare(
            listed(|path| !is_of_bundle(path)),
            Voucher::List,
            evidence.also_named,
        ));
    } else if !needs_list {
        // What is wrong with a list that nobody needs is nobody's concern.
        findings.retain(|finding| finding.path != NAME);
    } else if !evidence.bundles.is_empty() {
        // Where a bundle vouches for the rest, it is these that should not be there.
        findings.extend(others.manifests.keys().map(|path| unlisted(path, Voucher::List)));
    }
    if !findings.is_empty() {
        findings.sort();
        return Err(findings);
    }
    Ok(Grounds { signed: list.map(|list| list.at) })
}

/// The list, if it may be used; what is wrong with it if not.
fn usable_list<'a>(evidence: &Evidence<'a>) -> (Option<&'a SignedList>, Vec<Finding>) {
    let fault = match (evidence.list, evidence.newest) {
        (Err(reason), _) => Fault::NoList(reason.to_owned()),
        (Ok(list), Some(newest)) if list.at < newest && !evidence.older_is_meant => {
            Fault::Older { at: list.at, newest }
        }
        (Ok(list), _) => return (Some(list), Vec::new()),
    };
    (None, vec![Finding { path: NAME.to_owned(), fault }])
}

fn unlisted(path: &str, voucher: Voucher) -> Finding {
    Finding { path: path.to_owned(), fault: Fault::Unlisted(voucher) }
}

fn is_of_bundle(path: &str) -> bool {
    path.strip_prefix(DIRECTORY).is_some_and(|rest| rest.starts_with('/'))
}

/// The manifests of one part of the tree.
struct Part<'a> {
    manifests: BTreeMap<&'a str, &'a Found>,
}

impl<'a> Part<'a> {
    fn new(evidence: &Evidence<'a>, is_in: impl Fn(&str) -> bool) -> Self {
        let manifests = evidence.manifests.iter().filter(|(path, _)| is_in(path));
        Self { manifests: manifests.map(|(path, found)| (path.as_str(), found)).collect() }
    }

    /// What differs from what is expected.
    fn compare<'e>(
        &self,
        expected: impl IntoIterator<Item = (&'e String, &'e Digest)>,
        voucher: Voucher,
        also_named: &BTreeMap<String, String>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut unexpected = self.manifests.clone();
        for (path, digest) in expected {
            let other_name = also_named.get(path).and_then(|name| self.manifests.get(name.as_str()).copied());
            let fault = match unexpected.remove(path.as_str()).or(other_name) {
                Some(Found::Read(found)) if found == digest => continue,
                Some(Found::Read(_)) => Fault::Altered(voucher),
                Some(Found::Unfinished) => Fault::Unfinished,
                Some(Found::Unreadable(reason)) => Fault::Unreadable(reason.clone()),
                None => Fault::Missing(voucher),
            };
            findings.push(Finding { path: path.clone(), fault });
        }
        findings.extend(unexpected.into_keys().map(|path| unlisted(path, voucher)));
        findings
    }
}
