//! When an update may go on, and when it is taken back.
//!
//! Holds keep an update waiting. A revision that does not become available in its time (`daemonlet.dev/rollback-after`) is rolled back to
//! the last one that was, and stays so until the store brings another template. The rules are `rollout`'s.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tracing::{info, warn};

use super::super::prefetch::Images;
use super::{Reconciler, Round};
use crate::board::EventKind;
use crate::config::duration;
use crate::manifest::DaemonSetKey;
use crate::rollout::conditions::Circumstance;
use crate::rollout::decide::{self, Generation, Life, PodFacts, Step};
use crate::rollout::hold::{Hold, Target};
use crate::rollout::{Override, OverrideCause, revision_of};

/// How long a revision has to become available, before the last one that was takes its place again.
pub(super) const ROLLBACK_AFTER: &str = "daemonlet.dev/rollback-after";
/// How long a pod is Ready without a break before its revision counts as one that works: a container that keeps crashing is Ready in
/// between.
const SETTLED: Duration = Duration::from_secs(10);
impl Reconciler {
    /// Leaves out of the steps what must wait, and says when to look again.
    pub(super) fn gated(
        &mut self,
        round: &Round<'_>,
        steps: Vec<Step>,
        facts: &[PodFacts],
    ) -> (Vec<Step>, Option<Duration>) {
        let allowed = decide::without_update(steps.clone(), facts);
        if allowed == steps {
            self.prefetch.forget(&round.key);
            self.goes_on(round);
            return (steps, None);
        }
        if let Some((target, hold)) = self.hold_on(&round.key) {
            self.tell_of_hold(round, &target, &hold);
            return (allowed, Some(self.holds.look_again(&hold, &self.present())));
        }
        // A pod that is not Ready has nothing to lose, and one that is stopped beside its successor leaves no gap.
        let loses = |pod: &PodFacts| pod.life == Life::Live && pod.ready_for.is_some();
        let old = facts.iter().filter(|pod| pod.generation == Generation::Old);
        let has_successor = facts.iter().any(|pod| pod.generation == Generation::Current);
        if has_successor || !old.into_iter().any(loses) {
            self.goes_on(round);
            return (steps, None);
        }
        match self.images(round) {
            Images::There => {
                self.goes_on(round);
                (steps, None)
            }
            Images::Coming => (allowed, None),
            Images::Missing { problem, again_in } => {
                self.tell_of_images(round, &problem);
                (allowed, Some(again_in))
            }
        }
    }

    /// Whether the images of the DaemonSet's next pod are there.
    fn images(&mut self, round: &Round<'_>) -> Images {
        let pod = || Pod {
            metadata: ObjectMeta {
                namespace: Some(round.key.namespace.clone()),
                ..round.template().and_then(|template| template.metadata.clone()).unwrap_or_default()
            },
            spec: round.template().and_then(|template| template.spec.clone()),
            status: None,
        };
        let context = Arc::clone(&self.context);
        self.prefetch.images((&round.key, &round.revision), pod, &context)
    }

    fn tell_of_images(&mut self, round: &Round<'_>, problem: &str) {
        let message = format!(
            "The update to {} waits for its images, and the present pod runs on: {problem}",
            round.revision
        );
        if self.waits_for(round, Circumstance::ImagesMissing(message.clone())) {
            warn!(daemonset = %round.key, message);
            self.event(round.daemon_set, EventKind::Warning, "UpdateHeld", &message);
        }
    }

    /// Notes what the update waits for. Says whether that is news.
    fn waits_for(&mut self, round: &Round<'_>, circumstance: Circumstance) -> bool {
        let Some(known) = self.known.get_mut(&round.key) else { return false };
        let is_news = known.waits_for.as_ref() != Some(&circumstance);
        known.waits_for = Some(circumstance);
        is_news
    }

    /// Notes that nothing holds up the update, or that there is none.
    fn goes_on(&mut self, round: &Round<'_>) {
        if let Some(known) = self.known.get_mut(&round.key) {
            known.waits_for = None;
        }
    }

    /// The hold that keeps this DaemonSet from being updated. A roll-back waits for nobody.
    fn hold_on(&self, key: &DaemonSetKey) -> Option<(Target, Hold)> {
        let rolls_back =
            self.ledger.stand_in(key).is_some_and(|stand_in| stand_in.cause == OverrideCause::RolledBack);
        if rolls_back {
            return None;
        }
        let now = self.present();
        let holds = self.holds.all(&now);
        holds.on(key, &now).map(|(target, hold)| (target, hold.clone()))
    }

