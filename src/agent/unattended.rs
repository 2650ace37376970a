//! Pods of ours that run while their records can't be used: what is to become of them, and what is said of them.
//!
//! Pure. Whatever runs goes on in doubt, and no other starts beside it: a disk that doesn't give a file, or an older release that doesn't know
//! what a newer one has written, is no reason to end a pod (invariant 1). Only a record of which nothing can ever be read again is
//! made anew, with its pod, and only where its DaemonSet is wanted: then something takes its place.

use std::collections::BTreeMap;

use crate::cri::proto;
use crate::manifest::DaemonSetKey;
use crate::pod::identity::PodUid;
use crate::pod::record::Condition;
use crate::pod::worker::Listed;

/// Why nobody can look after a pod that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The disk doesn't give the record.
    Unreadable(String),
    /// The record is whole, and this release doesn't know what it says.
    Unknown(String),
    /// The record is broken.
    Broken(String),
}

impl Doubt {
    /// What speaks against ending a pod that the runtime has and that nobody looks after.
    pub(super) fn of(condition: Condition, listed: &Listed) -> Option<Self> {
        if !runs(listed) {
            return None;
        }
        match condition {
            Condition::Absent | Condition::Usable => None,
            Condition::Unreadable(why) => Some(Self::Unreadable(why)),
            Condition::Unknown(why) => Some(Self::Unknown(why)),
            Condition::Broken(why) => Some(Self::Broken(why)),
        }
    }

    /// What is wrong, and what to do.
    fn describe(&self) -> String {
        match self {
            Self::Unreadable(why) => {
                format!(
                    "its record can't be read ({why}): put the disk right; the pod is taken up once the record can be read"
                )
            }
            Self::Unknown(why) => format!(
                "its record is not understood ({why}): run the release that wrote it; or remove the record, and the pod is made anew"
            ),
            Self::Broken(why) => {
                format!(
                    "its record is broken ({why}): it is made anew once its DaemonSet is known to be wanted"
                )
            }
        }
    }
}

/// A pod that runs and that nobody looks after.
#[derive(Debug)]
pub(super) struct Unattended {
    pub(super) daemon_set: DaemonSetKey,
    pub(super) doubt: Doubt,
    /// What the runtime had of it last.
    pub(super) listed: Listed,
}

impl Unattended {
    /// What is wrong with the pod, and what to do.
    pub(super) fn describe(&self, uid: &PodUid) -> String {
        format!("pod {uid} runs unattended: {}", self.doubt.describe())
    }
}

/// The pods that run and that nobody looks after.
pub(super) type AllUnattended = BTreeMap<PodUid, Unattended>;

/// Those that are to be ended after all: of DaemonSets that have left the store, and those that can only be made anew, and will be.
pub(super) fn to_end(
    all: &AllUnattended,
    can_be_made: impl Fn(&DaemonSetKey) -> bool,
    has_left: impl Fn(&DaemonSetKey) -> bool,
) -> Vec<PodUid> {
    let ends = |pod: &Unattended| {
        has_left(&pod.daemon_set) || matches!(pod.doubt, Doubt::Broken(_)) && can_be_made(&pod.daemon_set)
    };
    all.iter().filter(|(_, pod)| ends(pod)).map(|(uid, _)| uid.clone()).collect()
}

/// Whether anything of the pod runs. A sandbox alone does nothing that a successor's would not do as well.
fn runs(listed: &Listed) -> bool {
    let running = proto::ContainerState::ContainerRunning as i32;
    listed.containers.iter().any(|container| container.state == running)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(state: proto::ContainerState) -> Listed {
        let container = proto::Container { state: state as i32, ..Default::default() };
        Listed { sandboxes: Vec::new(), containers: vec![container] }
    }

    #[test]
    fn what_runs_is_left_alone_unless_it_was_told_to_stop_or_nothing_is_on_record() {
        use proto::ContainerState::{ContainerExited, ContainerRunning};
        let why = || "why".to_owned();
        for (condition, state, expected) in [
            (Condition::Absent, ContainerRunning, None),
            (Condition::Usable, ContainerRunning, None),
            (Condition::Unreadable(why()), ContainerRunning, Some(Doubt::Unreadable(why()))),
            (Condition::Unknown(why()), ContainerRunning, Some(Doubt::Unknown(why()))),
            (Condition::Broken(why()), ContainerRunning, Some(Doubt::Broken(why()))),
            (Condition::Unreadable(why()), ContainerExited, None),
            (Condition::Unknown(why()), ContainerExited, None),
        ] {
            let shown = format!("{condition:?} {state:?}");
            assert_eq!(Doubt::of(condition, &listed(state)), expected, "{shown}");
        }
    }

    #[test]
    fn it_ends_when_its_daemonset_is_gone_or_when_it_can_only_be_made_anew() {
        let pod = |doubt: &Doubt| {
            let listed = listed(proto::ContainerState::ContainerRunning);
            let daemon_set = DaemonSetKey { namespace: "n".into(), name: "d".into() };
            (PodUid::parse("u").unwrap(), Unattended { daemon_set, doubt: doubt.clone(), listed })
        };
        let (unread, unknown, broken) =
            (Doubt::Unreadable(String::new()), Doubt::Unknown(String::new()), Doubt::Broken(String::new()));
        for (doubt, can_be_made, has_left, expected) in [
            (&unread, true, false, false),
            (&unknown, true, false, false),
            (&broken, true, false, true),
            // Its manifest can't be used just now, or the store is not there.
            (&broken, false, false, false),
            (&unread, false, true, true),
            (&unknown, false, true, true),
            (&broken, false, true, true),
        ] {
            let ended = to_end(&[pod(doubt)].into(), |_| can_be_made, |_| has_left);
            assert_eq!(!ended.is_empty(), expected, "{doubt:?} {can_be_made} {has_left}");
        }
    }
}
