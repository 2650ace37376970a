//! The labels that name a pod and a container to everything that reads the runtime: `crictl`, log collectors, the agent itself.
//!
//! Rule: `newPodLabels` and `newContainerLabels` in the kubelet's `pkg/kubelet/kuberuntime/labels.go`. The agent's own marks
//! (`daemonlet.dev/…`) are the caller's and come on top.

use std::collections::BTreeMap;

use super::view::PodView;

/// The pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// The pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The pod's UID.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// The container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";

type Labels = BTreeMap<String, String>;

/// The sandbox's labels: the pod's own, overridden by its identity.
pub(super) fn of_sandbox(pod: &PodView<'_>, marks: &Labels) -> Labels {
    let mut labels = pod.labels.cloned().unwrap_or_default();
    labels.extend(identity(pod));
    labels.extend(marks.clone());
    labels
}

/// A container's labels: identity only.
pub(super) fn of_container(pod: &PodView<'_>, container: &str, marks: &Labels) -> Labels {
    let mut labels: Labels = identity(pod).into_iter().collect();
    labels.insert(CONTAINER_NAME.to_owned(), container.to_owned());
    labels.extend(marks.clone());
    labels
}

fn identity(pod: &PodView<'_>) -> [(String, String); 3] {
    [(POD_NAME, pod.name), (POD_NAMESPACE, pod.namespace), (POD_UID, pod.uid)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pod, pod_spec};
    use super::*;

    #[test]
    fn a_user_cannot_disguise_a_pod() {
        let mut pod = pod(pod_spec(Vec::new()));
        let own = [("app", "x"), (POD_NAME, "other"), ("daemonlet.dev/mark", "forged")];
        pod.metadata.labels = Some(own.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        let view = PodView::of(&pod).unwrap();
        let marks = BTreeMap::from([("daemonlet.dev/mark".to_owned(), "true".to_owned())]);
        let labels = of_sandbox(&view, &marks);
        assert_eq!((labels["app"].as_str(), labels[POD_NAME].as_str()), ("x", "p"));
        assert_eq!(labels["daemonlet.dev/mark"], "true");
        let labels = of_container(&view, "c", &marks);
        assert_eq!(labels.keys().filter(|key| !key.starts_with("io.kubernetes.")).count(), 1);
        assert_eq!((labels[CONTAINER_NAME].as_str(), labels[POD_UID].as_str()), ("c", "uid-1"));
    }
}
