//! Taints against tolerations: which taint keeps a pod away, and the tolerations that every DaemonSet pod gets.
//!
//! Sources: `Toleration.ToleratesTaint` in `k8s.io/api/core/v1/toleration.go` (the numeric operators of its alpha gate are
//! refused, as without the gate), `AddOrUpdateDaemonPodTolerations` in `pkg/controller/daemon/util`. `tolerationSeconds` must
//! never play a part here: it belongs to eviction.

use std::fmt;

use k8s_openapi::api::core::v1::{Taint, Toleration};
use serde::{Deserialize, Serialize};

use super::verdict::UntoleratedTaint;

/// The effects that keep a pod away. `PreferNoSchedule` only guides a scheduler's choice among nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaintEffect {
    /// No new pod starts here; one that is here stays.
    NoSchedule,
    /// No pod starts or stays here.
    NoExecute,
}

impl TaintEffect {
    /// The effect as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            TaintEffect::NoSchedule => "NoSchedule",
            TaintEffect::NoExecute => "NoExecute",
        }
    }

    /// The taint's effect, if it is one of the two.
    pub fn of(taint: &Taint) -> Option<Self> {
        match taint.effect.as_str() {
            "NoSchedule" => Some(TaintEffect::NoSchedule),
            "NoExecute" => Some(TaintEffect::NoExecute),
            _ => None,
        }
    }
}

impl fmt::Display for TaintEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const AUTOMATIC: [(&str, TaintEffect); 6] = [
    ("node.kubernetes.io/not-ready", TaintEffect::NoExecute),
    ("node.kubernetes.io/unreachable", TaintEffect::NoExecute),
    ("node.kubernetes.io/disk-pressure", TaintEffect::NoSchedule),
    ("node.kubernetes.io/memory-pressure", TaintEffect::NoSchedule),
    ("node.kubernetes.io/pid-pressure", TaintEffect::NoSchedule),
    ("node.kubernetes.io/unschedulable", TaintEffect::NoSchedule),
];
const AUTOMATIC_ON_HOST_NETWORK: [(&str, TaintEffect); 1] =
    [("node.kubernetes.io/network-unavailable", TaintEffect::NoSchedule)];

fn automatic(host_network: bool) -> impl Iterator<Item = (&'static str, TaintEffect)> {
    let more: &[_] = if host_network { &AUTOMATIC_ON_HOST_NETWORK } else { &[] };
    AUTOMATIC.iter().chain(more).copied()
}

/// The tolerations that every DaemonSet pod gets, in the controller's order; one more with `hostNetwork`.
pub fn daemon_tolerations(host_network: bool) -> impl Iterator<Item = Toleration> {
    automatic(host_network).map(|(key, effect)| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some(effect.as_str().to_owned()),
        ..Toleration::default()
    })
}

/// Gives a pod the tolerations that every DaemonSet pod gets.
///
/// One of the pod's own with the same key, operator, effect and value is replaced where it stands, which takes its
/// `tolerationSeconds` away; the others are appended.
pub fn add_daemon_tolerations(tolerations: &mut Vec<Toleration>, host_network: bool) {
    for automatic in daemon_tolerations(host_network) {
        let mut replaced = false;
        for own in tolerations.iter_mut().filter(|own| is_same(own, &automatic)) {
            own.clone_from(&automatic);
            replaced = true;
        }
        if !replaced {
            tolerations.push(automatic);
        }
    }
}

fn is_same(one: &Toleration, other: &Toleration) -> bool {
    fn parts(toleration: &Toleration) -> [&str; 4] {
        let Toleration { key, operator, effect, value, .. } = toleration;
        [text(key), text(operator), text(effect), text(value)]
    }
    parts(one) == parts(other)
}

/// Whether this one toleration tolerates this one taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let any_or_same = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    any_or_same(text(&toleration.effect), &taint.effect)
        && any_or_same(text(&toleration.key), &taint.key)
        && match text(&toleration.operator) {
            "" | "Equal" => text(&toleration.value) == text(&taint.value),
            "Exists" => true,
            _ => false,
        }
}

/// A string of the Kubernetes API, in which absent and empty are one.
#[expect(clippy::ref_option, reason = "asked of the fields of API objects as they are")]
fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

/// The taints with effect NoSchedule or NoExecute that nothing tolerates, in the node's order.
pub(super) fn untolerated(
    taints: &[Taint],
    tolerations: &[Toleration],
    host_network: bool,
) -> Vec<UntoleratedTaint> {
    let mut found = Vec::new();
    for taint in taints {
        let Some(effect) = TaintEffect::of(taint) else { continue };
        let tolerated = tolerations.iter().any(|toleration| tolerates(toleration, taint))
            || automatic(host_network).any(|(key, of)| key == taint.key && of == effect);
        if !tolerated {
            found.push(UntoleratedTaint {
                key: taint.key.clone(),
                value: text(&taint.value).to_owned(),
                effect,
            });
        }
    }
    found
}

/// A toleration for the same key that misses the taint by its value, effect or operator.
pub(super) fn near_miss(taint: &UntoleratedTaint, tolerations: &[Toleration]) -> Option<Toleration> {
    tolerations.iter().find(|toleration| text(&toleration.key) == taint.key).cloned()
}
