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

fn ids(found: Result<Removable<'_>, UnknownSandboxImage>) -> Vec<String> {
    found.unwrap().now.iter().map(|image| image.id.clone()).collect()
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
        (u64::MAX, 0, Some(u64::MAX / 5)),
    ] {
        assert_eq!(must_free(capacity, available), Ok(expected), "{available} of {capacity}");
    }
    assert_eq!(must_free(0, 0), Err(NoCapacity));
    let never = Thresholds { high_percent: 100, low_percent: 80, min_age: s(0) };
    for capacity in [0, 1000] {
        assert_eq!(never.must_free(Usage { capacity, available: 0 }), Ok(None));
    }
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
    let later = |now| history.removable(&images, &wanted, s(100), s(now)).unwrap().too_young.0;
    assert_eq!(later(50), [(s(60), 10), (s(60), 10), (s(70), 10)]);
    assert_eq!((later(115), later(120)), (vec![(s(5), 10)], vec![]));
}

#[test]
fn what_is_too_young_is_waited_for_only_if_it_suffices() {
    let found = TooYoung(vec![(s(10), 5), (s(60), 5)]);
    for (missing, expected) in [(1, Some(10)), (5, Some(10)), (6, Some(60)), (10, Some(60)), (11, None)] {
        assert_eq!(found.enough_in(missing), expected.map(s), "{missing}");
    }
    assert_eq!(TooYoung::default().enough_in(1), None);
}

#[test]
fn what_went_out_of_use_between_two_notes_was_used_until_the_second() {
    let images = [image("a", "a:1"), image("b", "b:1")];
    let using = |ids: &[&str]| Wanted {
        used: ids.iter().map(|id| (*id).to_owned()).collect(),
        sandbox: pause(),
        ..Wanted::default()
    };
    let mut history = History::default();
    history.note(&images, &using(&["a", "b"]), s(0));
    history.note(&images, &using(&["b"]), s(10));
    history.note(&images, &using(&["b"]), s(20));
    history.note(&images, &using(&[]), s(30));
    assert_eq!(ids(history.removable(&images, &using(&[]), s(0), s(40))), ["a", "b"]);
    assert_eq!((history.0["a"].last_used, history.0["b"].last_used), (s(10), s(30)));
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
