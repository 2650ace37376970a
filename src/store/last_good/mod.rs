//! The last good content of the store on disk, so that an agent that starts with the store gone goes on with what it had.
//!
//! One file, replaced as a whole, readable by root alone, for it holds Secrets. A file that can't be understood whole is refused
//! with a reason and nothing of it is used. What is in it was validated when it was read from the store.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::guard::{Cause, Hold, Place};
use super::reader::Memory;
use crate::atomic_file::{self, AtomicFileError};
use crate::boot_time::BootTime;
use crate::manifest::{Kind, Object, ObjectKey, Objects, Origin, Stored};

const VERSION: u32 = 1;

/// Why the last good content was not loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is of version {found}, this agent writes version {VERSION}", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
}

/// Why the last good content was not saved.
#[derive(Debug, thiserror::Error)]
pub(super) enum SaveError {
    #[error("write the last good content as JSON")]
    Encode(#[from] serde_json::Error),
    #[error(transparent)]
    Write(#[from] AtomicFileError),
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Body<O> {
    version: u32,
    place: Option<Place>,
    hold: Option<HeldBody>,
    /// When the newest list was signed that ever vouched for the store.
    #[serde(default)]
    signed: Option<u64>,
    objects: Vec<O>,
}

#[derive(Serialize, Deserialize)]
struct HeldBody {
    since: BootTime,
    cause: Cause,
    vanishing: Vec<(String, String, String)>,
}

/// An object as Kubernetes writes it, with its `apiVersion` and `kind`.
struct Shown<'a>(&'a Object);

#[derive(Serialize)]
struct Written<'a> {
    file: &'a Path,
    line: u32,
    object: Shown<'a>,
}

/// One object at a time becomes a tree of values and is typed at once, so that no tree of all of them is ever there.
#[derive(Deserialize)]
#[serde(try_from = "Raw")]
struct Loaded(Stored);

#[derive(Deserialize)]
struct Raw {
    file: PathBuf,
    line: u32,
    object: Value,
}

/// Loads the last good content; `None` if there is none.
pub(super) fn load(path: &Path) -> Result<Option<(Objects, Memory)>, LoadError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Read { path: path.to_owned(), source }),
    };
    let damaged = |source| LoadError::Damaged { path: path.to_owned(), source };
    let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
    if head.version != VERSION {
        return Err(LoadError::Version { path: path.to_owned(), found: head.version });
    }
    let body: Body<Loaded> = serde_json::from_slice(&bytes).map_err(damaged)?;
    let objects = body.objects.into_iter().map(|Loaded(stored)| (stored.object.key(), Arc::new(stored)));
    let hold = body.hold.map(HeldBody::into_hold).transpose().map_err(damaged)?;
    Ok(Some((Objects(objects.collect()), Memory { place: body.place, hold, signed: body.signed })))
}

/// Saves the last good content.
pub(super) fn save(path: &Path, objects: &Objects, memory: &Memory) -> Result<(), SaveError> {
    let objects = objects
        .0
        .values()
        .map(|stored| Written {
            file: &stored.origin.file,
            line: stored.origin.line,
            object: Shown(&stored.object),
        })
        .collect();
    let hold = memory.hold.as_ref().map(HeldBody::of);
    let body = Body { version: VERSION, place: memory.place.clone(), hold, signed: memory.signed, objects };
    Ok(atomic_file::write(path, &serde_json::to_vec(&body)?, 0o600)?)
}

impl HeldBody {
    fn of(hold: &Hold) -> Self {
        let triple =
            |key: &ObjectKey| (key.kind.as_str().to_owned(), key.namespace.clone(), key.name.clone());
        HeldBody {
            since: hold.since.clone(),
            cause: hold.cause.clone(),
            vanishing: hold.vanishing.iter().map(triple).collect(),
        }
    }

    fn into_hold(self) -> Result<Hold, serde_json::Error> {
        let key = |(kind, namespace, name): (String, String, String)| {
            Ok(ObjectKey { kind: kind_of(&kind)?, namespace, name })
        };
        let vanishing =
            self.vanishing.into_iter().map(key).collect::<Result<BTreeSet<_>, serde_json::Error>>()?;
        Ok(Hold { since: self.since, cause: self.cause, vanishing })
    }
}

fn kind_of(name: &str) -> Result<Kind, serde_json::Error> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .ok_or_else(|| serde_json::Error::custom(format!("kind {name} is unknown")))
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Object::DaemonSet(found) => found.serialize(serializer),
            Object::ConfigMap(found) => found.serialize(serializer),
            Object::Secret(found) => found.serialize(serializer),
            Object::Node(found) => found.serialize(serializer),
            Object::Namespace(found) => found.serialize(serializer),
            Object::PriorityClass(found) => found.serialize(serializer),
            Object::RuntimeClass(found) => found.serialize(serializer),
            Object::ControllerRevision(found) => found.serialize(serializer),
        }
    }
}

impl TryFrom<Raw> for Loaded {
    type Error = serde_json::Error;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        fn typed<T: DeserializeOwned>(value: Value) -> Result<T, serde_json::Error> {
            serde_json::from_value(value)
        }
        let kind = kind_of(raw.object.get("kind").and_then(Value::as_str).unwrap_or_default())?;
        let object = match kind {
            Kind::DaemonSet => Object::DaemonSet(typed(raw.object)?),
            Kind::ConfigMap => Object::ConfigMap(typed(raw.object)?),
            Kind::Secret => Object::Secret(typed(raw.object)?),
            Kind::Node => Object::Node(typed(raw.object)?),
            Kind::Namespace => Object::Namespace(typed(raw.object)?),
            Kind::PriorityClass => Object::PriorityClass(typed(raw.object)?),
            Kind::RuntimeClass => Object::RuntimeClass(typed(raw.object)?),
            Kind::ControllerRevision => Object::ControllerRevision(typed(raw.object)?),
        };
        Ok(Loaded(Stored { origin: Origin { file: Arc::from(raw.file), line: raw.line }, object }))
    }
}

#[cfg(test)]
mod tests;
