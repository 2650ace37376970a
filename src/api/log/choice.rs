//! Which container's log is meant, and which of its attempts.
//!
//! Pure. Rules and words: `validateContainer` in Kubernetes' `pkg/registry/core/pod/strategy.go` and
//! `validateContainerLogStatus` in `pkg/kubelet/kubelet_pods.go`.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec};

/// The log that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) container: String,
    pub(super) attempt: Attempt,
    /// Whether more may come.
    pub(super) is_running: bool,
}

/// Which attempt at running the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// This one.
    Exactly(u32),
    /// The newest that has a log, up to this one: the next may be made already and not have started.
    UpTo(u32),
}

/// Chooses, or says in Kubernetes' words why there is no log.
pub(super) fn choose(pod: &Pod, container: Option<&str>, previous: bool) -> Result<Choice, String> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let container = name_of(pod, container, pod_name)?;
    let of = format!("{container:?} in pod {pod_name:?}");
    let Some(status) = status_of(pod, &container) else {
        return Err(format!("container {of} is not available"));
    };
    let restarts = u32::try_from(status.restart_count).unwrap_or_default();
    let state = status.state.clone().unwrap_or_default();
    let has_ended_before = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    let is_started = state.running.is_some() || state.terminated.is_some();
    let (attempt, is_running) = if previous {
        if !has_ended_before {
            return Err(format!("previous terminated container {of} not found"));
        }
        match restarts.checked_sub(1).filter(|_| is_started) {
            Some(previous) => (Attempt::Exactly(previous), false),
            None => (Attempt::UpTo(restarts), false),
        }
    } else if is_started {
        (Attempt::Exactly(restarts), state.running.is_some())
    } else if has_ended_before {
        (Attempt::UpTo(restarts), false)
    } else {
        return Err(match state.waiting.and_then(|waiting| waiting.reason).as_deref() {
            Some("ErrImagePull") => format!("container {of} is waiting to start: image can't be pulled"),
            Some("ImagePullBackOff") => {
                format!("container {of} is waiting to start: trying and failing to pull image")
            }
            Some(reason) if !reason.is_empty() => format!("container {of} is waiting to start: {reason}"),
            _ => format!("container {of} is waiting to start - no logs yet"),
        });
    };
    Ok(Choice { container, attempt, is_running })
}

fn name_of(pod: &Pod, asked: Option<&str>, pod_name: &str) -> Result<String, String> {
    let names = pod.spec.as_ref().map(names).unwrap_or_default();
    match asked {
        Some(asked) if names.contains(&asked) => Ok(asked.to_owned()),
        Some(asked) => Err(format!("container {asked} is not valid for pod {pod_name}")),
        None => match pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default() {
            [] => Err(format!("a container name must be specified for pod {pod_name}")),
            [only] => Ok(only.name.clone()),
            _ => Err(format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                names.join(" ")
            )),
        },
    }
}

fn names(spec: &PodSpec) -> Vec<&str> {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers).map(|container| container.name.as_str()).collect()
}

/// What is known of one of a pod's containers.
pub(super) fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = [&status.init_container_statuses, &status.container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == container)
}
