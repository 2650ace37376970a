//! Which directories to watch so that nothing that changes what a path leads to goes unseen.
//!
//! Editors rename a new file over the old one, and Kubernetes-style mounts swap a symbolic link somewhere along the way
//! (`node.yaml` → `..data/node.yaml`, `..data` → `..2026_01`), so watching the file itself would miss both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// The directories in which an entry on the way to `path` could be replaced: that of the file, that of each symbolic link,
/// and, where something is missing, the deepest one that exists.
pub(super) fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left: Vec<PathBuf> = reversed(path);
    let mut here = PathBuf::from(if path.is_absolute() { "/" } else { "." });
    let mut links = 0;
    while let Some(step) = left.pop() {
        let next = here.join(&step);
        let Ok(metadata) = fs::symlink_metadata(&next) else {
            found.insert(here);
            return found;
        };
        if metadata.is_symlink() {
            found.insert(here.clone());
            links += 1;
            let Ok(target) = fs::read_link(&next) else { return found };
            if links > MAX_LINKS {
                return found;
            }
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            left.extend(reversed(&target));
        } else if left.is_empty() {
            found.insert(here.clone());
        } else if step.as_os_str() == ".." {
            // `here` holds no links any more, so its parent is what `..` means.
            here = here.parent().map_or(PathBuf::from("/"), Path::to_owned);
        } else {
            here = next;
        }
    }
    found
}

/// The steps of a path, the first one last.
fn reversed(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir))
        .map(|step| PathBuf::from(step.as_os_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_link_and_the_file_are_watched_where_they_lie() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        for folder in ["etc", "mount/..v1", "mount/..v2"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("mount/..v1/node.yaml"), "").unwrap();
        symlink("..v1", root.join("mount/..data")).unwrap();
        symlink("..data/node.yaml", root.join("mount/node.yaml")).unwrap();
        symlink("../mount/node.yaml", root.join("etc/node.yaml")).unwrap();

        let expected = ["etc", "mount", "mount/..v1"].map(|folder| root.join(folder));
        assert_eq!(directories(&root.join("etc/node.yaml")), BTreeSet::from(expected));
    }

    #[test]
    fn what_is_missing_is_watched_from_the_deepest_directory_there_is() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        let watched = |file: &str| directories(&root.join(file));
        assert_eq!(watched("etc/daemonlet/node.yaml"), BTreeSet::from([root.clone()]));
        fs::create_dir(root.join("etc")).unwrap();
        assert_eq!(watched("etc/node.yaml"), BTreeSet::from([root.join("etc")]));
    }

    #[test]
    fn a_link_to_itself_ends() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(directories(&root.join("loop")), BTreeSet::from([root]));
    }
}
