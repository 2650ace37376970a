//! Tasks that containerd runs and its CRI knows nothing of.
//!
//! A StartContainer whose caller dies in the midst of it may leave one behind: the CRI takes the container for exited, and from then on
//! refuses to remove it or its sandbox ("cannot delete running task") until containerd is restarted. A kubelet asks until then. Here the
//! task is ended through containerd's own API. Must never touch a task that the CRI has not just stumbled over, unless its container's start
//! has failed by the CRI's own word.

use std::time::Duration;

use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{DeleteTaskRequest, KillRequest, WaitRequest};
use nix::sys::signal::Signal;
use tokio::time::timeout;
use tonic::{Code, Request, Status};

use super::in_namespace;
use crate::cri::{CriClient, CriError};

/// A process that has had SIGKILL is given this long, as the kubelet gives one; one that hangs in the kernel is tried again later.
const END_WITHIN: Duration = Duration::from_secs(2);

/// The container whose task stands in the way of a removal, if that is what the runtime refuses it for.
pub fn left_task(refusal: &CriError) -> Option<&str> {
    task_in_the_way(refusal.code(), refusal.message())
}

fn task_in_the_way(code: Code, message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("cannot delete running task ")?;
    let id = rest.split([':', ' ']).next()?;
    (code == Code::FailedPrecondition && !id.is_empty()).then_some(id)
}

/// Kills a task and deletes it. One that is gone is fine.
pub async fn delete_task(client: &CriClient, container_id: &str) -> Result<(), Status> {
    let mut tasks = TasksClient::new(client.channel());
    let (container_id, exec_id) = (container_id.to_owned(), String::new());
    let kill = KillRequest {
        container_id: container_id.clone(),
        exec_id: exec_id.clone(),
        signal: Signal::SIGKILL as u32,
        all: true,
    };
    let ended = async {
        // One that has ended is refused; what counts is whether it can be deleted.
        let _ = tasks.kill(in_namespace(Request::new(kill))).await;
        let wait = WaitRequest { container_id: container_id.clone(), exec_id };
        let _ = tasks.wait(in_namespace(Request::new(wait))).await;
        tasks.delete(in_namespace(Request::new(DeleteTaskRequest { container_id }))).await
    };
    match timeout(END_WITHIN, ended).await {
        Ok(Err(status)) if status.code() != Code::NotFound => Err(status),
        Ok(_) => Ok(()),
        Err(_) => Err(Status::deadline_exceeded("the task does not end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_in_the_way_only_if_the_runtime_says_so() {
        let of_sandbox = "failed to remove container \"ec5a18\": failed to delete containerd container \"ec5a18\": \
            cannot delete running task ec5a18: failed precondition";
        let refused = Code::FailedPrecondition;
        assert_eq!(task_in_the_way(refused, of_sandbox), Some("ec5a18"));
        assert_eq!(task_in_the_way(Code::Unknown, of_sandbox), None);
        assert_eq!(task_in_the_way(refused, "container is running"), None);
        assert_eq!(task_in_the_way(refused, "cannot delete running task "), None);
    }
}
