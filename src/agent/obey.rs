//! What the API's clients ask for, carried out by the reconciler. What follows from it is decided in the round after.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use tracing::info;

use super::reconcile::{Reconciler, key_of};
use crate::api::command::Command;
use crate::board::{EventDraft, EventKind, reference_to};
use crate::boot_time::BootTime;
use crate::error_chain::error_chain;
use crate::manifest::{DaemonSetKey, Kind, Object};
use crate::rollout::decide::StopReason;
use crate::rollout::hold::Present;
use crate::rollout::{Override, OverrideCause, is_same_but_restarted, revision_of};

impl Reconciler {
    /// Does what is asked. Whoever asked may have gone meanwhile.
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::DeletePod { namespace, name, grace, answer } => {
                let _ = answer.send(self.delete_pod(&namespace, &name, grace).map(Box::new));
            }
            Command::SetTemplate { daemon_set, template, by, answer } => {
                let set = self.set_template(&daemon_set, template, &by);
                let _ = answer.send(set.map(|daemon_set| daemon_set.map(Box::new)));
            }
            Command::Hold { target, hold, answer } => {
                let kept = self.holds.put(&target, hold.clone(), &self.present());
                let kept = kept.map_err(|problem| error_chain(&problem));
                if kept.is_ok() {
                    self.tell_of_holding("UpdatesHeld", &format!("Updates of {target} are {hold}"));
                }
                let _ = answer.send(kept);
            }
            Command::Release { target, by, answer } => {
                let ended = self.holds.release(&target, &self.present());
                self.context.board.set_updates_held(self.holds.problem.clone());
                if let Ok(Some(hold)) = &ended {
                    let message = format!("{by} ended the hold on updates of {target}, which were {hold}");
                    self.tell_of_holding("HoldReleased", &message);
                }
                let _ = answer.send(ended.map_err(|problem| error_chain(&problem)));
            }
            Command::Holds { answer } => {
                let _ = answer.send(self.holds.all(&self.present()));
            }
            // The store's and the node's to obey.
            Command::ConfirmRemovals { .. } | Command::AllowOlderStore { .. } | Command::EditNode { .. } => {}
        }
    }

    /// Now, by which holds count.
    pub(super) fn present(&self) -> Present {
        Present { wall: self.context.clock.wall(), boot: BootTime::now() }
    }

    /// Puts it on record, on the node, who holds updates back and who ends that.
    fn tell_of_holding(&self, reason: &str, message: &str) {
        info!(reason, message);
        self.context.board.record(EventDraft {
            regarding: reference_to(self.node.borrow().as_ref()),
            kind: EventKind::Normal,
            reason: reason.to_owned(),
            message: message.to_owned(),
            component: "daemonlet",
            at: self.context.clock.wall(),
        });
    }

    fn delete_pod(&mut self, namespace: &str, name: &str, grace: Option<Duration>) -> Option<Pod> {
        let pod = self.context.board.pod(namespace, name)?;
        if self.delete_waiting(namespace, name) {
            return Some(Pod::clone(&pod));
        }
        let uid = self.uid_of(namespace, name)?;
        info!(namespace, pod = name, "a client of the API deletes the pod");
        let owner = self.store_object(&self.owner_of(&uid)?);
        self.stop_within(&uid, StopReason::Deleted, grace, owner.as_ref());
        Some(Pod::clone(&pod))
    }

    pub(super) fn set_template(
        &mut self,
        key: &DaemonSetKey,
        template: Box<PodTemplateSpec>,
        by: &str,
    ) -> Result<Option<DaemonSet>, String> {
        let Some(of_store) = self.store_object(key) else { return Ok(None) };
        let Some(spec) = &of_store.spec else { return Ok(None) };
        let of = revision_of(&spec.template);
        if self.only_signed && !self.is_vouched_for(key, &spec.template, &template) {
            info!(daemonset = %key, by, "a client of the API is refused another pod template: nobody has signed it");
            return Err(
                "with trustFile only what is signed runs: a template of this DaemonSet's history (kubectl rollout undo) or the present \
                 one anew (kubectl rollout restart)"
                    .to_owned(),
            );
        }
        let to = revision_of(&template);
        let stand_in = (to != of).then(|| {
            let at = self.context.clock.wall_seconds();
            Override { of: of.clone(), template, cause: OverrideCause::Asked { by: by.to_owned() }, at }
        });
        info!(daemonset = %key, by, revision = %to, store = %of, "a client of the API sets the pod template");
        let message = match &stand_in {
            Some(stand_in) => format!("Pod template {to} stands in for the store's: {}", stand_in.describe()),
            None => format!("The store's pod template {of} counts again, asked for by {by}"),
        };
        self.event(&of_store, EventKind::Normal, "TemplateSet", &message);
        let counts = stand_in.as_ref().map_or_else(|| of_store.clone(), |it| it.applied(&of_store));
        self.ledger.set_stand_in(key, stand_in);
        // Found out anew in the next round.
        self.known.remove(key);
        Ok(Some(counts))
    }

    /// Whether the store has had this template, restarts apart.
    fn is_vouched_for(
        &self,
        key: &DaemonSetKey,
        of_store: &PodTemplateSpec,
        template: &PodTemplateSpec,
    ) -> bool {
        is_same_but_restarted(of_store, template)
            || self.history.templates(key).any(|known| is_same_but_restarted(&known, template))
    }

    /// The DaemonSet as the store has it.
    pub(super) fn store_object(&self, key: &DaemonSetKey) -> Option<DaemonSet> {
        match self.snapshots.borrow().objects.get(Kind::DaemonSet, &key.namespace, &key.name)? {
            Object::DaemonSet(found) if key_of(found) == *key => Some(DaemonSet::clone(found)),
            _ => None,
        }
    }
}
