//! What one watcher sees of the board: the objects it selected.
//!
//! Pure. An object that comes to match is *added* to the view and one that ceases to is *deleted* from it, whatever happened to
//! the object itself. Rule: `filterWithAttrsFunction` and `cacheWatcher.convertToWatchEvent` of Kubernetes' `pkg/storage/cacher`.

use std::collections::HashSet;

use crate::api::selector::Selector;
use crate::board::{Change, Item, ItemKind, NamespacedName, WatchType};

pub(super) struct View {
    kind: ItemKind,
    namespace: Option<String>,
    selector: Selector,
    /// What the client has been shown. Only kept where a selector can change its mind.
    shown: HashSet<NamespacedName>,
}

impl View {
    /// A view for a client that knows those of these items which it selected.
    pub(super) fn new(kind: ItemKind, namespace: Option<&str>, selector: Selector, known: &[Item]) -> Self {
        let mut view =
            Self { kind, namespace: namespace.map(str::to_owned), selector, shown: HashSet::new() };
        if !view.selector.is_empty() {
            view.shown = known
                .iter()
                .filter(|item| view.is_in_scope(item) && view.selector.matches(item))
                .map(name)
                .collect();
        }
        view
    }

    /// What the change is to this client, if it is anything.
    pub(super) fn translate(&mut self, change: &Change) -> Option<WatchType> {
        if !self.is_in_scope(&change.item) {
            return None;
        }
        if self.selector.is_empty() {
            return Some(change.watch_type);
        }
        let name = name(&change.item);
        let is_wanted = change.watch_type != WatchType::Deleted && self.selector.matches(&change.item);
        if is_wanted {
            let is_new = self.shown.insert(name);
            Some(if is_new { WatchType::Added } else { WatchType::Modified })
        } else {
            self.shown.remove(&name).then_some(WatchType::Deleted)
        }
    }

    fn is_in_scope(&self, item: &Item) -> bool {
        item.kind() == self.kind
            && self.namespace.as_deref().is_none_or(|namespace| item.namespace() == namespace)
    }
}

fn name(item: &Item) -> NamespacedName {
    NamespacedName::new(item.namespace(), item.name())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::json;

    use super::*;
    use crate::api::selector::LabelSelector;

    fn pod(namespace: &str, name: &str, app: &str) -> Item {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"namespace": namespace, "name": name, "labels": {"app": app}}}),
        )
        .unwrap();
        Item::Pod(Arc::new(pod))
    }

    fn change(watch_type: WatchType, item: Item) -> Change {
        Change { resource_version: 1, watch_type, item }
    }

    #[test]
    fn without_a_selector_changes_are_what_they_are_within_kind_and_namespace() {
        let mut view = View::new(ItemKind::Pod, Some("a"), Selector::default(), &[]);
        for watch_type in [WatchType::Added, WatchType::Modified, WatchType::Deleted] {
            assert_eq!(view.translate(&change(watch_type, pod("a", "p", "x"))), Some(watch_type));
            assert_eq!(view.translate(&change(watch_type, pod("b", "p", "x"))), None);
        }
        let node = Item::Node(Arc::new(Node::default()));
        assert_eq!(view.translate(&change(WatchType::Added, node)), None);
    }

    #[test]
    fn an_object_comes_into_the_view_and_leaves_it_with_its_labels() {
        let selector = Selector { labels: LabelSelector::parse("app=x").unwrap(), ..Selector::default() };
        let mut view =
            View::new(ItemKind::Pod, None, selector, &[pod("a", "known", "x"), pod("a", "other", "y")]);
        for (watch_type, item, seen) in [
            (WatchType::Modified, pod("a", "known", "x"), Some(WatchType::Modified)),
            (WatchType::Modified, pod("a", "known", "y"), Some(WatchType::Deleted)),
            (WatchType::Deleted, pod("a", "known", "y"), None),
            (WatchType::Modified, pod("a", "other", "y"), None),
            (WatchType::Modified, pod("a", "other", "x"), Some(WatchType::Added)),
            (WatchType::Deleted, pod("a", "other", "x"), Some(WatchType::Deleted)),
            (WatchType::Added, pod("a", "new", "x"), Some(WatchType::Added)),
        ] {
            assert_eq!(
                view.translate(&change(watch_type, item.clone())),
                seen,
                "{watch_type:?} {}",
                item.name()
            );
        }
    }
}
