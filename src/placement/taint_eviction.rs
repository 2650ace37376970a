//! How long a pod that is here may stay beside the node's NoExecute taints.
//!
//! The other half of [`decide`](super::decide): that one says whether a pod belongs here, and knows nothing of `tolerationSeconds`; this one
//! says when a pod that does has to go all the same. Its DaemonSet then makes another at once, as the DaemonSet controller does. Rule:
//! `processPodOnNode` in Kubernetes' `pkg/controller/tainteviction`, with each taint's seconds counted from that taint.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Taint, Toleration};
use k8s_openapi::jiff::Timestamp;

use super::tolerations::{TaintEffect, tolerates};

/// How long a pod may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// For as long as the taints are as they are.
    Unlimited,
    /// Until then.
    Until {
        /// When it has to go.
        end: Timestamp,
        /// The tolerated time, of which `end` is the end.
        tolerated: Duration,
    },
    /// It has to go now.
    None,
}

/// How long a pod with these tolerations, made at `made`, may stay. Each NoExecute taint's `timeAdded` must say when it was first seen here.
///
/// For each taint the first toleration that tolerates it is taken, and the shortest time counts.
pub fn leave(taints: &[Taint], tolerations: &[Toleration], made: Timestamp) -> Leave {
    let mut leave = Leave::Unlimited;
    for taint in taints.iter().filter(|taint| TaintEffect::of(taint) == Some(TaintEffect::NoExecute)) {
        let Some(toleration) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Leave::None;
        };
        let Some(seconds) = toleration.toleration_seconds else { continue };
        let Some(tolerated) = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0) else {
            return Leave::None;
        };
        let begun = taint.time_added.as_ref().map_or(made, |added| added.0.max(made));
        let tolerated = Duration::from_secs(tolerated);
        let end = begun.checked_add(tolerated).unwrap_or(Timestamp::MAX);
        if !matches!(leave, Leave::Until { end: earlier, .. } if earlier <= end) {
            leave = Leave::Until { end, tolerated };
        }
    }
    leave
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(taints: Value, tolerations: Value, made: i64) -> Option<Option<i64>> {
        let taints: Vec<Taint> = serde_json::from_value(taints).unwrap();
        let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
        match leave(&taints, &tolerations, Timestamp::from_second(made).unwrap()) {
            Leave::Unlimited => Some(None),
            Leave::Until { end, .. } => Some(Some(end.as_second())),
            Leave::None => None,
        }
    }

    /// A NoExecute taint that was first seen at this second.
    fn taint(key: &str, seen: i64) -> Value {
        let seen = Timestamp::from_second(seen).unwrap().to_string();
        json!({"key": key, "effect": "NoExecute", "timeAdded": seen})
    }

    fn tolerated(key: &str, seconds: Value) -> Value {
        json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})
    }

    #[test]
    fn how_long_a_pod_may_stay() {
        let all = json!({"operator": "Exists", "tolerationSeconds": 60});
        let not_ready = "node.kubernetes.io/not-ready";
        for (taints, tolerations, made, expected) in [
            (json!([]), json!([]), 0, Some(None)),
            (json!([taint("a", 100)]), json!([]), 0, None),
            (json!([taint("a", 100)]), json!([tolerated("a", json!(null))]), 0, Some(None)),
            (json!([taint("a", 100)]), json!([tolerated("a", json!(30))]), 0, Some(Some(130))),
            (json!([taint("a", 100)]), json!([tolerated("a", json!(30))]), 500, Some(Some(530))),
            (json!([taint("a", 100)]), json!([tolerated("a", json!(0))]), 0, None),
            (json!([taint("a", 100)]), json!([tolerated("a", json!(-5))]), 0, None),
            (
                json!([taint("a", 100), taint("b", 120)]),
                json!([tolerated("a", json!(60)), tolerated("b", json!(10))]),
                0,
                Some(Some(130)),
            ),
            (
                json!([taint("a", 100), taint("b", 120)]),
                json!([tolerated("a", json!(20)), tolerated("b", json!(10))]),
                0,
                Some(Some(120)),
            ),
            (json!([taint("a", 0), taint("b", 0)]), json!([tolerated("a", json!(9))]), 0, None),
            // The first that tolerates it is taken, whatever stands behind it.
            (
                json!([taint(not_ready, 100)]),
                json!([all, tolerated(not_ready, json!(null))]),
                0,
                Some(Some(160)),
            ),
            (json!([taint(not_ready, 100)]), json!([tolerated(not_ready, json!(null)), all]), 0, Some(None)),
            (json!([{"key": "a", "effect": "NoSchedule"}]), json!([]), 0, Some(None)),
        ] {
            assert_eq!(asked(taints.clone(), tolerations.clone(), made), expected, "{taints} {tolerations}");
        }
    }
}
