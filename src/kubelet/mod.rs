//! A kubelet on the same runtime: how it is noticed, and what is left to it.
//!
//! A kubelet takes every pod of its runtime's CRI for its own, and kills those that it doesn't know within seconds
//! (`HandlePodCleanups` in `pkg/kubelet/kubelet_pods.go`). So there is one agent on a runtime: where a kubelet comes, daemonlet goes, and stays
//! away until it is told that the kubelet is gone for good. What is here finds out and remembers; it ends no pod and asks no runtime.

pub mod process;
pub mod standing_back;
pub mod static_pod;

use std::fmt;

use crate::cri::translate::labels;

/// What shows that a kubelet uses this runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// Its process.
    Process(process::Kubelet),
    /// A pod that appeared, and that only a kubelet marks so.
    Pod {
        /// `namespace/name`
        pod: String,
    },
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(kubelet) => {
                write!(f, "a kubelet (process {}) uses the same container runtime", kubelet.pid)
            }
            Self::Pod { pod } => {
                write!(
                    f,
                    "a kubelet uses the same container runtime: pod {pod} has appeared there and is a kubelet's"
                )
            }
        }
    }
}

/// The annotation by which a kubelet says where it has a pod from.
const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Its values for pods that are there because somebody wanted them: from the API server, a file or a URL.
const SOURCES: [&str; 3] = ["api", "file", "http"];

/// Whether a sandbox of these labels and annotations is a kubelet's. Ours carry `mark`; what people make with `crictl runp` has no source.
pub fn is_kubelets<'a>(
    has_label: impl Fn(&str) -> bool,
    annotation: impl Fn(&str) -> Option<&'a str>,
    mark: &str,
) -> bool {
    let source = annotation(CONFIG_SOURCE);
    !has_label(mark) && has_label(labels::POD_UID) && source.is_some_and(|source| SOURCES.contains(&source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_kubelet_got_from_somewhere_and_is_not_ours_is_a_kubelets() {
        let uid = labels::POD_UID;
        let rows: [(&[&str], Option<&str>, bool); 6] = [
            (&[uid], Some("api"), true),
            (&[uid], Some("file"), true),
            (&[uid], Some("elsewhere"), false),
            (&[uid], None, false),
            (&[], Some("api"), false),
            (&[uid, "daemonlet.dev/node"], Some("api"), false),
        ];
        for (labels, source, expected) in rows {
            let annotation = |key: &str| source.filter(|_| key == "kubernetes.io/config.source");
            let found = is_kubelets(|label| labels.contains(&label), annotation, "daemonlet.dev/node");
            assert_eq!(found, expected, "{labels:?} {source:?}");
        }
    }
}
