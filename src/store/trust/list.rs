//! `SHA256SUMS`: which manifests a store has, and their digests, as coreutils' `sha256sum` writes it.
//!
//! Pure. A line is 64 hexadecimal digits, a space, a space or `*`, and a path from the store's root. A line that begins with a backslash has
//! `\n`, `\r` and `\\` in its path for what they stand for. Whatever else there is makes the whole list unreadable: a signed list is made by a
//! tool, and half a list vouches for nothing.

use std::collections::BTreeMap;

use crate::archive::Digest;
use crate::store::listing::is_manifest_path;

/// Its name in the store's root.
pub(in crate::store) const NAME: &str = "SHA256SUMS";

/// Manifests and their digests, by their paths below the store's root.
pub type Digests = BTreeMap<String, Digest>;

/// Why a list can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Its bytes are no text.
    #[error("it is not text in UTF-8")]
    Encoding,
    /// A line, counted from one, is no entry.
    #[error("line {0} is not as sha256sum writes one: digits, two spaces, a path")]
    Line(usize),
    /// An entry is about a file that no store can have.
    #[error("line {line} has the path {path:?}, which leads out of the store")]
    Outside {
        /// Which line, counted from one.
        line: usize,
        /// The path as it is written.
        path: String,
    },
    /// Two entries contradict each other.
    #[error("it has {0:?} twice, with different digests")]
    Twice(String),
}

/// Reads a list. Files that the store would not take for manifests are left out: `find` has named more than it looks at.
///
/// # Errors
///
/// If any of it is not as `sha256sum` writes it.
pub fn parse(bytes: &[u8]) -> Result<Digests, ListError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ListError::Encoding)?;
    let mut digests = Digests::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let number = index + 1;
        let (digest, path) = entry(line).ok_or(ListError::Line(number))?;
        let Some(path) = below_root(&path) else { return Err(ListError::Outside { line: number, path }) };
        if !is_manifest_path(&path) {
            continue;
        }
        if digests.insert(path.clone(), digest).is_some_and(|before| before != digest) {
            return Err(ListError::Twice(path));
        }
    }
    Ok(digests)
}

fn entry(line: &str) -> Option<(Digest, String)> {
    let (is_escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (digits, rest) = line.split_at_checked(64)?;
    let path = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    let path = if is_escaped { unescape(path)? } else { path.to_owned() };
    Some((Digest::from_digits(&digits.to_ascii_lowercase())?, path)).filter(|(_, path)| !path.is_empty())
}

fn unescape(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

/// The path without `.` and doubled slashes; none if it does not stay below the root.
fn below_root(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}
