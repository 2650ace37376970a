//! The resources the API serves, and the words by which people name them.

use crate::board::ItemKind;

/// A kind as a resource of the API.
#[derive(Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// The kind on the board.
    pub item: ItemKind,
    /// `DaemonSet`
    pub kind: &'static str,
    /// `daemonsets`, the word in paths
    pub plural: &'static str,
    /// `daemonset`
    pub singular: &'static str,
    /// `ds`
    pub short_name: &'static str,
    /// `apps`; empty for the core group
    pub group: &'static str,
    /// Whether its objects live in namespaces.
    pub is_namespaced: bool,
}

/// DaemonSets.
pub const DAEMON_SETS: ResourceType = ResourceType {
    item: ItemKind::DaemonSet,
    kind: "DaemonSet",
    plural: "daemonsets",
    singular: "daemonset",
    short_name: "ds",
    group: "apps",
    is_namespaced: true,
};
/// Events.
pub const EVENTS: ResourceType = ResourceType {
    item: ItemKind::Event,
    kind: "Event",
    plural: "events",
    singular: "event",
    short_name: "ev",
    group: "",
    is_namespaced: true,
};
/// Nodes: this one.
pub const NODES: ResourceType = ResourceType {
    item: ItemKind::Node,
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short_name: "no",
    group: "",
    is_namespaced: false,
};
/// Pods.
pub const PODS: ResourceType = ResourceType {
    item: ItemKind::Pod,
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short_name: "po",
    group: "",
    is_namespaced: true,
};

/// All of them.
pub static RESOURCES: [&ResourceType; 4] = [&DAEMON_SETS, &EVENTS, &NODES, &PODS];

impl ResourceType {
    /// The resource that a user means by `ds`, `daemonset`, `DaemonSets` or `daemonsets.apps`.
    pub fn named(word: &str) -> Option<&'static ResourceType> {
        let word = word.to_lowercase();
        RESOURCES.into_iter().find(|resource| {
            let bare = match word.split_once('.') {
                Some((bare, group))
                    if group == resource.group || group == format!("v1.{}", resource.group) =>
                {
                    bare
                }
                Some(_) => return false,
                None => &word,
            };
            [resource.plural, resource.singular, resource.short_name].contains(&bare)
        })
    }

    /// The `apiVersion` of its objects.
    pub const fn api_version(&self) -> &'static str {
        if self.group.is_empty() { "v1" } else { "apps/v1" }
    }

    /// The plural with its group, as error messages have it (`daemonsets.apps`).
    pub fn qualified(&self) -> String {
        with_group(self.plural, self.group)
    }

    /// The singular with its group, as `-o name` has it (`daemonset.apps`).
    pub fn qualified_singular(&self) -> String {
        with_group(self.singular, self.group)
    }

    /// The path of its objects, in one namespace or (without one) in all of them.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api/v1" } else { "/apis/apps/v1" };
        match namespace {
            Some(namespace) if self.is_namespaced => format!("{root}/namespaces/{namespace}/{}", self.plural),
            _ => format!("{root}/{}", self.plural),
        }
    }
}

fn with_group(word: &str, group: &str) -> String {
    if group.is_empty() { word.to_owned() } else { format!("{word}.{group}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_known_by_all_the_names_that_kubectl_knows() {
        for (word, found) in [
            ("ds", Some("DaemonSet")),
            ("DaemonSet", Some("DaemonSet")),
            ("daemonsets.apps", Some("DaemonSet")),
            ("daemonsets.v1.apps", Some("DaemonSet")),
            ("po", Some("Pod")),
            ("nodes", Some("Node")),
            ("ev", Some("Event")),
            ("pods.apps", None),
            ("deployments", None),
            ("", None),
        ] {
            assert_eq!(ResourceType::named(word).map(|resource| resource.kind), found, "{word}");
        }
    }

    #[test]
    fn a_resources_path_is_kubernetes_own() {
        assert_eq!(DAEMON_SETS.path(Some("a")), "/apis/apps/v1/namespaces/a/daemonsets");
        assert_eq!(DAEMON_SETS.path(None), "/apis/apps/v1/daemonsets");
        assert_eq!(NODES.path(Some("a")), "/api/v1/nodes");
    }
}
