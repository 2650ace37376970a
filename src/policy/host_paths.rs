//! Which host paths pods may mount.
//!
//! Paths are compared part by part: `/var/log` allows `/var/log/pods` and not `/var/logs`. What a symbolic link on the host leads to
//! is not seen here: who may write below an allowed path can place one.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::PodSpec;

use super::not_listed;
use crate::manifest::FieldPath;
use crate::manifest::validate::FieldError;

/// Paths at and below which pods may mount the host's files; none at all: anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPaths(Vec<PathBuf>);

impl HostPaths {
    /// A list of these paths.
    pub fn new(allowed: Vec<PathBuf>) -> Self {
        Self(allowed)
    }

    /// One error for each volume of the pod that is on none of the paths.
    pub(super) fn refuse(&self, spec: &PodSpec) -> Vec<FieldError> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let all = spec.volumes.iter().flatten().enumerate();
        let paths = all.filter_map(|(index, volume)| Some((index, volume.host_path.as_ref()?.path.as_str())));
        let bad = paths.filter(|(_, path)| !self.allows(Path::new(path)));
        let listed: Vec<String> = self.0.iter().map(|path| path.display().to_string()).collect();
        let allowed = format!("what is at or below {}", listed.join(", "));
        bad.map(|(index, path)| {
            let field = FieldPath::new("spec.volumes").index(index).child("hostPath.path");
            not_listed(field, path, &allowed, "allowedHostPaths")
        })
        .collect()
    }

    fn allows(&self, path: &Path) -> bool {
        // Where `..` leads is the file system's to say, and not known here: after a link it is not the parent that is written.
        let goes_back = path.components().any(|part| part == Component::ParentDir);
        path.is_absolute() && !goes_back && self.0.iter().any(|prefix| path.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_is_allowed_at_and_below_a_listed_one() {
        let list = HostPaths::new(vec!["/var/log".into(), "/run/containerd/".into()]);
        for (path, expected) in [
            ("/var/log", true),
            ("/var/log/", true),
            ("/var//log/./pods", true),
            ("/run/containerd/containerd.sock", true),
            ("/var/logs", false),
            ("/var/lo", false),
            ("/var", false),
            ("/", false),
            ("var/log", false),
            ("", false),
            ("/var/log/../../etc", false),
            ("/var/log/..", false),
            ("/var/log/x/..", false),
            ("/etc/../var/log", false),
            ("/var/log/..x", true),
        ] {
            assert_eq!(list.allows(Path::new(path)), expected, "{path:?}");
        }
        assert!(HostPaths::new(vec!["/".into()]).allows(Path::new("/etc")));
    }

    #[test]
    fn each_volume_elsewhere_is_named_and_no_list_allows_all() {
        let spec: PodSpec = serde_json::from_value(json!({"containers": [], "volumes": [
            {"name": "a", "hostPath": {"path": "/etc"}},
            {"name": "b", "emptyDir": {}},
            {"name": "c", "hostPath": {"path": "/var/log/x"}},
            {"name": "d", "hostPath": {"path": "/var/log/.."}},
        ]}))
        .unwrap();
        let found = HostPaths::new(vec!["/var/log".into()]).refuse(&spec);
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 2, "{shown:#?}");
        assert_eq!(
            shown[0],
            "spec.volumes[0].hostPath.path: Forbidden: \"/etc\" is not allowed on this node, only what is at or below /var/log: \
             use one of these, or add it to allowedHostPaths in the agent's configuration"
        );
        assert!(shown[1].starts_with("spec.volumes[3].hostPath.path: "), "{}", shown[1]);
        assert_eq!(HostPaths::default().refuse(&spec), []);
    }
}
