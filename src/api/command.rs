//! What can be asked of the agent, beside looking: the API hands it on, and whoever runs the pods answers.

use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use tokio::sync::{mpsc, oneshot};

use crate::manifest::DaemonSetKey;
use crate::node::{Edit, RewriteError};
use crate::rollout::hold::{Hold, Holds, Target};

/// One thing to do, with where the answer goes.
#[derive(Debug)]
pub enum Command {
    /// Stop a pod; its DaemonSet makes another.
    DeletePod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// A shorter grace period than its own.
        grace: Option<Duration>,
        /// The pod as it was told; none if there is no such pod.
        answer: oneshot::Sender<Option<Box<Pod>>>,
    },
    /// Have a template stand in for the one that the store has now.
    SetTemplate {
        /// Whose.
        daemon_set: DaemonSetKey,
        /// Which.
        template: Box<PodTemplateSpec>,
        /// Who asks (the request's field manager).
        by: String,
        /// The DaemonSet as it counts then; none if there is no such DaemonSet. Or why this template may not stand in for the store's.
        answer: oneshot::Sender<Result<Option<Box<DaemonSet>>, String>>,
    },
    /// Have `node.yaml` say something else.
    EditNode {
        /// What is to change.
        edit: Edit,
        /// Told when it is written, or why it can't be.
        answer: oneshot::Sender<Result<(), RewriteError>>,
    },
    /// Hold updates back.
    Hold {
        /// Whose.
        target: Target,
        /// By whom and until when.
        hold: Hold,
        /// Told once it is kept, or why it is not.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// End a hold, whoever has it.
    Release {
        /// Whose updates may go on.
        target: Target,
        /// Who ends it.
        by: String,
        /// The hold that was ended, if there was one.
        answer: oneshot::Sender<Result<Option<Hold>, String>>,
    },
    /// Say what is held.
    Holds {
        /// What is.
        answer: oneshot::Sender<Holds>,
    },
    /// Believe that what has vanished from the store is meant to be gone.
    ConfirmRemovals {
        /// Told when the store has been asked.
        answer: oneshot::Sender<()>,
    },
    /// Take the store's signed list, though it is older than one that was taken before.
    AllowOlderStore {
        /// Told when the store has been asked.
        answer: oneshot::Sender<()>,
    },
}

/// How many commands may wait; more are refused.
const WAITING: usize = 16;

/// Where commands go to.
pub type Commands = mpsc::Sender<Command>;

/// Both ends of the line from the API to whoever runs the pods.
pub fn line() -> (Commands, mpsc::Receiver<Command>) {
    mpsc::channel(WAITING)
}
