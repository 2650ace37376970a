//! All objects of one kind, each once, with what a watch that resumes needs to know.
//!
//! No history of objects is kept: a watch that resumes at an older version is told the present of every object that has
//! changed since, and of the few objects last deleted. That is what a level-triggered client needs, at no cost in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Change, Item, NamespacedName, WatchType};

/// How many deleted objects a resuming watch can be told of.
const TOMBSTONES: usize = 32;

#[derive(Debug)]
struct Row<T> {
    object: Arc<T>,
    added_at: u64,
    changed_at: u64,
}

#[derive(Debug)]
pub(super) struct Collection<T> {
    rows: BTreeMap<NamespacedName, Row<T>>,
    gone: VecDeque<(u64, Arc<T>)>,
    /// Deletions up to this version are forgotten.
    horizon: u64,
}

impl<T> Collection<T>
where
    T: Metadata<Ty = ObjectMeta> + Clone + PartialEq,
    Item: From<Arc<T>>,
{
    pub(super) fn starting_at(version: u64) -> Self {
        Self { rows: BTreeMap::new(), gone: VecDeque::new(), horizon: version }
    }

    pub(super) fn get(&self, name: &NamespacedName) -> Option<&Arc<T>> {
        self.rows.get(name).map(|row| &row.object)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.values().map(|row| &row.object)
    }

    /// Puts the object in its place under `next` version; nothing if it already is there as it is.
    pub(super) fn put(&mut self, mut object: T, next: u64) -> Option<Change> {
        let name = NamespacedName::of(object.metadata());
        let added_at = match self.rows.get(&name) {
            Some(row) => {
                let version = &row.object.metadata().resource_version;
                object.metadata_mut().resource_version.clone_from(version);
                if object == *row.object {
                    return None;
                }
                row.added_at
            }
            None => next,
        };
        object.metadata_mut().resource_version = Some(next.to_string());
        let object = Arc::new(object);
        self.rows.insert(name, Row { object: Arc::clone(&object), added_at, changed_at: next });
        let watch_type = if added_at == next { WatchType::Added } else { WatchType::Modified };
        Some(Change { resource_version: next, watch_type, item: object.into() })
    }

    /// Takes the object away under `next` version; nothing if it is not here.
    pub(super) fn remove(&mut self, name: &NamespacedName, next: u64) -> Option<Change> {
        let row = self.rows.remove(name)?;
        let mut object = Arc::unwrap_or_clone(row.object);
        object.metadata_mut().resource_version = Some(next.to_string());
        let object = Arc::new(object);
        if self.gone.len() == TOMBSTONES
            && let Some((version, _)) = self.gone.pop_front()
        {
            self.horizon = version;
        }
        self.gone.push_back((next, Arc::clone(&object)));
        Some(Change { resource_version: next, watch_type: WatchType::Deleted, item: object.into() })
    }

    /// What has become of every object since `version`, oldest change first; `None` if that is no longer known.
    pub(super) fn since(&self, version: u64) -> Option<Vec<Change>> {
        if version < self.horizon {
            return None;
        }
        let present = self.rows.values().filter(|row| row.changed_at > version).map(|row| Change {
            resource_version: row.changed_at,
            watch_type: if row.added_at > version { WatchType::Added } else { WatchType::Modified },
            item: Arc::clone(&row.object).into(),
        });
        let gone = self.gone.iter().filter(|(at, _)| *at > version).map(|(at, object)| Change {
            resource_version: *at,
            watch_type: WatchType::Deleted,
            item: Arc::clone(object).into(),
        });
        let mut changes: Vec<Change> = present.chain(gone).collect();
        changes.sort_by_key(|change| change.resource_version);
        Some(changes)
    }
}