    /// Whether an update waits for the end of a hold.
    pub(in crate::agent) fn awaits_release(&self) -> bool {
        self.known.values().any(|known| matches!(known.waits_for, Some(Circumstance::Held(_))))
    }

    fn tell_of_hold(&mut self, round: &Round<'_>, target: &Target, hold: &Hold) {
        let message = format!("The update to {} waits: {target} is {hold}", round.revision);
        if self.waits_for(round, Circumstance::Held(message.clone())) {
            info!(daemonset = %round.key, message);
            self.event(round.daemon_set, EventKind::Normal, "UpdateHeld", &message);
        }
    }

    /// Notes whether the present revision is available, and rolls it back if its time is over. Says when that is.
    pub(super) fn judge_revision(&mut self, round: &Round<'_>, facts: &[PodFacts]) -> Option<Duration> {
        if round.entry.last_available.as_ref() == Some(&round.revision) {
            return None;
        }
        let current = || facts.iter().filter(|pod| pod.generation == Generation::Current);
        let limit = self.rollback_after(&round.key, round.daemon_set);
        let settled = limit.map_or(SETTLED, |limit| limit.min(SETTLED)).max(round.min_ready);
        let ready_for = current().filter(|pod| pod.life == Life::Live).filter_map(|pod| pod.ready_for).max();
        match ready_for {
            Some(ready_for) if ready_for >= settled => {
                self.ledger.available(&round.key, &round.revision);
                return None;
            }
            // It may be about to prove itself, even if its time is over.
            Some(ready_for) => return Some(settled.saturating_sub(ready_for)),
            None => {}
        }
        let limit = limit?;
        let last = round.entry.last_available.clone()?;
        let now = self.context.clock.monotonic();
        let began = self.first_try(&round.key, current(), limit)?;
        let left = (began + limit).saturating_sub(now);
        if !left.is_zero() {
            return Some(left);
        }
        let Some(template) = self.history.template(&round.key, &last) else {
            warn!(daemonset = %round.key, revision = %last, "there is no way back: the revision is not on the disk");
            return None;
        };
        let of_store = self.store_object(&round.key)?;
        let stand_in = Override {
            of: revision_of(&of_store.spec.as_ref()?.template),
            template: Box::new(template),
            cause: OverrideCause::RolledBack,
            at: self.context.clock.wall_seconds(),
        };
        let message = format!(
            "Revision {} did not become available within {limit:?}: rolled back to {last}, until the store brings another template",
            round.revision
        );
        warn!(daemonset = %round.key, message);
        self.event(&of_store, EventKind::Warning, "RolledBack", &message);
        self.ledger.set_stand_in(&round.key, Some(stand_in));
        // Found out anew in the round that follows at once.
        self.known.remove(&round.key);
        Some(Duration::ZERO)
    }

    /// How long the DaemonSet's present revision has, unless it is itself what was gone back to.
    pub(super) fn rollback_after(&self, key: &DaemonSetKey, daemon_set: &DaemonSet) -> Option<Duration> {
        let text = daemon_set.metadata.annotations.as_ref()?.get(ROLLBACK_AFTER)?;
        let rolled_back = self.ledger.stand_in(key);
        if rolled_back.is_some_and(|stand_in| stand_in.cause == OverrideCause::RolledBack) {
            return None;
        }
        duration(text).ok().filter(|limit| !limit.is_zero())
    }

    /// When the present revision was first tried, by the monotonic clock.
    fn first_try<'a>(
        &mut self,
        key: &DaemonSetKey,
        current: impl Iterator<Item = &'a PodFacts>,
        limit: Duration,
    ) -> Option<Duration> {
        let clock = self.context.clock;
        // One that waits for a place, or is about to get one, has no worker.
        let waits = self.waiting.get(key);
        let created = |pod: &PodFacts| {
            let tracked = self.pods.get(&pod.uid).map(|tracked| tracked.created);
            tracked.or_else(|| waits.filter(|it| it.uid == pod.uid).map(|it| it.created))
        };
        let oldest = current
            .map(|pod| created(pod).map_or(Duration::ZERO, |created| clock.ago(created, limit)))
            .map(|ago| clock.monotonic().saturating_sub(ago))
            .min();
        let known = self.known.get_mut(key)?;
        known.tried_since = known.tried_since.into_iter().chain(oldest).min();
        known.tried_since
    }
}
