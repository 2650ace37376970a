//! One cause of a verdict: typed, and a sentence for operators once displayed or serialized.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Toleration;
use serde::{Serialize, Serializer};

use super::affinity::{TermFailure, Unmet};
use super::verdict::UntoleratedTaint;

/// Why a DaemonSet's pod runs here, or doesn't.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The template sets `nodeName`.
    NodeName {
        /// The node it names.
        wanted: String,
        /// This node.
        node: String,
    },
    /// Nothing in the template selects among nodes.
    EveryNode,
    /// Every pair of `nodeSelector` is on the node.
    SelectorMatches {
        /// The template's `nodeSelector`.
        selector: BTreeMap<String, String>,
    },
    /// A pair of `nodeSelector` isn't on the node.
    Selector(Unmet),
    /// A term of the required node affinity matches.
    AffinityMatches {
        /// The term, counted from 1.
        term: usize,
        /// How many terms there are.
        of: usize,
    },
    /// The required node affinity has no term, and so matches no node.
    AffinityWithoutTerms,
    /// A term of the required node affinity doesn't match.
    AffinityTerm {
        /// The term, counted from 1.
        term: usize,
        /// How many terms there are.
        of: usize,
        /// Why it doesn't.
        failure: TermFailure,
    },
    /// The node has no taint that keeps pods away.
    NoTaints,
    /// Every taint that keeps pods away is tolerated.
    TaintsTolerated,
    /// A taint keeps the pod away.
    Taint {
        /// The taint.
        taint: UntoleratedTaint,
        /// A toleration of the template for the same key, which doesn't fit the taint.
        near_miss: Option<Box<Toleration>>,
    },
    /// Only NoSchedule taints stand in the way.
    MayStay,
    /// The node is drained of all pods.
    Drained,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NodeName { wanted, node } if wanted == node => {
                write!(f, "spec.nodeName is this node's name, {node}")
            }
            Reason::NodeName { wanted, node } => {
                write!(f, "spec.nodeName is {wanted}: this node's name is {node}")
            }
            Reason::EveryNode => {
                f.write_str("no nodeName, nodeSelector or required node affinity: every node matches")
            }
            Reason::SelectorMatches { selector } => {
                f.write_str("node labels match nodeSelector {")?;
                for (index, (key, value)) in selector.iter().enumerate() {
                    write!(f, "{}{key}={value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Reason::Selector(unmet) => write!(f, "nodeSelector {unmet}"),
            Reason::AffinityMatches { of: 1, .. } => f.write_str("required node affinity matches"),
            Reason::AffinityMatches { term, of } => {
                write!(f, "required node affinity matches by term {term} of {of}")
            }
            Reason::AffinityWithoutTerms => {
                f.write_str("required node affinity has no nodeSelectorTerms: it matches no node")
            }
            Reason::AffinityTerm { of: 1, failure, .. } => write!(f, "required node affinity: {failure}"),
            Reason::AffinityTerm { term, of, failure } => {
                write!(f, "required node affinity, term {term} of {of}: {failure}")
            }
            Reason::NoTaints => f.write_str("the node has no taint that keeps pods away"),
            Reason::TaintsTolerated => f.write_str("all taints tolerated"),
            Reason::Taint { taint, near_miss } => write_taint(f, taint, near_miss.as_deref()),
            Reason::MayStay => {
                f.write_str("a pod that is already here stays: a NoSchedule taint only keeps new ones away")
            }
            Reason::Drained => {
                f.write_str("the node is drained and runs no pods: `daemonlet uncordon` lets them run again")
            }
        }
    }
}

fn write_taint(
    f: &mut fmt::Formatter<'_>,
    taint: &UntoleratedTaint,
    near_miss: Option<&Toleration>,
) -> fmt::Result {
    let UntoleratedTaint { key, value, effect } = taint;
    let equals = if value.is_empty() { "" } else { "=" };
    write!(f, "taint {key}{equals}{value}:{effect} is not tolerated")?;
    if let Some(near) = near_miss {
        write!(f, " (the template's toleration {} does not fit it)", Flow(near))?;
    }
    let admitting = Toleration {
        key: Some(key.clone()),
        operator: Some(if value.is_empty() { "Exists" } else { "Equal" }.to_owned()),
        value: Some(value.clone()),
        effect: Some(effect.as_str().to_owned()),
        toleration_seconds: None,
    };
    write!(f, ": the toleration {} would admit it", Flow(&admitting))
}

/// A toleration as one would write it on one line of YAML.
struct Flow<'a>(&'a Toleration);

impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Toleration { key, operator, value, effect, .. } = self.0;
        let parts = [("key", key), ("operator", operator), ("value", value), ("effect", effect)];
        let mut separator = "{";
        for (name, part) in parts {
            if let Some(part) = part.as_deref().filter(|part| !part.is_empty()) {
                write!(f, "{separator}{name}: {}", Scalar(part))?;
                separator = ", ";
            }
        }
        f.write_str("}")
    }
}

/// A string as a YAML scalar: quoted where it would read as something other than a string.
struct Scalar<'a>(&'a str);

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
        let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(self.0));
        let is_plain = self.0.starts_with(|first: char| first.is_ascii_alphabetic()) && !is_word;
        if is_plain { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
