//! The state of each container, from its newest instance and the one before it.

use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, VolumeMount, VolumeMountStatus,
};

use super::{Ending, Inputs, Vanished, time};
use crate::cri::ContainerId;
use crate::cri::translate::mounts::recursive_read_only;
use crate::pod::observed::{self, ContainerState, Exit};
use crate::pod::plan::Role;

/// Derives one container's status. `default_waiting` is the reason of a container that nothing else is known of.
pub(super) fn status(inputs: &Inputs<'_>, container: &Container, default_waiting: &str) -> ContainerStatus {
    let observed = inputs.observed.newest(&container.name);
    let vanished = inputs.vanished.get(&container.name).filter(|_| observed.is_none());
    let record = observed.or(vanished.and_then(Vanished::ended));
    let unseen_end = vanished.filter(|_| record.is_none()).map(|vanished| vanished.unseen_end(inputs.ending));
    let waiting = inputs.waiting.get(&container.name).filter(|_| inputs.ending == Ending::No);

    let last_ended = inputs.observed.last_ended(&container.name);
    let last_ended =
        last_ended.or(vanished.and_then(|vanished| vanished.last.as_ref().map(|(id, exit)| (id, exit))));
    let mut last_state = last_ended.map(|(id, exit)| terminated(exit, id));
    let is_lost = record.is_none()
        && vanished.is_none()
        && waiting.is_none()
        && must_have_ended_well(inputs, container);
    let state = match record.map(|record| (record, &record.state)) {
        None if is_lost => taken_for_done(),
        None => waiting_state(
            waiting.map_or(default_waiting, |waiting| &waiting.reason),
            waiting.map(|w| &*w.message),
        ),
        Some((_, ContainerState::Running { started_at })) => ApiState {
            running: Some(ContainerStateRunning { started_at: Some(time(*started_at)) }),
            ..ApiState::default()
        },
        Some((record, ContainerState::Exited(exit))) => {
            let ended = terminated(exit, &record.id);
            let done = is_done(inputs, container, exit);
            match waiting.filter(|_| !done) {
                // What the container waits for is more telling than how it ended, which moves to the last state.
                Some(waiting) => {
                    last_state = Some(ended);
                    waiting_state(&waiting.reason, Some(&waiting.message))
                }
                None => ended,
            }
        }
        Some((_, ContainerState::Created | ContainerState::Unknown)) => {
            waiting_state(waiting.map_or("", |waiting| &waiting.reason), waiting.map(|w| &*w.message))
        }
    };
    let attempt = record.map_or(0, |record| record.attempt);
    let attempt = match unseen_end {
        Some((last, attempt)) => {
            last_state = last_state.or(last);
            attempt
        }
        None => attempt,
    };
    let (started, ready) = if is_lost { (false, true) } else { probed(inputs, container, record) };
    ContainerStatus {
        name: container.name.clone(),
        ready,
        started: Some(started),
        restart_count: i32::try_from(attempt).unwrap_or(i32::MAX),
        image: record
            .map(|record| record.image.clone())
            .or_else(|| container.image.clone())
            .unwrap_or_default(),
        image_id: record.map(|record| record.image_ref.clone()).unwrap_or_default(),
        container_id: record.map(|record| format!("containerd://{}", record.id)),
        state: Some(state),
        last_state: Some(last_state.unwrap_or_default()),
        volume_mounts: mounts(container, inputs.recursive_read_only),
        ..ContainerStatus::default()
    }
}

/// The container's mounts as they came out. `recursiveReadOnly` is there for those that are read-only: what was asked for may not be had.
fn mounts(container: &Container, recursive_supported: Option<bool>) -> Option<Vec<VolumeMountStatus>> {
    let of_mount = |mount: &VolumeMount| {
        let is_read_only = mount.read_only.unwrap_or_default();
        let recursive = recursive_supported.filter(|_| is_read_only).map(|supported| {
            match recursive_read_only(mount, supported) {
                Ok(true) => "Enabled".to_owned(),
                // A container with such a mount is refused, and says why.
                Ok(false) | Err(_) => "Disabled".to_owned(),
            }
        });
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: is_read_only.then_some(true),
            recursive_read_only: recursive,
        }
    };
    container.volume_mounts.as_ref().map(|mounts| mounts.iter().map(of_mount).collect())
}

