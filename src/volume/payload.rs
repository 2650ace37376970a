//! The files that a volume made of API objects holds: path → bytes and mode.
//!
//! Pure: the kinds fill a [`Payload`], `atomic_writer` puts it on disk. Rules for paths: `pkg/volume/util/atomic_writer.go`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::KeyToPath;

/// The mode of files for which the volume says nothing (the API's default).
pub(super) const DEFAULT_MODE: i32 = 0o644;

/// One file of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File<'a> {
    pub(super) data: Cow<'a, [u8]>,
    pub(super) mode: u32,
    /// The user that owns the file, if not the agent's.
    pub(super) owner: Option<u32>,
}

impl<'a> File<'a> {
    pub(super) fn new(data: impl Into<Cow<'a, [u8]>>, mode: i32) -> Self {
        // The API bounds modes to 0777; a negative one can't come from there and must not become set-user-id.
        Self { data: data.into(), mode: mode.cast_unsigned() & 0o777, owner: None }
    }
}

/// All files of a volume, by their cleaned relative paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Payload<'a>(BTreeMap<String, File<'a>>);

/// A path that can't be a file inside a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum InvalidPath {
    #[error("invalid path: must not be empty")]
    Empty,
    #[error("invalid path: must be relative path: {0}")]
    Absolute(String),
    #[error("invalid path: must be less than or equal to 4096 characters")]
    Long,
    #[error("invalid path: must not contain '..': {0}")]
    Backstep(String),
    #[error("invalid path: filenames must be less than or equal to 255 characters")]
    LongName,
    #[error("invalid path: must not start with '..': {0}")]
    Reserved(String),
    #[error("invalid path: {0} is wanted as a file and as a directory")]
    Both(String),
}

impl<'a> Payload<'a> {
    /// Puts a file at `path`; what was there before gives way.
    pub(super) fn insert(&mut self, path: &str, file: File<'a>) -> Result<(), InvalidPath> {
        self.0.insert(clean(path)?, file);
        Ok(())
    }

    /// Lays another payload over this one.
    pub(super) fn extend(&mut self, other: Payload<'a>) {
        self.0.extend(other.0);
    }

    /// Paths and files, ordered by path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &File<'a>)> {
        self.0.iter().map(|(path, file)| (path.as_str(), file))
    }

    pub(super) fn get(&self, path: &str) -> Option<&File<'a>> {
        self.0.get(path)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first segments of all paths: what a container sees at the volume's top.
    pub(super) fn top_names(&self) -> impl Iterator<Item = &str> {
        let mut previous = None;
        self.0.keys().map(|path| path.split_once('/').map_or(path.as_str(), |(top, _)| top)).filter(
            move |top| {
                let fresh = previous != Some(*top);
                previous = Some(*top);
                fresh
            },
        )
    }

    /// Refuses a path that is both a file and the directory of another file.
    pub(super) fn check(&self) -> Result<(), InvalidPath> {
        for path in self.0.keys() {
            let mut parents = path.match_indices('/').map(|(slash, _)| &path[..slash]);
            if let Some(file) = parents.find(|parent| self.0.contains_key(*parent)) {
                return Err(InvalidPath::Both(file.to_owned()));
            }
        }
        Ok(())
    }
}

/// Fills a payload from keys: all of them with the default mode, or only those that `items` picks.
///
/// `data` finds a key's bytes, `missing` says what a key that isn't there means.
pub(super) fn from_keys<'a, E: From<InvalidPath>>(
    items: Option<&[KeyToPath]>,
    all: impl Iterator<Item = (&'a str, &'a [u8])>,
    data: impl Fn(&str) -> Option<&'a [u8]>,
    default_mode: i32,
    optional: bool,
    missing: impl Fn(&str) -> E,
) -> Result<Payload<'a>, E> {
    let mut payload = Payload::default();
    match items {
        None | Some([]) => {
            for (key, bytes) in all {
                payload.insert(key, File::new(bytes, default_mode))?;
            }
        }
        Some(items) => {
            for item in items {
                match data(&item.key) {
                    Some(bytes) => {
                        payload.insert(&item.path, File::new(bytes, item.mode.unwrap_or(default_mode)))?;
                    }
                    None if optional => {}
                    None => return Err(missing(&item.key)),
                }
            }
        }
    }
    Ok(payload)
}

/// The path without empty and `.` segments, if it stays inside a volume and clear of the writer's own `..` names.
fn clean(path: &str) -> Result<String, InvalidPath> {
    if path.starts_with('/') {
        return Err(InvalidPath::Absolute(path.to_owned()));
    }
    if path.len() > 4096 {
        return Err(InvalidPath::Long);
    }
    let segments: Vec<&str> =
        path.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
    let Some(first) = segments.first() else { return Err(InvalidPath::Empty) };
    if segments.contains(&"..") {
        return Err(InvalidPath::Backstep(path.to_owned()));
    }
    if segments.iter().any(|segment| segment.len() > 255) {
        return Err(InvalidPath::LongName);
    }
    if first.starts_with("..") {
        return Err(InvalidPath::Reserved(path.to_owned()));
    }
    Ok(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (path, outcome) in [
            ("a", Ok("a".to_owned())),
            ("a/b/c", Ok("a/b/c".to_owned())),
            ("./a//b/.", Ok("a/b".to_owned())),
            ("a..b/..c", Ok("a..b/..c".to_owned())),
            ("", Err(InvalidPath::Empty)),
            ("./.", Err(InvalidPath::Empty)),
            ("/etc/passwd", Err(InvalidPath::Absolute("/etc/passwd".to_owned()))),
            ("a/../b", Err(InvalidPath::Backstep("a/../b".to_owned()))),
            ("..", Err(InvalidPath::Backstep("..".to_owned()))),
            ("..data", Err(InvalidPath::Reserved("..data".to_owned()))),
            ("..x/y", Err(InvalidPath::Reserved("..x/y".to_owned()))),
            (&"x".repeat(256), Err(InvalidPath::LongName)),
            (&"x/".repeat(2049), Err(InvalidPath::Long)),
        ] {
            assert_eq!(clean(path), outcome, "{path}");
        }
    }

    #[test]
    fn a_path_is_a_file_or_a_directory_never_both() {
        let file = || File::new(&b""[..], DEFAULT_MODE);
        let mut payload = Payload::default();
        for path in ["a/b/c", "a/b-", "a-b", "d"] {
            payload.insert(path, file()).unwrap();
        }
        assert_eq!(payload.check(), Ok(()));
        assert_eq!(payload.top_names().collect::<Vec<_>>(), ["a-b", "a", "d"]);
        payload.insert("a/b", file()).unwrap();
        assert_eq!(payload.check(), Err(InvalidPath::Both("a/b".to_owned())));
    }

    #[test]
    fn modes_hold_permission_bits_only() {
        for (given, kept) in [(0o644, 0o644), (0o400, 0o400), (0o4755, 0o755), (-1, 0o777), (0, 0)] {
            assert_eq!(File::new(&b""[..], given).mode, kept);
        }
    }

    proptest! {
        #[test]
        fn a_cleaned_path_never_leaves_the_volume(path in "[./a]{0,12}") {
            if let Ok(cleaned) = clean(&path) {
                prop_assert!(!cleaned.starts_with(['/', '.']) || cleaned.starts_with(".a") || cleaned.starts_with("...") || !cleaned.starts_with(".."));
                prop_assert!(cleaned.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
                prop_assert_eq!(clean(&cleaned), Ok(cleaned.clone()));
            }
        }
    }
}
