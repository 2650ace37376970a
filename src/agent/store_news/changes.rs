//! What a snapshot of the store has that the one before it had not: the answer to "what changed?" in the log.
//!
//! Pure. An object that only moved to another line or file is the same object.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::manifest::Objects;

/// So many objects are named; a new release of everything is told by its number.
const MOST_NAMES: usize = 10;

/// How a snapshot differs from the one before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Objects that are new.
    pub(super) added: Group,
    /// Objects that say something else.
    pub(super) changed: Group,
    /// Objects that are gone.
    pub(super) removed: Group,
}

/// Objects to which the same has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// How many.
    pub(super) count: usize,
    /// The first of them, each with its file.
    names: String,
}

impl Group {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.count <= MOST_NAMES {
            let comma = if self.names.is_empty() { "" } else { ", " };
            // Writing to a String can't fail.
            let _ = write!(self.names, "{comma}{}", what());
        }
    }

    /// The objects by their names, as far as they are not too many.
    pub(super) fn describe(&self) -> String {
        match self.count.saturating_sub(MOST_NAMES) {
            0 => self.names.clone(),
            more => format!("{} and {more} more", self.names),
        }
    }
}

impl Changes {
    pub(super) fn between(before: &Objects, after: &Objects) -> Self {
        let mut changes = Self::default();
        for (key, stored) in &after.0 {
            let name = || format!("{key} ({})", stored.origin.file.display());
            match before.0.get(key) {
                None => changes.added.add(name),
                Some(old) if Arc::ptr_eq(old, stored) || old.object == stored.object => {}
                Some(_) => changes.changed.add(name),
            }
        }
        for (key, stored) in before.0.iter().filter(|(key, _)| !after.0.contains_key(key)) {
            changes.removed.add(|| format!("{key} ({})", stored.origin.file.display()));
        }
        changes
    }

    pub(super) fn is_nothing(&self) -> bool {
        [&self.added, &self.changed, &self.removed].iter().all(|group| group.count == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::manifest;

    fn objects(file: &str, maps: &[(&str, &str)]) -> Objects {
        let text: Vec<String> = maps
            .iter()
            .map(|(name, value)| {
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: ns}}\ndata: {{k: \"{value}\"}}\n")
            })
            .collect();
        let read = manifest::read(&Arc::from(Path::new(file)), text.join("---\n").as_bytes());
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        Objects(read.objects.into_iter().map(|stored| (stored.object.key(), Arc::new(stored))).collect())
    }

    #[test]
    fn what_was_added_changed_and_removed_is_named_with_its_file_and_what_moved_is_not() {
        let before = objects("/m/a.yaml", &[("stays", "1"), ("goes", "1"), ("turns", "1")]);
        let after = objects("/m/b.yaml", &[("comes", "1"), ("turns", "2"), ("stays", "1")]);
        let Changes { added, changed, removed } = Changes::between(&before, &after);
        assert_eq!(added.describe(), "ConfigMap ns/comes (/m/b.yaml)");
        assert_eq!(changed.describe(), "ConfigMap ns/turns (/m/b.yaml)");
        assert_eq!(removed.describe(), "ConfigMap ns/goes (/m/a.yaml)");
        assert!(
            Changes::between(
                &before,
                &objects("/elsewhere", &[("stays", "1"), ("goes", "1"), ("turns", "1")])
            )
            .is_nothing()
        );
    }

    #[test]
    fn of_many_the_first_are_named() {
        let names: Vec<String> = (0..12).map(|number| format!("m-{number:02}")).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let added = Changes::between(&Objects::default(), &objects("/m/a.yaml", &pairs)).added;
        assert_eq!(added.count, 12);
        assert!(
            added.describe().ends_with("ConfigMap ns/m-09 (/m/a.yaml) and 2 more"),
            "{}",
            added.describe()
        );
    }
}
