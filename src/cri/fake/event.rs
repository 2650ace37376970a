//! What the fake runtime tells its subscribers, in both shapes: the CRI's stream and containerd's.

use containerd_client::events::{ContainerDelete, TaskDelete, TaskExecAdded, TaskExit, TaskOom, TaskStart};
use containerd_client::to_any;
use containerd_client::types::Envelope;
use prost::Name;
use prost_types::Timestamp;

use crate::cri::proto::ContainerEventType;

/// Something that happened to a container or a sandbox; containerd makes no difference between them here.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Created,
    Started {
        pid: u32,
    },
    Exited {
        pid: u32,
        code: i32,
    },
    Deleted,
    Oom,
    /// A command that was run in the container has ended; the container itself goes on.
    ExecExited {
        exec: String,
        code: i32,
    },
}

impl Event {
    /// The type that the CRI's stream gives it; that stream knows nothing of the others.
    pub(super) fn cri_type(&self) -> Option<ContainerEventType> {
        match self.what {
            What::Created => Some(ContainerEventType::ContainerCreatedEvent),
            What::Started { .. } => Some(ContainerEventType::ContainerStartedEvent),
            What::Exited { .. } => Some(ContainerEventType::ContainerStoppedEvent),
            What::Deleted => Some(ContainerEventType::ContainerDeletedEvent),
            What::Oom | What::ExecExited { .. } => None,
        }
    }

    /// The envelopes that containerd publishes for it.
    pub(super) fn envelopes(&self) -> Vec<Envelope> {
        let id = || self.id.clone();
        let status = |code: i32| u32::try_from(code).unwrap_or(255);
        let at = Some(timestamp(self.at));
        match &self.what {
            What::Created => Vec::new(),
            What::Started { pid } => {
                vec![self.envelope("/tasks/start", &TaskStart { container_id: id(), pid: *pid })]
            }
            What::Exited { pid, code } => {
                let (pid, exit_status) = (*pid, status(*code));
                let exit = TaskExit { container_id: id(), id: id(), pid, exit_status, exited_at: at };
                let delete =
                    TaskDelete { container_id: id(), pid, exit_status, exited_at: at, id: String::new() };
                vec![self.envelope("/tasks/exit", &exit), self.envelope("/tasks/delete", &delete)]
            }
            What::Deleted => vec![self.envelope("/containers/delete", &ContainerDelete { id: id() })],
            What::Oom => vec![self.envelope("/tasks/oom", &TaskOom { container_id: id() })],
            What::ExecExited { exec, code } => {
                let added = TaskExecAdded { container_id: id(), exec_id: exec.clone() };
                let exit = TaskExit {
                    container_id: id(),
                    id: exec.clone(),
                    pid: 1,
                    exit_status: status(*code),
                    exited_at: at,
                };
                vec![self.envelope("/tasks/exec-added", &added), self.envelope("/tasks/exit", &exit)]
            }
        }
    }

    fn envelope(&self, topic: &str, event: &impl Name) -> Envelope {
        Envelope {
            timestamp: Some(timestamp(self.at)),
            namespace: "k8s.io".into(),
            topic: topic.into(),
            event: Some(to_any(event)),
        }
    }
}

fn timestamp(nanos: i64) -> Timestamp {
    const SECOND: i64 = 1_000_000_000;
    Timestamp {
        seconds: nanos.div_euclid(SECOND),
        nanos: i32::try_from(nanos.rem_euclid(SECOND)).unwrap_or_default(),
    }
}
