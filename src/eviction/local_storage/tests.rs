use serde_json::json;

use super::*;

const MI: u64 = 1 << 20;

fn pod() -> Pod {
    serde_json::from_value(json!({"metadata": {}, "spec": {
    "volumes": [
        {"name": "scratch", "emptyDir": {"sizeLimit": "10Mi"}},
        {"name": "free", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ],
    "containers": [
        {"name": "a", "resources": {"limits": {"ephemeral-storage": "20Mi"}}},
        {"name": "b", "resources": {"limits": {"ephemeral-storage": "40Mi"}}},
    ]}}))
    .expect("a pod")
}

fn space(mi: u64) -> Space {
    Space { bytes: mi * MI, inodes: mi }
}

fn disk(volumes: &[(&str, u64)], containers: &[(&str, u64, u64)]) -> PodDisk {
    PodDisk {
        volumes: volumes.iter().map(|(name, mi)| ((*name).to_owned(), space(*mi))).collect(),
        containers: containers
            .iter()
            .map(|(name, root, logs)| {
                ((*name).to_owned(), ContainerDisk { root: Some(space(*root)), logs: space(*logs) })
            })
            .collect(),
    }
}

#[test]
fn the_first_limit_that_is_exceeded_is_told() {
    let volume = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"10Mi\". ";
    let whole = "Pod ephemeral local storage usage exceeds the total limit of containers 60Mi. ";
    let one = "Container a exceeded its local ephemeral storage limit \"20Mi\". ";
    for (volumes, containers, layout, expected) in [
        (vec![("scratch", 10), ("shm", 9)], vec![], Layout::Shared, None),
        (vec![("scratch", 11), ("free", 500)], vec![("a", 30, 0)], Layout::Shared, Some(volume)),
        (vec![("free", 50)], vec![("a", 5, 6)], Layout::Shared, Some(whole)),
        (vec![], vec![("a", 15, 6)], Layout::Shared, Some(one)),
        (vec![], vec![("a", 15, 6)], Layout::ImageFs, None),
        (vec![], vec![("a", 0, 21)], Layout::ImageFs, Some(one)),
        (vec![], vec![("a", 20, 0), ("b", 40, 0)], Layout::Shared, None),
    ] {
        let found = excess(&pod(), &disk(&volumes, &containers), layout);
        assert_eq!(found.as_ref().map(|it| it.message.as_str()), expected, "{volumes:?} {containers:?}");
    }
}

#[test]
fn the_sum_of_the_limits_is_written_as_the_first_of_them() {
    for (first, second, expected) in [
        ("1G", "1Gi", "2073741824"),
        ("1G", "500M", "1500M"),
        ("1Gi", "1024M", "2048576Ki"),
        ("0", "1G", "1G"),
    ] {
        let mut pod = pod();
        let containers = &mut pod.spec.as_mut().unwrap().containers;
        for (container, limit) in containers.iter_mut().zip([first, second]) {
            let limits = container.resources.as_mut().unwrap().limits.as_mut().unwrap();
            limits.insert(STORAGE.to_owned(), ApiQuantity(limit.to_owned()));
        }
        let found = excess(&pod, &disk(&[("free", 5000)], &[]), Layout::Shared).unwrap();
        assert_eq!(
            found.message,
            format!("Pod ephemeral local storage usage exceeds the total limit of containers {expected}. ")
        );
    }
}

#[test]
fn only_pods_with_limits_are_watched() {
    assert_eq!(Limited::of(&pod()), Limited { volumes: true, containers: true });
    let free: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "free", "emptyDir": {}}],
        "containers": [{"name": "a", "resources": {"limits": {"memory": "1Gi"}}}]}}))
    .expect("a pod");
    assert_eq!(Limited::of(&free), Limited::default());
}

#[test]
fn each_file_system_is_answered_by_what_lies_on_it() {
    let disk = disk(&[("v", 1)], &[("a", 10, 100)]);
    for (layout, signal, expected) in [
        (Layout::Shared, Signal::NodeFsAvailable, 111),
        (Layout::Shared, Signal::ImageFsAvailable, 111),
        (Layout::ImageFs, Signal::NodeFsInodesFree, 101),
        (Layout::ImageFs, Signal::ImageFsAvailable, 10),
        (Layout::SplitImageFs, Signal::NodeFsAvailable, 111),
        (Layout::SplitImageFs, Signal::ImageFsInodesFree, 0),
    ] {
        assert_eq!(disk.beneath(signal, layout), space(expected), "{layout:?} {signal:?}");
    }
    assert!(Layout::Shared.images_free(Signal::NodeFsAvailable));
    assert!(!Layout::ImageFs.images_free(Signal::NodeFsAvailable));
    assert!(!Layout::ImageFs.dead_containers_free(Signal::NodeFsAvailable));
    assert!(!Layout::Shared.dead_containers_free(Signal::PidAvailable));
}
