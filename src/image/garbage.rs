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

impl Thresholds {
    /// How many bytes must be freed, if so many are used that some must.
    pub fn must_free(&self, usage: Usage) -> Option<u64> {
        let capacity = u128::from(usage.capacity);
        // The kubelet's arithmetic: the free part is rounded down, the used part is the rest.
        let free_percent = (u128::from(usage.available) * 100).checked_div(capacity)?;
        let used_percent = 100_u128.saturating_sub(free_percent);
        if self.high_percent >= 100 || used_percent < u128::from(self.high_percent) {
            return None;
        }
        let wanted = capacity * 100_u128.saturating_sub(u128::from(self.low_percent)) / 100;
        let missing = wanted.saturating_sub(u128::from(usage.available));
        u64::try_from(missing).ok().filter(|missing| *missing > 0)
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
}

impl History {
    /// Notes what is there now and what of it must stay, and forgets what is gone.
    pub fn note(&mut self, images: &[Image], wanted: &Wanted, now: Duration) {
        let there: BTreeSet<&str> = images.iter().map(|image| image.id.as_str()).collect();
        self.0.retain(|id, _| there.contains(id.as_str()));
        for image in images {
            let seen =
                self.0.entry(image.id.clone()).or_insert(Seen { first: now, last_used: Duration::ZERO });
            if wanted.includes(image) {
                seen.last_used = now;
            }
        }
    }

    /// The images that may go, those first that have not been used for longest.
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
    ) -> Result<Vec<&'a Image>, UnknownSandboxImage> {
        if wanted.sandbox.is_none() && !images.iter().any(|image| image.pinned) {
            return Err(UnknownSandboxImage);
        }
        let mut found: Vec<(Seen, &Image)> = images
            .iter()
            .filter(|image| !wanted.includes(image))
            .filter_map(|image| self.0.get(&image.id).map(|seen| (*seen, image)))
            .filter(|(seen, _)| now.saturating_sub(seen.first) >= min_age)
            .collect();
        found.sort_by_key(|(seen, image)| (seen.last_used, seen.first, image.id.clone()));
        Ok(found.into_iter().map(|(_, image)| image).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn image(id: &str, tag: &str) -> Image {
        Image { id: id.into(), repo_tags: vec![tag.into()], size: 10, ..Image::default() }
    }

    fn pause() -> Option<ImageName> {
        ImageName::parse("registry.k8s.io/pause:3.10").ok()
    }

    fn ids(images: Result<Vec<&Image>, UnknownSandboxImage>) -> Vec<String> {
        images.unwrap().iter().map(|image| image.id.clone()).collect()
    }

    #[test]
    fn nothing_must_be_freed_below_the_high_threshold_and_then_down_to_the_low_one() {
        let thresholds = Thresholds { high_percent: 85, low_percent: 80, min_age: s(120) };
        let must_free = |capacity, available| thresholds.must_free(Usage { capacity, available });
        for (capacity, available, expected) in [
            (1000, 1000, None),
            (1000, 160, None),
            // 15.9 % free counts as 15 %, so that 85 % are used.
            (1000, 159, Some(41)),
            (1000, 150, Some(50)),
            (1000, 0, Some(200)),
            (0, 0, None),
            (u64::MAX, 0, Some(u64::MAX / 5)),
        ] {
            assert_eq!(must_free(capacity, available), expected, "{available} of {capacity}");
        }
        let never = Thresholds { high_percent: 100, low_percent: 80, min_age: s(0) };
        assert_eq!(never.must_free(Usage { capacity: 1000, available: 0 }), None);
    }

    #[test]
    fn what_somebody_needs_stays() {
        let mut pinned = image("pinned", "example.org/pinned:1");
        pinned.pinned = true;
        let digest = format!("sha256:{}", "1".repeat(64));
        let by_digest = Image {
            id: "by-digest".into(),
            repo_digests: vec![format!("docker.io/library/app@{digest}")],
            ..Image::default()
        };
        let images = [
            pinned,
            by_digest,
            image("used", "docker.io/library/used:1"),
            image("named", "docker.io/library/named:latest"),
            image("other-tag", "docker.io/library/named:2"),
            image("pause", "registry.k8s.io/pause:3.10"),
        ];
        let name = |name: &str| ImageName::parse(name).unwrap();
        let wanted = Wanted {
            used: ["used".to_owned()].into(),
            named: vec![name("named"), name(&format!("app@{digest}"))],
            sandbox: pause(),
        };
        let mut history = History::default();
        history.note(&images, &wanted, s(0));
        assert_eq!(ids(history.removable(&images, &wanted, s(0), s(0))), ["other-tag"]);
    }

    #[test]
    fn young_images_stay_and_the_longest_unused_go_first() {
        let (a, b, c) = (image("a", "a:1"), image("b", "b:1"), image("c", "c:1"));
        let using = |id: &str| Wanted { used: [id.to_owned()].into(), ..Wanted::default() };
        let mut history = History::default();
        history.note(&[a.clone(), b.clone()], &using("a"), s(10));
        history.note(&[a.clone(), b.clone(), c.clone()], &using("b"), s(20));
        let images = [a, b, c];
        let wanted = Wanted { sandbox: pause(), ..Wanted::default() };
        let removable = |now| ids(history.removable(&images, &wanted, s(100), s(now)));
        assert_eq!(removable(109), [""; 0]);
        assert_eq!(removable(110), ["a", "b"]);
        assert_eq!(removable(120), ["c", "a", "b"]);
    }

    #[test]
    fn an_image_that_was_away_is_young_again() {
        let image = [image("a", "a:1")];
        let mut history = History::default();
        history.note(&image, &Wanted::default(), s(0));
        history.note(&[], &Wanted::default(), s(50));
        history.note(&image, &Wanted::default(), s(60));
        let wanted = Wanted { sandbox: pause(), ..Wanted::default() };
        assert_eq!(ids(history.removable(&image, &wanted, s(100), s(120))), [""; 0]);
    }

    #[test]
    fn nothing_goes_while_any_image_might_be_the_sandboxes() {
        let mut images = vec![image("a", "a:1"), image("b", "b:1")];
        let mut history = History::default();
        history.note(&images, &Wanted::default(), s(0));
        assert_eq!(history.removable(&images, &Wanted::default(), s(0), s(1)), Err(UnknownSandboxImage));
        // Whoever doesn't name it pins it.
        images[0].pinned = true;
        assert_eq!(ids(history.removable(&images, &Wanted::default(), s(0), s(1))), ["b"]);
    }

    #[test]
    fn a_pod_names_the_images_of_its_containers_and_those_that_it_mounts() {
        let container = |image: &str| serde_json::json!({"name": "c", "image": image});
        for (spec, expected) in [
            (serde_json::json!({"containers": [container("a"), container("b")]}), &["a", "b"][..]),
            (
                serde_json::json!({"containers": [container("a")], "initContainers": [container("i")]}),
                &["i", "a"],
            ),
            (
                serde_json::json!({"containers": [container("a")], "volumes": [
                    {"name": "v", "image": {"reference": "data:1"}}, {"name": "w", "emptyDir": {}},
                    {"name": "x", "image": {}}]}),
                &["a", "data:1"],
            ),
            (serde_json::json!({"containers": [{"name": "c"}, container("")]}), &[]),
        ] {
            let spec: PodSpec = serde_json::from_value(spec).unwrap();
            assert_eq!(images_of(&spec).collect::<Vec<_>>(), expected);
        }
    }
}
