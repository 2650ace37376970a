//! Does this DaemonSet belong on this node? The DaemonSet controller's own two answers, with the reasons in words.
//!
//! Pure: a Node and a DaemonSet in, a [`Verdict`] out. Only the node's name, labels and taints are weighed; free resources, ports,
//! conditions, `spec.unschedulable`, preferred affinity and pod affinity must never be. Rules: `NodeShouldRunDaemonPod` in
//! Kubernetes' `pkg/controller/daemon/daemon_controller.go`, and the node affinity helpers of `component-helpers`.

mod affinity;
mod explanation;
mod reason;
mod selector;
mod taint_eviction;
mod tolerations;
mod verdict;

#[cfg(test)]
mod tests;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, NodeSelector, PodSpec};

pub use affinity::{Expression, Found, TermFailure, Unmet};
pub use explanation::Explanation;
pub use reason::Reason;
pub use taint_eviction::{Leave, leave};
pub use tolerations::{TaintEffect, add_daemon_tolerations, daemon_tolerations, tolerates};
pub use verdict::{Outcome, UntoleratedTaint, Verdict};

/// Decides whether the pod of `daemon_set` is wanted on `node`, and whether one that is there may stay.
///
/// Every check is made even when an earlier one has failed, so that the reasons name all that stands in the way.
pub fn decide(node: &Node, daemon_set: &DaemonSet) -> Verdict {
    let nothing = PodSpec::default();
    let pod = daemon_set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).unwrap_or(&nothing);
    let node_name = node.metadata.name.as_deref().unwrap_or_default();
    let labels = node.metadata.labels.as_ref();

    let mut against = Vec::new();
    let mut favour = Vec::new();

    let wanted_name = pod.node_name.as_deref().filter(|name| !name.is_empty());
    let fits_name = wanted_name.is_none_or(|wanted| wanted == node_name);
    if let Some(wanted) = wanted_name {
        let reason = Reason::NodeName { wanted: wanted.to_owned(), node: node_name.to_owned() };
        if fits_name { &mut favour } else { &mut against }.push(reason);
    }

    let selector = pod.node_selector.as_ref().filter(|pairs| !pairs.is_empty());
    let unmet = selector.map(|pairs| selector::unmet(pairs, labels)).unwrap_or_default();
    let mut affinity_match = unmet.is_empty();
    if let Some(pairs) = selector.filter(|_| unmet.is_empty()) {
        favour.push(Reason::SelectorMatches { selector: pairs.clone() });
    }
    against.extend(unmet.into_iter().map(Reason::Selector));

    let required = required_affinity(pod);
    if let Some(required) = required {
        match affinity::matching_term(required, node_name, labels) {
            Ok(term) => favour.push(Reason::AffinityMatches { term, of: required.node_selector_terms.len() }),
            Err(failures) => {
                affinity_match = false;
                if failures.is_empty() {
                    against.push(Reason::AffinityWithoutTerms);
                }
                let of = failures.len();
                against.extend(failures.into_iter().zip(1..).map(|(failure, term)| Reason::AffinityTerm {
                    term,
                    of,
                    failure,
                }));
            }
        }
    }
    if wanted_name.is_none() && selector.is_none() && required.is_none() {
        favour.push(Reason::EveryNode);
    }

    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    let untolerated = tolerations::untolerated(taints, tolerations, pod.host_network.unwrap_or(false));
    let evicting = untolerated.iter().any(|taint| taint.effect == TaintEffect::NoExecute);
    let untolerated_taint = untolerated.first().cloned();
    let keeps_pods_away = taints.iter().any(|taint| TaintEffect::of(taint).is_some());
    favour.push(if keeps_pods_away { Reason::TaintsTolerated } else { Reason::NoTaints });
    against.extend(untolerated.into_iter().map(|taint| {
        let near_miss = tolerations::near_miss(&taint, tolerations).map(Box::new);
        Reason::Taint { taint, near_miss }
    }));

    let belongs = fits_name && affinity_match;
    let should_run = belongs && untolerated_taint.is_none();
    let should_continue_running = belongs && !evicting;
    if should_continue_running && !should_run {
        against.push(Reason::MayStay);
    }
    Verdict {
        should_run,
        should_continue_running,
        fits_name,
        affinity_match,
        untolerated_taint,
        reasons: if should_run { favour } else { against },
    }
}

fn required_affinity(pod: &PodSpec) -> Option<&NodeSelector> {
    let node_affinity = pod.affinity.as_ref()?.node_affinity.as_ref()?;
    node_affinity.required_during_scheduling_ignored_during_execution.as_ref()
}
