//! What lies below a directory, as `du` counts: whole blocks, each file once however many names it has, and nothing on another file system.
//!
//! What changes or vanishes meanwhile is counted as far as it can be: a walk over what a container writes must not fail for it. Links are
//! never followed. To be called off the agent's thread.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::local_storage::Space;

/// How a block is counted in `st_blocks`, whatever the file system's own.
const BLOCK: u64 = 512;

/// Everything at `dir` and below it; nothing if there is no such directory.
pub fn usage_below(dir: &Path) -> Space {
    let mut sum = Space::default();
    let Ok(top) = fs::symlink_metadata(dir) else { return sum };
    let device = top.dev();
    // Only files with several names can be met twice.
    let mut several_names = BTreeSet::new();
    let mut left = vec![dir.to_owned()];
    sum += space(&top);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() != device {
                continue;
            }
            if found.is_dir() {
                left.push(entry.path());
            } else if found.nlink() > 1 && !several_names.insert(found.ino()) {
                continue;
            }
            sum += space(&found);
        }
    }
    sum
}

fn space(found: &fs::Metadata) -> Space {
    Space { bytes: found.blocks().saturating_mul(BLOCK), inodes: 1 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_file_counts_once_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("huge"), vec![1; 4 << 20]).unwrap();
        let empty = usage_below(&inside);
        assert_eq!(empty.inodes, 3);
        fs::write(inside.join("a/file"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(inside.join("a/file"), inside.join("a/b/same")).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("huge"), inside.join("a/link")).unwrap();
        let sparse = fs::File::create(inside.join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        let found = usage_below(&inside);
        assert_eq!(found.inodes, 3 + 4);
        let written = found.bytes - empty.bytes;
        assert!((1 << 20..2 << 20).contains(&written), "{written}");
        assert_eq!(usage_below(&dir.path().join("nothing")), Space::default());
    }
}
