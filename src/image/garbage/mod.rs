//! Which images may go when the disk fills, and in which order.
//!
//! Pure. An image stays while a container, running or dead, was made from it, while it is pinned, while the runtime makes sandboxes from it,
//! and while a DaemonSet of the store names it, though its pod doesn't run now: on a node without a registry it would not come back.
//! The last is stricter than a kubelet, which doesn't know of tomorrow's pods. Else the rules are those of
//! `pkg/kubelet/images/image_gc_manager.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::PodSpec;

use super::ImageName;
use crate::cri::proto::Image;

/// When images are removed, and until when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// From this use of the disk on, in percent. 100 never removes any.
    pub high_percent: u8,
    /// Down to this use.
    pub low_percent: u8,
    /// No image that was first seen less long ago.
    pub min_age: Duration,
}

/// How full the file system of the images is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// All of it.
    pub capacity: u64,
    /// What everybody but root may still write.
    pub available: u64,
}

/// A disk without any room can't be what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid capacity 0 on image filesystem")]
pub struct NoCapacity;

impl Thresholds {
    /// How many bytes must be freed, if so many are used that some must.
    ///
    /// # Errors
    /// When the disk is said to have no room at all, unless no image is ever to be removed.
    pub fn must_free(&self, usage: Usage) -> Result<Option<u64>, NoCapacity> {
        if self.high_percent >= 100 {
            return Ok(None);
        }
        let capacity = u128::from(usage.capacity);
        // The kubelet's arithmetic: the free part is rounded down, the used part is the rest.
        let free_percent = (u128::from(usage.available) * 100).checked_div(capacity).ok_or(NoCapacity)?;
        let used_percent = 100_u128.saturating_sub(free_percent);
        if used_percent < u128::from(self.high_percent) {
            return Ok(None);
        }
        let wanted = capacity * 100_u128.saturating_sub(u128::from(self.low_percent)) / 100;
        let missing = wanted.saturating_sub(u128::from(usage.available));
        Ok(u64::try_from(missing).ok().filter(|missing| *missing > 0))
    }
}

/// The images that a pod's spec names, as written: those of its containers, and those that it mounts.
pub fn images_of(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let init = spec.init_containers.iter().flatten();
    let of_containers = init.chain(&spec.containers).filter_map(|container| container.image.as_deref());
    let volumes = spec.volumes.iter().flatten();
    let mounted = volumes.filter_map(|volume| volume.image.as_ref()?.reference.as_deref());
    of_containers.chain(mounted).filter(|name| !name.is_empty())
}

/// No image can be removed: any might be the one without which no pod starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the runtime neither names nor pins the image that it makes sandboxes from, so none is removed")]
pub struct UnknownSandboxImage;

/// What must stay.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Ids, names and digests by which containers name their images, as the runtime writes them.
    pub used: BTreeSet<String>,
    /// What manifests name.
    pub named: Vec<ImageName>,
    /// What the runtime makes sandboxes from, if it says so.
    pub sandbox: Option<ImageName>,
}

impl Wanted {
    fn includes(&self, image: &Image) -> bool {
        let names = || image.repo_tags.iter().chain(&image.repo_digests);
        image.pinned
            || self.used.contains(&image.id)
            || names().any(|name| self.used.contains(name))
            || names()
                .filter_map(|name| ImageName::parse(name).ok())
                .any(|name| self.named.iter().chain(&self.sandbox).any(|wanted| wanted.is_same_as(&name)))
    }
}

/// When images were first seen and last used, by the agent's monotonic clock and its image id.
#[derive(Debug, Default)]
pub struct History(BTreeMap<String, Seen>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    first: Duration,
    last_used: Duration,
    in_use: bool,
}

/// The images that nobody needs.
#[derive(Debug, Default, PartialEq)]
pub struct Removable<'a> {
    /// What may go now, those first that have not been used for longest.
    pub now: Vec<&'a Image>,
    /// What must come of age first.
    pub too_young: TooYoung,
}

/// Images that nobody needs and that are too young to go: in how long each may, and its size; the oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TooYoung(Vec<(Duration, u64)>);

impl TooYoung {
    /// In how long so many bytes of them may go, if they have as many.
    pub fn enough_in(&self, missing: u64) -> Option<Duration> {
        let mut bytes = 0_u64;
        let last = self.0.iter().find(|(_, size)| {
            bytes = bytes.saturating_add(*size);
            bytes >= missing
        });
        last.map(|(wait, _)| *wait)
    }
}

impl History {
    /// Notes what is there now and what of it must stay, and forgets what is gone. What was in use the last time and is no longer was used until
    /// now: whoever notes does so when something has changed.
    pub fn note(&mut self, images: &[Image], wanted: &Wanted, now: Duration) {
        let there: BTreeSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
        self.0.retain(|id, _| there.contains(id.as_str()));
        for image in images {
            let unknown = Seen { first: now, last_used: Duration::ZERO, in_use: false };
            let seen = self.0.entry(image.id.clone()).or_insert(unknown);
            let in_use = wanted.includes(image);
            if in_use || seen.in_use {
                seen.last_used = now;
            }
            seen.in_use = in_use;
        }
    }

    /// The images that nobody needs, if any may go.
    ///
    /// # Errors
    /// When it can't be known which image the runtime makes sandboxes from: it doesn't say, and none is pinned, as a runtime that doesn't say
    /// pins its own.
    pub fn removable<'a>(
        &self,
        images: &'a [Image],
        wanted: &Wanted,
        min_age: Duration,
        now: Duration,
    ) -> Result<Removable<'a>, UnknownSandboxImage> {
        if wanted.sandbox.is_none() && !images.iter().any(|image| image.pinned) {
            return Err(UnknownSandboxImage);
        }
        let (mut found, mut too_young) = (Vec::new(), Vec::new());
        for image in images.iter().filter(|image| !wanted.includes(image)) {
            let Some(seen) = self.0.get(&image.id) else { continue };
            match min_age.saturating_sub(now.saturating_sub(seen.first)) {
                Duration::ZERO => found.push((*seen, image)),
                wait => too_young.push((wait, image.size)),
            }
        }
        found.sort_by_key(|(seen, image)| (seen.last_used, seen.first, image.id.clone()));
        too_young.sort_unstable();
        let now = found.into_iter().map(|(_, image)| image).collect();
        Ok(Removable { now, too_young: TooYoung(too_young) })
    }
}

#[cfg(test)]
mod tests;
