//! What a tar file holds: each file's size and digest, and those parts in full that may be JSON.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use serde::de::DeserializeOwned;
use tar::EntryType;

use super::compression::{Compression, decompressed};
use super::members::Members;
use super::read::images_in;
use super::{ArchiveError, Contents, Digest, Hasher, Platform};

/// More files than any image has layers.
const MOST_ENTRIES: usize = 100_000;
/// A manifest is a few kilobytes. containerd reads none beyond 8 MiB.
const LARGEST_JSON: u64 = 4 * 1024 * 1024;
/// What is held of an archive while it is read: JSON, and the names of files.
const MOST_HELD: usize = 32 * 1024 * 1024;
const BUFFER: usize = 256 * 1024;
/// Where an OCI layout has its blobs.
const BLOBS: &str = "blobs/sha256/";

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) size: u64,
    pub(super) digest: Digest,
    pub(super) compression: Compression,
    /// All of it, if it may be JSON.
    json: Option<Vec<u8>>,
}

/// The files of an archive by path, every one of them read and those that are named after their digest compared with it.
#[derive(Debug, Default)]
pub struct Entries {
    files: BTreeMap<String, File>,
    links: BTreeMap<String, String>,
}

impl Entries {
    /// Reads all of an archive, which may be compressed.
    ///
    /// # Errors
    /// When it can't be read to its end, is too large in its parts that must be held, or has a blob that isn't what its name says.
    pub fn scan(source: impl BufRead) -> Result<Self, ArchiveError> {
        let mut found = Self::default();
        let (mut sum, mut buffer) = (0, vec![0; BUFFER]);
        let mut hold = |bytes: usize| {
            sum += bytes;
            if sum > MOST_HELD { Err(ArchiveError::TooMuchHeld(MOST_HELD)) } else { Ok(()) }
        };
        walk(source, |entry| {
            let path = entry.path;
            hold(path.len())?;
            match entry.content {
                Content::Link(target) => {
                    hold(target.len())?;
                    found.links.insert(path, target);
                }
                Content::File(content) => {
                    let file = read_file(content, entry.size, &mut buffer)?;
                    hold(file.json.as_ref().map_or(0, Vec::len))?;
                    found.insert(path, file)?;
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn insert(&mut self, path: String, file: File) -> Result<(), ArchiveError> {
        let named = path.strip_prefix(BLOBS);
        if named.is_some_and(|digits| Digest::from_digits(digits) != Some(file.digest)) {
            return Err(ArchiveError::WrongDigest { path, found: file.digest });
        }
        match self.files.get(&path) {
            Some(known) if known.digest != file.digest => Err(ArchiveError::Twice(path)),
            _ => {
                self.files.insert(path, file);
                Ok(())
            }
        }
    }

    /// The images that they are, for a platform.
    ///
    /// # Errors
    /// When one of them is not as it should be, or there is none.
    pub fn images(&self, platform: &Platform) -> Result<Contents, ArchiveError> {
        images_in(self, platform)
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// How large a file is, if it is there.
    pub fn size(&self, path: &str) -> Option<u64> {
        self.files.get(path).map(|file| file.size)
    }

    /// A file, through links, with the path that it has itself.
    pub(super) fn file(&self, path: &str) -> Result<Option<(&str, &File)>, ArchiveError> {
        let mut path = cleaned(Path::new(path)).unwrap_or_default();
        // Links don't go on for ever.
        for _ in 0..8 {
            if let Some((path, file)) = self.files.get_key_value(&path) {
                return Ok(Some((path, file)));
            }
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => return Ok(None),
            }
        }
        Err(ArchiveError::BrokenLink { path })
    }

    /// Where an OCI layout has this blob, and the blob.
    pub(super) fn blob(&self, what: &'static str, digest: Digest) -> Result<(&str, &File), ArchiveError> {
        let path = blob_path(digest);
        let found = self.files.get_key_value(&path);
        let (path, file) = found.ok_or_else(|| ArchiveError::Missing { what, name: digest.to_string() })?;
        Ok((path, file))
    }

    /// A file that is JSON, read.
    ///
    /// # Errors
    /// When it isn't there or can't be read as such.
    pub fn json<T: DeserializeOwned>(&self, what: &'static str, path: &str) -> Result<T, ArchiveError> {
        let missing = || ArchiveError::Missing { what, name: path.to_owned() };
        let (path, file) = self.file(path)?.ok_or_else(missing)?;
        let no_json = || ArchiveError::NoJson { what, name: path.to_owned() };
        let bytes = file.json.as_deref().ok_or_else(no_json)?;
        serde_json::from_slice(bytes).map_err(|source| ArchiveError::Json {
            what,
            name: path.to_owned(),
            source,
        })
    }

    /// A blob that is JSON, read.
    ///
    /// # Errors
    /// When it isn't there or can't be read as such.
    pub fn blob_json<T: DeserializeOwned>(
        &self,
        what: &'static str,
        digest: Digest,
    ) -> Result<T, ArchiveError> {
        self.json(what, &blob_path(digest))
    }
}

/// Where an OCI layout has a blob.
pub fn blob_path(digest: Digest) -> String {
    format!("{BLOBS}{}", digest.digits())
}

fn read_file(content: &mut dyn Read, size: u64, buffer: &mut [u8]) -> Result<File, ArchiveError> {
    let (mut hasher, mut compression, mut json) = (Hasher::default(), Compression::None, None);
    let mut read = 0;
    loop {
        let count = match content.read(buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if read == 0 {
            compression = Compression::of(bytes);
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            json = (size <= LARGEST_JSON && matches!(first, Some(b'{' | b'['))).then(Vec::new);
        }
        hasher.update(bytes);
        if let Some(json) = &mut json {
            json.extend_from_slice(bytes);
        }
        read += count as u64;
    }
    if read != size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(File { size, digest: hasher.finish(), compression, json })
}

/// A file or a link of an archive, as it comes.
pub(super) struct Entry<'a> {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) content: Content<'a>,
}

pub(super) enum Content<'a> {
    File(&'a mut dyn Read),
    /// To this path.
    Link(String),
}

/// Goes through an archive from its beginning to its end. What is neither a file nor a link within it is passed over.
pub(super) fn walk(
    source: impl BufRead,
    mut visit: impl FnMut(Entry<'_>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut members = Members::new(decompressed(source)?);
    let mut count = 0;
    while let Some(member) = members.next()? {
        count += 1;
        if count > MOST_ENTRIES {
            return Err(ArchiveError::TooManyEntries(MOST_ENTRIES));
        }
        let as_path = |bytes| Path::new(OsStr::from_bytes(bytes));
        let Some(path) = cleaned(as_path(&member.path)) else { continue };
        let size = member.size;
        let content = match member.kind {
            EntryType::Regular | EntryType::Continuous => Content::File(&mut members),
            EntryType::Symlink | EntryType::Link => {
                let target = member.link.as_deref().map(as_path).and_then(|target| match member.kind {
                    EntryType::Link => cleaned(target),
                    _ => cleaned(&Path::new(&path).parent()?.join(target)),
                });
                let Some(target) = target else { continue };
                Content::Link(target)
            }
            _ => continue,
        };
        visit(Entry { path, size, content })?;
    }
    // Compressed data has a check of its own at its end.
    io::copy(&mut members.into_rest(), &mut io::sink())?;
    Ok(())
}

/// The path without `.` and `..`; nothing where it leads out of the archive or nowhere.
fn cleaned(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
