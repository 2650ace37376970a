//! From the runtime's answers to [`Observed`]: what a CRI status says, in the terms of the rules.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::observed::{Container, ContainerState, Exit, Network, Sandbox, SandboxState};
use crate::cri::proto;
use crate::cri::translate::annotations::{HASH, RESTART_COUNT};

/// The annotation under which a container remembers the crash-loop delay that follows when it ends, in milliseconds; ours, so that a new
/// agent goes on with the back-off of the one before.
pub const RESTART_DELAY_ANNOTATION: &str = "daemonlet.dev/restart-delay-ms";
/// The annotation beside it that says in which boot of the machine (`/proc/sys/kernel/random/boot_id`). Who died with the machine did not
/// crash: after a boot a back-off begins anew, as a kubelet's does.
pub const BOOT_ANNOTATION: &str = "daemonlet.dev/boot";

/// A sandbox from its status.
pub fn sandbox(status: &proto::PodSandboxStatus) -> Sandbox {
    let options = status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref()?.options.as_ref());
    let on_host = options.is_some_and(|options| options.network() == proto::NamespaceMode::Node);
    Sandbox {
        id: status.id.as_str().into(),
        attempt: status.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
        state: match status.state() {
            proto::PodSandboxState::SandboxReady => SandboxState::Ready,
            proto::PodSandboxState::SandboxNotready => SandboxState::NotReady,
        },
        network: if on_host { Network::Host } else { Network::Pod },
        ips: status.network.as_ref().map(ips).unwrap_or_default(),
        created_at: status.created_at,
    }
}

/// The addresses, or none at all if one of them is no address (`determinePodSandboxIPs`).
fn ips(network: &proto::PodSandboxNetworkStatus) -> Vec<IpAddr> {
    if network.ip.is_empty() {
        return Vec::new();
    }
    let all = std::iter::once(network.ip.as_str())
        .chain(network.additional_ips.iter().map(|more| more.ip.as_str()));
    all.map(str::parse).collect::<Result<_, _>>().unwrap_or_default()
}

/// A container from its status. The sandbox is not part of it; listings have it. `boot` is this boot of the machine.
pub fn container(status: &proto::ContainerStatus, sandbox: &crate::cri::SandboxId, boot: &str) -> Container {
    let is_of_this_boot = status.annotations.get(BOOT_ANNOTATION).is_none_or(|made_in| made_in == boot);
    let metadata = status.metadata.as_ref();
    let counted = status.annotations.get(RESTART_COUNT).and_then(|count| count.parse().ok());
    Container {
        id: status.id.as_str().into(),
        sandbox: sandbox.clone(),
        name: metadata.map(|metadata| metadata.name.clone()).unwrap_or_default(),
        attempt: counted.or(metadata.map(|metadata| metadata.attempt)).unwrap_or(0),
        state: match status.state() {
            proto::ContainerState::ContainerCreated => ContainerState::Created,
            proto::ContainerState::ContainerRunning => {
                ContainerState::Running { started_at: timestamp(status.started_at).unwrap_or_default() }
            }
            proto::ContainerState::ContainerExited => ContainerState::Exited(Exit {
                code: status.exit_code,
                reason: status.reason.clone(),
                message: status.message.clone(),
                started_at: timestamp(status.started_at),
                finished_at: timestamp(status.finished_at).unwrap_or_default(),
            }),
            proto::ContainerState::ContainerUnknown => ContainerState::Unknown,
        },
        hash: status.annotations.get(HASH).filter(|hash| is_hash(hash)).cloned(),
        restart_delay: status
            .annotations
            .get(RESTART_DELAY_ANNOTATION)
            .filter(|_| is_of_this_boot)
            .and_then(|delay| delay.parse().ok())
            .map_or(Duration::ZERO, Duration::from_millis),
        image: status.image.as_ref().map(|image| image.image.clone()).unwrap_or_default(),
        image_ref: status.image_ref.clone(),
        created_at: status.created_at,
    }
}

fn is_hash(text: &str) -> bool {
    u64::from_str_radix(text, 16).is_ok()
}

/// The CRI's nanoseconds since the epoch; zero is "never".
fn timestamp(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds != 0).then(|| Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_back_off_ends_with_the_boot_that_it_was_raised_in() {
        let delay = |boot: Option<&str>| {
            let mut annotations = BTreeMap::from([(RESTART_DELAY_ANNOTATION.to_owned(), "40000".to_owned())]);
            annotations.extend(boot.map(|boot| (BOOT_ANNOTATION.to_owned(), boot.to_owned())));
            let status = proto::ContainerStatus { id: "c".to_owned(), annotations, ..Default::default() };
            container(&status, &"s".into(), "this").restart_delay
        };
        assert_eq!(delay(Some("this")), Duration::from_secs(40));
        assert_eq!(delay(Some("another")), Duration::ZERO);
        assert_eq!(delay(None), Duration::from_secs(40), "an agent made it that noted no boots");
    }

    #[test]
    fn one_bad_address_spoils_them_all() {
        let network = |ip: &str, more: &[&str]| proto::PodSandboxNetworkStatus {
            ip: ip.into(),
            additional_ips: more.iter().map(|ip| proto::PodIp { ip: (*ip).into() }).collect(),
        };
        assert_eq!(ips(&network("10.0.0.1", &["fd00::1"])).len(), 2);
        assert!(ips(&network("10.0.0.1", &["nonsense"])).is_empty());
        assert!(ips(&network("", &["fd00::1"])).is_empty());
    }

    #[test]
    fn the_restart_count_is_the_annotations() {
        let mut status = proto::ContainerStatus {
            id: "c".into(),
            metadata: Some(proto::ContainerMetadata { name: "main".into(), attempt: 1 }),
            ..Default::default()
        };
        assert_eq!(container(&status, &"s".into(), "this").attempt, 1);
        status.annotations = BTreeMap::from([
            (RESTART_COUNT.to_owned(), "4".to_owned()),
            (HASH.to_owned(), "not hex".to_owned()),
        ]);
        let found = container(&status, &"s".into(), "this");
        assert_eq!((found.attempt, found.hash), (4, None));
    }

    #[test]
    fn a_container_that_never_started_has_no_start_time() {
        let status = proto::ContainerStatus {
            state: proto::ContainerState::ContainerExited as i32,
            exit_code: 128,
            finished_at: 1_800_000_000_000_000_000,
            ..Default::default()
        };
        let found = container(&status, &"s".into(), "this");
        let exit = found.exit().expect("an exit");
        assert_eq!((exit.code, exit.started_at), (128, None));
        assert_eq!(exit.finished_at.as_second(), 1_800_000_000);
    }
}
