//! Where a path leads, link by link: each link on the way is a place where the store's content can change.
//!
//! ConfigMap volumes and git-sync replace a whole tree by renaming one symlink that sits somewhere along the path; only who
//! knows every link can watch for that.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// The way from a path to what it names.
#[derive(Debug)]
pub(super) struct Trail {
    /// Every symlink passed, by a path that has none in its directory part.
    pub(super) links: Vec<PathBuf>,
    /// What is at the end, by a path without symlinks.
    pub(super) end: Result<PathBuf, Broken>,
}

/// A way that leads nowhere.
#[derive(Debug)]
pub(super) struct Broken {
    /// Where it breaks off, by a path without symlinks in its directory part.
    pub(super) at: PathBuf,
    /// What the system says.
    pub(super) source: io::Error,
}

/// Follows `path`; a relative one begins at the working directory.
pub(super) fn follow(path: &Path) -> Trail {
    let mut links = Vec::new();
    let end = walk(path, &mut links);
    Trail { links, end }
}

fn walk(path: &Path, links: &mut Vec<PathBuf>) -> Result<PathBuf, Broken> {
    let mut ahead: VecDeque<OsString> = VecDeque::new();
    let mut at = if path.is_absolute() {
        PathBuf::from("/")
    } else {
        std::env::current_dir().map_err(|source| Broken { at: path.to_owned(), source })?
    };
    push_front(&mut ahead, path);
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match fs::read_link(&next) {
            Ok(target) => {
                if links.len() == MOST_LINKS {
                    return Err(Broken { at: next, source: Errno::ELOOP.into() });
                }
                links.push(next);
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                push_front(&mut ahead, &target);
            }
            // Not a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => at = next,
            Err(source) => return Err(Broken { at: next, source }),
        }
    }
    Ok(at)
}

fn push_front(ahead: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::ParentDir => ahead.push_front("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_of_a_configmap_volume_is_on_the_trail() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir(root.join("..2024")).unwrap();
        fs::write(root.join("..2024/a.yaml"), "").unwrap();
        symlink("..2024", root.join("..data")).unwrap();
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
        let trail = follow(&root.join("a.yaml"));
        assert_eq!(trail.links, [root.join("a.yaml"), root.join("..data")]);
        assert_eq!(trail.end.unwrap(), root.join("..2024/a.yaml"));
    }

    #[test]
    fn parent_steps_count_from_the_target_of_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("one/two")).unwrap();
        fs::write(root.join("one/a.yaml"), "").unwrap();
        symlink("one/two", root.join("link")).unwrap();
        assert_eq!(follow(&root.join("link/../a.yaml")).end.unwrap(), root.join("one/a.yaml"));
    }

    #[test]
    fn a_loop_ends_and_a_dangling_link_is_on_the_trail() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        symlink("nothing", root.join("c")).unwrap();
        let error = follow(&root.join("a")).end.unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(Errno::ELOOP as i32));
        let trail = follow(&root.join("c"));
        assert_eq!(trail.links, [root.join("c")]);
        let broken = trail.end.unwrap_err();
        assert_eq!((broken.at, broken.source.kind()), (root.join("nothing"), io::ErrorKind::NotFound));
    }
}
