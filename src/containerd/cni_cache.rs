//! Results of CNI plugins that a power cut left broken.
//!
//! The CNI library keeps the result of each ADD in a file, without a sync. When the power goes, the file may be empty afterwards; then the
//! library refuses the DEL, containerd refuses to stop the sandbox, and both do so for ever. Without the file the DEL works: it only
//! tells plugins again what they had said. So a file that names our sandbox and is no JSON is taken away, and no other. Rule:
//! `libcni/api.go` (`getCachedConfig`, `DelNetworkList`).

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use crate::cri::{CriError, SandboxId};

/// Where the library keeps results unless told otherwise, which containerd never does.
const RESULTS: &str = "/var/lib/cni/results";

/// Whether the runtime refuses for a result that it can't read.
pub fn is_broken_result(refusal: &CriError) -> bool {
    refusal.message().contains("failed to destroy network") && refusal.message().contains("cached result")
}

/// Takes away the results of a sandbox that can't be read; says which.
///
/// # Errors
/// When the results can't be looked at, or one can't be taken away.
pub fn discard_broken_results(sandbox: &SandboxId) -> io::Result<Vec<PathBuf>> {
    discard_broken(Path::new(RESULTS), sandbox.as_str())
}

fn discard_broken(dir: &Path, sandbox: &str) -> io::Result<Vec<PathBuf>> {
    // `<network>-<sandbox>-<interface>`
    let name_part = format!("-{sandbox}-");
    let mut discarded = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(discarded),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.contains(&name_part));
        if is_ours
            && entry.file_type()?.is_file()
            && serde_json::from_slice::<IgnoredAny>(&fs::read(entry.path())?).is_err()
        {
            fs::remove_file(entry.path())?;
            discarded.push(entry.path());
        }
    }
    Ok(discarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_the_sandbox_and_is_broken_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("pods-abc-eth0", "", false),
            ("pods-abc-net1", "{\"half\":", false),
            ("more-abc-eth0", "{\"kind\":\"cniCacheV1\"}", true),
            ("pods-abcd-eth0", "", true),
            ("pods-xyz-eth0", "", true),
        ];
        for (name, text, _) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(discard_broken(dir.path(), "abc").unwrap().len(), 2);
        for (name, _, stays) in files {
            assert_eq!(dir.path().join(name).exists(), stays, "{name}");
        }
        assert!(discard_broken(&dir.path().join("none"), "abc").unwrap().is_empty());
    }
}
