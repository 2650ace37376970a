//! What a runtime tells of its own accord, whichever of its two streams it comes from.
//!
//! The translation is pure. containerd's events are in its `api/events`; topics are named where each is published (`/tasks/exit` …).

use containerd_client::events::{ContainerDelete, TaskExit, TaskOom, TaskStart};
use containerd_client::types::Envelope;
use jiff::Timestamp;
use prost::{DecodeError, Message};

use crate::cri::ContainerId;
use crate::cri::proto::{ContainerEventResponse, ContainerEventType};

/// Who tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventSource {
    /// containerd's own event service: every release has it.
    Containerd,
    /// The CRI's GetContainerEvents: containerd since 1.7, CRI-O when switched on.
    Cri,
}

/// A hint that something has changed. Hints may be lost, doubled and reordered: they wake, listings decide.
///
/// Where an id is given it may be a sandbox's: containerd runs a sandbox as a container of that id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// A container ended.
    Exited {
        /// Which.
        id: ContainerId,
        /// Its first process; the CRI's stream does not say.
        pid: Option<u32>,
        /// Its exit code, where it is told.
        code: Option<i32>,
        /// When, by the runtime's clock.
        at: Option<Timestamp>,
    },
    /// A container's memory limit was hit and the kernel killed something in it.
    Oom {
        /// Which.
        id: ContainerId,
    },
    /// A container was removed.
    Deleted {
        /// Which.
        id: ContainerId,
    },
    /// A container was created or started, or something else became of it.
    Changed {
        /// Which.
        id: ContainerId,
    },
    /// The stream is open: what happens from now on is told, and what happened before must be listed. Comes first of all, and
    /// again after each loss.
    StreamReady {
        /// Who tells from now on.
        source: EventSource,
    },
    /// The stream broke: nothing is told until it is ready again.
    StreamLost {
        /// What broke it.
        cause: Box<str>,
    },
    /// The runtime has no event stream at all: only listing finds out what happened.
    NoEventSource,
}

/// The topics that daemonlet listens to, with how each is read.
pub(super) const TOPICS: [&str; 4] = ["/tasks/exit", "/tasks/oom", "/tasks/start", "/containers/delete"];

/// What an envelope of containerd's tells; nothing where it does not concern a container as a whole.
pub(super) fn from_envelope(envelope: Envelope) -> Result<Option<RuntimeEvent>, DecodeError> {
    let body = envelope.event.unwrap_or_default().value;
    let body = body.as_slice();
    Ok(match envelope.topic.as_str() {
        "/tasks/exit" => {
            let exit = TaskExit::decode(body)?;
            // A command run in a container ends under an id of its own: a probe must not wake anyone.
            (exit.id == exit.container_id).then(|| RuntimeEvent::Exited {
                id: exit.container_id.into(),
                pid: Some(exit.pid),
                code: Some(i32::try_from(exit.exit_status).unwrap_or(255)),
                at: exit.exited_at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok()),
            })
        }
        "/tasks/oom" => Some(RuntimeEvent::Oom { id: TaskOom::decode(body)?.container_id.into() }),
        "/tasks/start" => Some(RuntimeEvent::Changed { id: TaskStart::decode(body)?.container_id.into() }),
        "/containers/delete" => Some(RuntimeEvent::Deleted { id: ContainerDelete::decode(body)?.id.into() }),
        _ => None,
    })
}

/// What an event of the CRI's tells.
pub(super) fn from_cri(event: ContainerEventResponse) -> RuntimeEvent {
    let kind = event.container_event_type();
    let status = event.containers_statuses.into_iter().find(|status| status.id == event.container_id);
    let id: ContainerId = event.container_id.into();
    match (kind, status) {
        // A sandbox stops too, and has no status among the containers'.
        (ContainerEventType::ContainerStoppedEvent, status) => RuntimeEvent::Exited {
            id,
            pid: None,
            code: status.as_ref().map(|status| status.exit_code),
            at: status.and_then(|status| Timestamp::from_nanosecond(status.finished_at.into()).ok()),
        },
        (ContainerEventType::ContainerDeletedEvent, _) => RuntimeEvent::Deleted { id },
        _ => RuntimeEvent::Changed { id },
    }
}

