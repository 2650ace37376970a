//! The same question asked once, without an agent: for whoever wants to know before a node does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::last_good;
use super::super::listing::Lister;
use super::super::reading::FileReading;
use super::super::settle::Look;
use super::{Context, TrustSettings, ask};

/// What a node would say to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How many manifests it has.
    pub manifests: usize,
    /// When its list was signed, in seconds since 1970; none where a bundle alone vouches for it.
    pub signed: Option<u64>,
    /// What is wrong: `file: problem`, by file. Empty if it would be trusted.
    pub problems: Vec<String>,
}

/// Judges a store as the agent of this node would. `last_good` is where the agent keeps its last good content, and with it how new a list must
/// be; a node that has none takes any. Blocks as long as the file system does.
pub fn verify(root: &Path, settings: &TrustSettings, last_good: &Path) -> Verification {
    let root: Arc<Path> = std::path::absolute(root).map_or_else(|_| root.into(), Arc::from);
    let mut lister = Lister::new(Arc::clone(&root), |_, _| FileReading::default());
    let listing = lister.list(&Look::Settled { writing: HashSet::new() }, None);
    let mut verification =
        Verification { manifests: listing.files.len(), signed: None, problems: listing.failures.clone() };
    let newest = match last_good::load(last_good) {
        Ok(known) => known.and_then(|(_, memory)| memory.signed),
        Err(error) => {
            verification.problems.push(crate::error_chain::error_chain(&error));
            None
        }
    };
    if !verification.problems.is_empty() {
        return verification;
    }
    match ask(settings, &lister, &listing, Context { newest, older_is_meant: false }) {
        Ok(grounds) => verification.signed = grounds.signed,
        Err(refusal) => {
            let shown = |path: &str| -> PathBuf { root.join(path) };
            let problems =
                refusal.findings().map(|(path, fault)| format!("{}: {fault}", shown(path).display()));
            verification.problems.extend(problems);
        }
    }
    verification
}
