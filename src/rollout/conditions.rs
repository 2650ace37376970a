//! What is out of the ordinary with a DaemonSet on this node, as conditions of its status.
//!
//! Kubernetes has the field and its controller never fills it; a DaemonSet of which there is nothing to say has none here, either. Pure.

use k8s_openapi::api::apps::v1::DaemonSetCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::source::{Override, OverrideCause};

/// Something that is out of the ordinary. Each kind is there at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Circumstance {
    /// Somebody holds back the update.
    Held(String),
    /// The images of the update can't be had.
    ImagesMissing(String),
    /// The policy forbids the pod.
    Refused(String),
    /// The template is not the store's.
    Overridden {
        /// Whether the agent did it by itself.
        by_itself: bool,
        /// Why, for people.
        message: String,
    },
    /// The pod is a kubelet's.
    HandedOver(String),
    /// The pod could not be made a kubelet's.
    NotHandedOver(String),
    /// The agent stands by for a kubelet.
    LeftAlone(String),
    /// Its pod runs, and its record can't be used.
    Unattended(String),
}

impl Circumstance {
    /// That this template stands in for the store's.
    pub fn overridden(by: &Override) -> Self {
        Self::Overridden { by_itself: by.cause == OverrideCause::RolledBack, message: by.describe() }
    }

    /// The condition's type, its reason and its message.
    fn said(&self) -> (&'static str, &'static str, &str) {
        match self {
            Self::Held(message) => ("UpdateHeld", "Hold", message),
            Self::ImagesMissing(message) => ("UpdateHeld", "ImagesMissing", message),
            Self::Refused(message) => ("Refused", "PolicyViolation", message),
            Self::Overridden { by_itself: true, message } => ("TemplateOverridden", "RolledBack", message),
            Self::Overridden { by_itself: false, message } => ("TemplateOverridden", "AskedFor", message),
            Self::HandedOver(message) => ("HandedOver", "StaticPod", message),
            Self::NotHandedOver(message) => ("StandingBy", "NotHandedOver", message),
            Self::LeftAlone(message) => ("StandingBy", "LeftToKubelet", message),
            Self::Unattended(message) => ("PodUnattended", "RecordUnusable", message),
        }
    }
}

/// The conditions that say so; one that was there before keeps its time.
pub fn conditions(
    circumstances: &[Circumstance],
    previous: &[DaemonSetCondition],
    now: Timestamp,
) -> Option<Vec<DaemonSetCondition>> {
    let condition = |circumstance: &Circumstance| {
        let (type_, reason, message) = circumstance.said();
        let before = previous.iter().find(|before| before.type_ == type_);
        DaemonSetCondition {
            type_: type_.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: before
                .and_then(|before| before.last_transition_time.clone())
                .or_else(|| Timestamp::from_second(now.as_second()).ok().map(Time)),
        }
    };
    Some(circumstances.iter().map(condition).collect()).filter(|conditions: &Vec<_>| !conditions.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_it_holds_and_goes_when_it_does_not() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let held = [Circumstance::Held("ada holds it".to_owned())];
        let first = conditions(&held, &[], at(0)).unwrap();
        assert_eq!((first[0].type_.as_str(), first[0].reason.as_deref()), ("UpdateHeld", Some("Hold")));
        let images = [
            Circumstance::ImagesMissing("x:1: no such host".to_owned()),
            Circumstance::Refused("spec.hostNetwork".to_owned()),
        ];
        let second = conditions(&images, &first, at(9)).unwrap();
        let times = second.iter().map(|it| it.last_transition_time.clone().unwrap().0).collect::<Vec<_>>();
        assert_eq!(times, [at(0), at(9)]);
        assert_eq!(second[0].reason.as_deref(), Some("ImagesMissing"));
        assert_eq!(conditions(&[], &second, at(10)), None);
    }
}