#[cfg(test)]
mod tests {
    use containerd_client::to_any;
    use prost::Name;
    use prost_types::Timestamp as ProtoTimestamp;

    use super::*;
    use crate::cri::proto::ContainerStatus;

    fn read(topic: &str, event: &impl Name) -> Option<RuntimeEvent> {
        from_envelope(Envelope { topic: topic.into(), event: Some(to_any(event)), ..Default::default() })
            .unwrap()
    }

    fn exit(id: &str) -> TaskExit {
        TaskExit {
            container_id: "c".into(),
            id: id.into(),
            pid: 7,
            exit_status: 137,
            exited_at: Some(ProtoTimestamp { seconds: 5, nanos: 1 }),
        }
    }

    #[test]
    fn an_exit_tells_who_how_and_when() {
        let at = Timestamp::new(5, 1).ok();
        let event = RuntimeEvent::Exited { id: "c".into(), pid: Some(7), code: Some(137), at };
        assert_eq!(read("/tasks/exit", &exit("c")), Some(event));
        let unknown = TaskExit { exit_status: u32::MAX, exited_at: None, ..exit("c") };
        let event = RuntimeEvent::Exited { id: "c".into(), pid: Some(7), code: Some(255), at: None };
        assert_eq!(read("/tasks/exit", &unknown), Some(event));
    }

    #[test]
    fn the_end_of_a_command_in_a_container_is_nothing() {
        assert_eq!(read("/tasks/exit", &exit("exec-1")), None);
    }

    #[test]
    fn other_topics_are_told_apart() {
        let id = || ContainerId::from("c");
        let oom = TaskOom { container_id: "c".into() };
        assert_eq!(read("/tasks/oom", &oom), Some(RuntimeEvent::Oom { id: id() }));
        let start = TaskStart { container_id: "c".into(), pid: 7 };
        assert_eq!(read("/tasks/start", &start), Some(RuntimeEvent::Changed { id: id() }));
        let delete = ContainerDelete { id: "c".into() };
        assert_eq!(read("/containers/delete", &delete), Some(RuntimeEvent::Deleted { id: id() }));
        assert_eq!(read("/images/create", &delete), None);
    }

    #[test]
    fn an_envelope_that_cannot_be_read_is_an_error() {
        let event = prost_types::Any { type_url: "containerd.events.TaskExit".into(), value: vec![0xff] };
        let envelope = Envelope { topic: "/tasks/exit".into(), event: Some(event), ..Default::default() };
        assert!(from_envelope(envelope).is_err());
    }

    #[test]
    fn the_cris_events_tell_the_same() {
        let event = |kind: ContainerEventType, statuses| ContainerEventResponse {
            container_id: "c".into(),
            container_event_type: kind.into(),
            containers_statuses: statuses,
            ..Default::default()
        };
        let ended = ContainerStatus {
            id: "c".into(),
            exit_code: 3,
            finished_at: 5_000_000_001,
            ..Default::default()
        };
        let other = ContainerStatus { id: "b".into(), exit_code: 9, ..Default::default() };
        let stopped = ContainerEventType::ContainerStoppedEvent;
        assert_eq!(
            from_cri(event(stopped, vec![other.clone(), ended])),
            RuntimeEvent::Exited { id: "c".into(), pid: None, code: Some(3), at: Timestamp::new(5, 1).ok() }
        );
        let changed = RuntimeEvent::Changed { id: "c".into() };
        assert_eq!(
            from_cri(event(stopped, vec![other])),
            RuntimeEvent::Exited { id: "c".into(), pid: None, code: None, at: None },
            "a sandbox; its code is not made up"
        );
        assert_eq!(from_cri(event(ContainerEventType::ContainerStartedEvent, Vec::new())), changed);
        assert_eq!(
            from_cri(event(ContainerEventType::ContainerDeletedEvent, Vec::new())),
            RuntimeEvent::Deleted { id: "c".into() }
        );
    }
}
