//! What the runtime shows of a hand-over: which DaemonSets still have something of ours that runs, and which the kubelet has taken up.

use std::collections::{BTreeMap, BTreeSet};

use crate::cri::proto::{Container, ContainerState, PodSandbox, PodSandboxState};
use crate::cri::translate::labels::POD_NAMESPACE;
use crate::cri::{CriClient, CriError};
use crate::kubelet::static_pod::HANDED_OVER;
use crate::manifest::DaemonSetKey;
use crate::pod::{DAEMON_SET_MARK, MARK};

/// What the runtime showed at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::agent) struct Sight {
    /// The DaemonSets of which a container of ours runs.
    pub(in crate::agent) running: BTreeSet<DaemonSetKey>,
    /// The DaemonSets whose static pod the kubelet has started: its sandbox is ready, and a container in it was started.
    pub(in crate::agent) taken_up: BTreeSet<DaemonSetKey>,
}

/// Asks the runtime.
pub(in crate::agent) async fn look(cri: &CriClient) -> Result<Sight, CriError> {
    let all = BTreeMap::new();
    let sandboxes = cri.list_pod_sandboxes(&all).await?;
    let containers = cri.list_containers(&all).await?;
    Ok(Sight::of(&sandboxes, &containers))
}

impl Sight {
    pub(in crate::agent) fn of(sandboxes: &[PodSandbox], containers: &[Container]) -> Self {
        let running = ContainerState::ContainerRunning as i32;
        let exited = ContainerState::ContainerExited as i32;
        let ready = PodSandboxState::SandboxReady as i32;
        let ours = containers.iter().filter(|it| it.state == running && it.labels.contains_key(MARK));
        let has_started = |sandbox: &PodSandbox| {
            let mut own = containers.iter().filter(|it| it.pod_sandbox_id == sandbox.id);
            own.any(|it| it.state == running || it.state == exited)
        };
        let taken_up = sandboxes.iter().filter(|it| it.state == ready && has_started(it));
        Self {
            running: ours.filter_map(|it| owner(&it.labels)).collect(),
            taken_up: taken_up.filter_map(taken_from).collect(),
        }
    }
}

/// The DaemonSet of a pod of ours.
pub(in crate::agent) fn owner(labels: &BTreeMap<String, String>) -> Option<DaemonSetKey> {
    labels.get(MARK)?;
    Some(DaemonSetKey {
        namespace: labels.get(POD_NAMESPACE)?.clone(),
        name: labels.get(DAEMON_SET_MARK)?.clone(),
    })
}

/// The DaemonSet of which a kubelet's pod was made.
pub(in crate::agent) fn taken_from(sandbox: &PodSandbox) -> Option<DaemonSetKey> {
    let (namespace, name) = sandbox.annotations.get(HANDED_OVER)?.split_once('/')?;
    Some(DaemonSetKey { namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn sandbox(id: &str, state: PodSandboxState, from: &str) -> PodSandbox {
        PodSandbox {
            id: id.into(),
            state: state as i32,
            annotations: map(&[(HANDED_OVER, from)]),
            ..PodSandbox::default()
        }
    }

    fn container(sandbox: &str, state: ContainerState, labels: &[(&str, &str)]) -> Container {
        Container {
            pod_sandbox_id: sandbox.into(),
            state: state as i32,
            labels: map(labels),
            ..Container::default()
        }
    }

    #[test]
    fn taken_up_is_what_a_kubelet_has_started_a_container_of_and_running_is_what_runs_of_ours() {
        use ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};
        let ready = PodSandboxState::SandboxReady;
        let sandboxes = [
            sandbox("1", ready, "a/runs"),
            sandbox("2", ready, "a/crashes"),
            sandbox("3", ready, "a/pulls"),
            sandbox("4", PodSandboxState::SandboxNotready, "a/dead"),
            PodSandbox { annotations: BTreeMap::new(), ..sandbox("5", ready, "") },
        ];
        let ours = |name: &'static str| [(MARK, "n"), (DAEMON_SET_MARK, name), (POD_NAMESPACE, "a")];
        let containers = [
            container("1", ContainerRunning, &[]),
            container("2", ContainerExited, &[]),
            container("3", ContainerCreated, &[]),
            container("4", ContainerRunning, &[]),
            container("5", ContainerRunning, &[(POD_NAMESPACE, "a"), (DAEMON_SET_MARK, "foreign")]),
            container("6", ContainerRunning, &ours("stays")),
            container("7", ContainerExited, &ours("killed")),
        ];
        let seen = Sight::of(&sandboxes, &containers);
        let names = |keys: &BTreeSet<DaemonSetKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&seen.taken_up), ["a/crashes", "a/runs"]);
        assert_eq!(names(&seen.running), ["a/stays"]);
    }
}
