//! When this node was first seen, which is when its Node was created: its age doesn't begin anew with each start of the agent.
//!
//! Noted once, and again only for another name, which makes another node. A file that is no good costs the node its age, nothing else.

use std::io;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::atomic_file;
use crate::error_chain::error_chain;

const MODE: u32 = 0o600;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    node: String,
    first_seen: Time,
}

/// When the node of this name was first seen: what is noted in `path`, or `now`, which is then noted.
pub fn first_seen(path: &Path, name: &str, now: Timestamp) -> Timestamp {
    match read(path) {
        Ok(Some(note)) if note.node == name => return note.first_seen.0,
        Ok(_) => {}
        Err(error) => {
            let file = path.display();
            warn!(%file, %error, "when this node was first seen is not known any more; its age counts from now");
        }
    }
    let note = Note { node: name.to_owned(), first_seen: Time(now) };
    let bytes = serde_json::to_vec(&note).unwrap_or_default();
    if let Err(error) = atomic_file::write(path, &bytes, MODE) {
        let (file, error) = (path.display(), error_chain(&error));
        warn!(%file, error, "cannot note when this node was first seen; after a restart its age counts anew");
    }
    now
}

fn read(path: &Path) -> io::Result<Option<Note>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_node_is_as_old_as_the_first_note_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        let (edge, other) = ("edge-1", "edge-2");
        assert_eq!(first_seen(&path, edge, at(100)), at(100));
        assert_eq!(first_seen(&path, edge, at(200)), at(100), "another agent");
        assert_eq!(first_seen(&path, edge, at(50)), at(100), "a clock that is not right yet");
        assert_eq!(first_seen(&path, other, at(300)), at(300), "another name is another node");
        assert_eq!(first_seen(&path, other, at(400)), at(300));
    }

    #[test]
    fn a_note_that_is_no_good_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(first_seen(&path, "edge-1", at(7)), at(7));
        assert_eq!(first_seen(&path, "edge-1", at(9)), at(7));
    }
}
