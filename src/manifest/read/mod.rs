//! One file's bytes to the good objects in it, with everything that is wrong told in one run.
//!
//! The order is the API server's: decode, default, validate. A broken document never hurts another one; what can't be used is
//! named in [`Refused`], so that the store can keep what it had.

mod document;
mod lines;
mod problems;
mod recognise;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{ObjectKey, Problem, Severity, Stored};
use super::{split, yaml};
use document::Collector;
pub use lines::Lines;

/// The largest file that is read.
pub const MAX_FILE_BYTES: usize = 10 << 20;

/// What one file says.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The good objects, defaulted and validated, in the order of writing.
    pub objects: Vec<Stored>,
    /// Everything wrong or noteworthy, in the order of lines.
    pub problems: Vec<Problem>,
    /// Kinds that daemonlet does not use, each once.
    pub set_aside: Vec<SetAside>,
    /// What this file meant to say and could not.
    pub refused: Refused,
}

/// Objects of a kind that daemonlet does not use, as upstream files bring them along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Their `kind`.
    pub kind: String,
    /// Their `apiVersion`.
    pub api_version: String,
    /// How many there are.
    pub count: usize,
    /// The first line of the first one.
    pub line: u32,
}

/// Objects that a file means to hold but that can't be used: of these, the last good version must stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Those whose document says which object is meant.
    pub identified: Vec<ObjectKey>,
    /// Some document is too broken to say which object is meant, so *everything* this file held before may be meant.
    pub unidentified: bool,
}

/// Reads a file; `file` is how the user would name it. Never fails: what is wrong is among the problems.
pub fn read(file: &Path, bytes: &[u8]) -> Reading {
    let mut collector = Collector::new(Arc::from(file));
    match text_of(bytes) {
        Err(message) => collector.whole_file(message),
        Ok(text) => {
            for chunk in split::documents(text) {
                let (documents, error) = yaml::parse(chunk.text, chunk.line);
                for document in documents {
                    collector.document(&document);
                }
                if let Some(error) = error {
                    collector.syntax(&error);
                }
            }
        }
    }
    finish(collector.into_reading())
}

fn text_of(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_FILE_BYTES {
        let (found, limit) = (bytes.len(), MAX_FILE_BYTES >> 20);
        return Err(format!(
            "the file has {found} bytes, more than the {limit} MiB a manifest may have: split it"
        ));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("the file is UTF-16: save it as UTF-8".to_owned());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err(
            "the file is binary, not a manifest: move it away or give it another extension".to_owned()
        );
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&b| b == b'\n').count();
        format!("line {line} is not UTF-8: save the file as UTF-8, or move it away if it is no manifest")
    })
}

/// Refuses objects that the file holds more than once, and brings the problems into order.
fn finish(mut reading: Reading) -> Reading {
    let mut lines: BTreeMap<ObjectKey, Vec<u32>> = BTreeMap::new();
    for stored in &reading.objects {
        lines.entry(stored.object.key()).or_default().push(stored.origin.line);
    }
    lines.retain(|_, lines| lines.len() > 1);
    reading.objects.retain(|stored| {
        let key = stored.object.key();
        let Some(all) = lines.get(&key) else { return true };
        let others: Vec<_> =
            all.iter().filter(|&&line| line != stored.origin.line).map(u32::to_string).collect();
        reading.problems.push(Problem {
            severity: Severity::Error,
            file: stored.origin.file.clone(),
            line: stored.origin.line,
            field: String::new(),
            message: format!("{key} is written here and at line {} too: keep one", others.join(", ")),
            object: Some(key),
        });
        false
    });
    reading.refused.identified.extend(lines.into_keys());
    reading.refused.identified.sort();
    reading.refused.identified.dedup();
    reading.problems.sort_by_key(|problem| problem.line);
    reading
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
