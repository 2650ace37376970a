//! All objects of one kind, each once, with what a watch that resumes needs to know.
//!
//! No history of objects is kept: a watch that resumes at an older version is told the present of every object that has
//! changed since, and of the few objects last deleted. That is what a level-triggered client needs, at no cost in memory.
//!
//! Objects are kept packed: they are written whenever something happens and read only when somebody asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::packed::Packed;
use super::{Change, Item, NamespacedName, WatchType};

/// How many deleted objects a resuming watch can be told of.
const TOMBSTONES: usize = 32;

#[derive(Debug)]
struct Row<T> {
    object: Packed<T>,
    added_at: u64,
    changed_at: u64,
}

#[derive(Debug)]
pub(super) struct Collection<T> {
    rows: BTreeMap<NamespacedName, Row<T>>,
    gone: VecDeque<(u64, Packed<T>)>,
    /// Deletions up to this version are forgotten.
    horizon: u64,
}

impl<T> Collection<T>
where
    T: Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned,
    Item: From<Arc<T>>,
{
    pub(super) fn starting_at(version: u64) -> Self {
        Self { rows: BTreeMap::new(), gone: VecDeque::new(), horizon: version }
    }

    pub(super) fn get(&self, name: &NamespacedName) -> Option<Arc<T>> {
        self.rows.get(name).and_then(|row| row.object.open()).map(Arc::new)
    }

    pub(super) fn contains(&self, name: &NamespacedName) -> bool {
        self.rows.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &NamespacedName> {
        self.rows.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Arc<T>> {
        self.rows.values().filter_map(|row| row.object.open()).map(Arc::new)
    }

    /// Puts the object in its place under `next` version; nothing if it already is there as it is.
    pub(super) fn put(&mut self, mut object: T, next: u64) -> Option<Change> {
        let name = NamespacedName::of(object.metadata());
        let known = self.rows.get(&name);
        if let Some(row) = known {
            object.metadata_mut().resource_version = Some(row.changed_at.to_string());
            if Packed::of(&object) == row.object {
                return None;
            }
        }
        let added_at = known.map_or(next, |row| row.added_at);
        object.metadata_mut().resource_version = Some(next.to_string());
        self.rows.insert(name, Row { object: Packed::of(&object), added_at, changed_at: next });
        let watch_type = if added_at == next { WatchType::Added } else { WatchType::Modified };
        Some(Change { resource_version: next, watch_type, item: Arc::new(object).into() })
    }

    /// Takes the object away under `next` version; nothing if it is not here.
    pub(super) fn remove(&mut self, name: &NamespacedName, next: u64) -> Option<Change> {
        let row = self.rows.remove(name)?;
        let mut object = row.object.open()?;
        object.metadata_mut().resource_version = Some(next.to_string());
        if self.gone.len() == TOMBSTONES
            && let Some((version, _)) = self.gone.pop_front()
        {
            self.horizon = version;
        }
        self.gone.push_back((next, Packed::of(&object)));
        Some(Change { resource_version: next, watch_type: WatchType::Deleted, item: Arc::new(object).into() })
    }

    /// What has become of every object since `version`, oldest change first; `None` if that is no longer known.
    pub(super) fn since(&self, version: u64) -> Option<Vec<Change>> {
        if version < self.horizon {
            return None;
        }
        let present = self.rows.values().filter(|row| row.changed_at > version).filter_map(|row| {
            let watch_type = if row.added_at > version { WatchType::Added } else { WatchType::Modified };
            Some(Change {
                resource_version: row.changed_at,
                watch_type,
                item: Arc::new(row.object.open()?).into(),
            })
        });
        let gone = self.gone.iter().filter(|(at, _)| *at > version).filter_map(|(at, object)| {
            let watch_type = WatchType::Deleted;
            Some(Change { resource_version: *at, watch_type, item: Arc::new(object.open()?).into() })
        });
        let mut changes: Vec<Change> = present.chain(gone).collect();
        changes.sort_by_key(|change| change.resource_version);
        Some(changes)
    }
}