/// Cuts the messages of instances that have ended to so many bytes, or a few less where a character would be cut.
pub(super) fn limit_messages(status: &mut ContainerStatus, limit: usize) {
    let both = status.state.iter_mut().chain(&mut status.last_state);
    for message in both.filter_map(|state| state.terminated.as_mut()?.message.as_mut()) {
        if message.len() > limit {
            let end = (0..=limit).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
            message.truncate(end);
        }
    }
}

fn is_done(inputs: &Inputs<'_>, container: &Container, exit: &Exit) -> bool {
    is_plain_init(inputs, container) && !exit.is_failure()
}

fn is_plain_init(inputs: &Inputs<'_>, container: &Container) -> bool {
    let init = inputs.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    init.iter().any(|entry| entry.name == container.name && Role::of_init(entry) == Role::Init)
}

/// A plain init container that the runtime knows nothing of any more while the pod has come further: it is not pending again. The kubelet
/// keeps what it said before; since 1.36 it infers the same from what is there, as we do.
fn must_have_ended_well(inputs: &Inputs<'_>, container: &Container) -> bool {
    let regular = inputs.pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    let was_made = |container: &Container| {
        let newest = inputs.observed.newest(&container.name);
        newest.is_some_and(|record| !matches!(record.state, ContainerState::Unknown))
    };
    is_plain_init(inputs, container) && regular.iter().any(was_made)
}

fn taken_for_done() -> ApiState {
    let message = "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";
    let terminated = ContainerStateTerminated {
        exit_code: 0,
        reason: Some("Completed".to_owned()),
        message: Some(message.to_owned()),
        ..ContainerStateTerminated::default()
    };
    ApiState { terminated: Some(terminated), ..ApiState::default() }
}

/// Whether the container has started up, and whether it is ready. A plain init container has no probes: it has started up as soon as it runs, and
/// is ready once it has ended well.
fn probed(inputs: &Inputs<'_>, container: &Container, record: Option<&observed::Container>) -> (bool, bool) {
    let Some(record) = record else { return (false, false) };
    match &record.state {
        ContainerState::Running { .. } => {
            if is_plain_init(inputs, container) {
                return (true, false);
            }
            let started = inputs.probes.is_started(&container.name, &record.id);
            let ready = inputs.probes.is_ready(&container.name, &record.id);
            (started, started && ready)
        }
        ContainerState::Exited(exit) => (false, is_done(inputs, container, exit)),
        ContainerState::Created | ContainerState::Unknown => (false, false),
    }
}

fn waiting_state(reason: &str, message: Option<&str>) -> ApiState {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let waiting = ContainerStateWaiting { reason: some(reason), message: message.and_then(some) };
    ApiState { waiting: Some(waiting), ..ApiState::default() }
}

fn terminated(exit: &Exit, id: &ContainerId) -> ApiState {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ApiState {
        terminated: Some(ContainerStateTerminated {
            exit_code: exit.code,
            reason: some(&exit.reason),
            message: some(&exit.message),
            started_at: exit.started_at.map(time),
            finished_at: Some(time(exit.finished_at)),
            container_id: Some(format!("containerd://{id}")),
            signal: None,
        }),
        ..ApiState::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_mount_is_shown_as_it_came_out() {
        let container: Container = serde_json::from_value(json!({"name": "c", "volumeMounts": [
            {"name": "a", "mountPath": "/a", "subPath": "x", "mountPropagation": "Bidirectional"},
            {"name": "b", "mountPath": "/b", "readOnly": true},
            {"name": "c", "mountPath": "/c", "readOnly": true, "recursiveReadOnly": "IfPossible"},
        ]}))
        .unwrap();
        let shown = |supported| serde_json::to_value(mounts(&container, supported)).unwrap();
        let as_it_is = |b: &Value, c: &Value| {
            let mut all = json!([
                {"name": "a", "mountPath": "/a"},
                {"name": "b", "mountPath": "/b", "readOnly": true},
                {"name": "c", "mountPath": "/c", "readOnly": true},
            ]);
            for (index, mode) in [(1, b), (2, c)] {
                if !mode.is_null() {
                    all[index]["recursiveReadOnly"] = mode.clone();
                }
            }
            all
        };
        assert_eq!(shown(Some(true)), as_it_is(&json!("Disabled"), &json!("Enabled")));
        assert_eq!(shown(Some(false)), as_it_is(&json!("Disabled"), &json!("Disabled")));
        assert_eq!(shown(None), as_it_is(&Value::Null, &Value::Null));
    }
}
