//! What this agent looks after no longer: its pods end, and none is made.

use super::Reconciler;
use crate::agent::Purpose;
use crate::manifest::DaemonSetKey;
use crate::pod::identity::PodUid;
use crate::rollout::decide::{Life, StopReason};

/// What is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) enum Released {
    /// Nothing.
    Nothing,
    /// Every pod that is here, whatever the store says.
    All,
    /// The pods of one DaemonSet; all others are not even looked at.
    Only(DaemonSetKey),
}

impl Released {
    /// What an agent gives up from the beginning.
    pub(in crate::agent) fn of(purpose: &Purpose) -> Self {
        match purpose {
            Purpose::LookAfter => Self::Nothing,
            Purpose::EndPods => Self::All,
            Purpose::EndPodsOf(daemon_set) => Self::Only(daemon_set.clone()),
        }
    }

    /// Whether an agent that gives this up has to do with a DaemonSet's pods.
    pub(in crate::agent) fn concerns(&self, daemon_set: &DaemonSetKey) -> bool {
        match self {
            Self::Nothing | Self::All => true,
            Self::Only(only) => only == daemon_set,
        }
    }

    /// Whether it has to do with what belongs to no DaemonSet any more.
    pub(in crate::agent) const fn concerns_others(&self) -> bool {
        matches!(self, Self::Nothing | Self::All)
    }
}

impl Reconciler {
    /// Tells every pod to stop that was not told yet.
    pub(super) fn end_all(&mut self) {
        let lives = |(uid, pod): (&PodUid, &super::Tracked)| (pod.life != Life::Ending).then(|| uid.clone());
        let living: Vec<PodUid> = self.pods.iter().filter_map(lives).collect();
        for uid in living {
            self.stop(&uid, StopReason::NodeLeaves, None);
        }
    }

    /// Whether everything is given up, and gone.
    pub(in crate::agent) fn has_left(&self) -> bool {
        self.released != Released::Nothing && self.pods.is_empty()
    }
}
