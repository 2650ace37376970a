//! A reconciler at its beginning: with what is on disk of DaemonSets, revisions and holds, and no pod yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use tokio::sync::{Notify, mpsc, watch};
use tracing::warn;

use super::{Reconciler, Released};
use crate::agent::holding::Holding;
use crate::agent::image_gc::Kept;
use crate::agent::prefetch::Prefetch;
use crate::agent::recording::Recording;
use crate::agent::{AgentError, Purpose};
use crate::complaints::HourlyComplaints;
use crate::config::Settings;
use crate::pod::context::{PodContext, Report};
use crate::rollout::history::History;
use crate::rollout::ledger::Ledger;
use crate::state_dir::StateEntry;
use crate::store::Snapshot;
use crate::systemd::logind::Machine;

/// Where it hears from, and whom it tells.
pub(in crate::agent) struct Surroundings {
    pub(in crate::agent) context: Arc<PodContext>,
    pub(in crate::agent) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(in crate::agent) node: watch::Receiver<Arc<Node>>,
    pub(in crate::agent) reports: mpsc::UnboundedReceiver<Report>,
    pub(in crate::agent) burstable_shares: watch::Sender<u64>,
    pub(in crate::agent) limited: Arc<Notify>,
    pub(in crate::agent) kept_images: watch::Sender<Kept>,
}

impl Reconciler {
    /// Takes up what is on disk; entries that can't be understood are told of and left out.
    ///
    /// # Errors
    /// When the ledger or the revisions can't be listed.
    pub(in crate::agent) fn open(
        settings: &Settings,
        around: Surroundings,
        purpose: &Purpose,
    ) -> Result<Self, AgentError> {
        let (ledger, refused) = Ledger::open(&StateEntry::Ledger.below(&settings.root_dir))?;
        for entry in refused {
            warn!(file = %entry.path.display(), reason = entry.reason, "ledger entry refused; it is made anew");
        }
        let revisions_dir = StateEntry::Revisions.below(&settings.root_dir);
        let (history, refused) = History::open(&revisions_dir)
            .map_err(|source| AgentError::Directory { path: revisions_dir, source })?;
        for (path, reason) in refused {
            warn!(file = %path.display(), reason, "revision refused; there is no way back to it");
        }
        let holds_file = StateEntry::Holds.below(&settings.root_dir);
        let holds = Holding::open(holds_file, settings.holds_dir.clone(), settings.hold_file_ttl);
        around.context.board.set_updates_held(holds.problem.clone());
        Ok(Self {
            context: around.context,
            snapshots: around.snapshots,
            node: around.node,
            reports: around.reports,
            ledger,
            history,
            holds,
            prefetch: Prefetch::default(),
            recording: Recording::default(),
            pods: BTreeMap::new(),
            leaving: BTreeSet::new(),
            burstable_shares: around.burstable_shares,
            known: BTreeMap::new(),
            limited: around.limited,
            machine: Machine::Up,
            going: None,
            waiting: BTreeMap::new(),
            policy: settings.policy.clone(),
            released: Released::of(purpose),
            only_signed: settings.trust_file.is_some(),
            unattended: BTreeMap::new(),
            complaints: HourlyComplaints::default(),
            kept_images: around.kept_images,
        })
    }
}
