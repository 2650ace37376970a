//! The pods that an agent sees which stands by: the kubelet's that were made of what was handed over, and ours that are left.
//!
//! Listings say what is there; only what is new in them, or in another state, is asked for in full.

use std::collections::{BTreeMap, HashMap};

use crate::agent::hand_over::sight::{Sight, owner, taken_from};
use crate::cri::proto::{Container, PodSandbox};
use crate::cri::{CriClient, CriError};
use crate::manifest::DaemonSetKey;
use crate::pod::observe;
use crate::pod::observed::{self, Observed};

/// Who has made a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// The kubelet, of a static pod.
    Kubelet,
    /// This agent, before it stepped back.
    Daemonlet,
}

/// A pod as the runtime shows it.
#[derive(Debug, Clone)]
pub(super) struct SeenPod {
    /// The DaemonSet that it is or was of.
    pub(super) daemon_set: DaemonSetKey,
    /// Who has made it.
    pub(super) maker: Maker,
    /// Its newest sandbox.
    pub(super) sandbox: PodSandbox,
    /// All that there is of it.
    pub(super) observed: Observed,
}

/// What a look has brought.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// What it means for a hand-over.
    pub(super) sight: Sight,
    /// The pods.
    pub(super) pods: Vec<SeenPod>,
}

/// Who looks, and remembers what it has seen.
#[derive(Debug)]
pub(super) struct Eyes {
    cri: CriClient,
    sandboxes: HashMap<String, (i32, observed::Sandbox)>,
    containers: HashMap<String, (i32, observed::Container)>,
}

impl Eyes {
    pub(super) fn new(cri: CriClient) -> Self {
        Self { cri, sandboxes: HashMap::new(), containers: HashMap::new() }
    }

    pub(super) const fn cri(&self) -> &CriClient {
        &self.cri
    }

    /// Looks.
    pub(super) async fn look(&mut self) -> Result<Look, CriError> {
        let all = BTreeMap::new();
        let sandboxes = self.cri.list_pod_sandboxes(&all).await?;
        let containers = self.cri.list_containers(&all).await?;
        let sight = Sight::of(&sandboxes, &containers);
        self.sandboxes.retain(|id, _| sandboxes.iter().any(|it| it.id == *id));
        self.containers.retain(|id, _| containers.iter().any(|it| it.id == *id));
        let mut pods: BTreeMap<String, SeenPod> = BTreeMap::new();
        for sandbox in sandboxes {
            let Some((daemon_set, maker)) = made_by(&sandbox) else { continue };
            let uid = sandbox.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default();
            let mut observed = Observed::default();
            observed.sandboxes.extend(self.sandbox(&sandbox).await?);
            for container in containers.iter().filter(|it| it.pod_sandbox_id == sandbox.id) {
                observed.containers.extend(self.container(container).await?);
            }
            if let Some(pod) = pods.get_mut(&uid) {
                pod.observed.sandboxes.append(&mut observed.sandboxes);
                pod.observed.containers.append(&mut observed.containers);
                if sandbox.created_at > pod.sandbox.created_at {
                    pod.sandbox = sandbox;
                }
            } else {
                pods.insert(uid, SeenPod { daemon_set, maker, sandbox, observed });
            }
        }
        let mut pods: Vec<SeenPod> = pods.into_values().collect();
        for pod in &mut pods {
            pod.observed.sort();
        }
        Ok(Look { sight, pods })
    }

    async fn sandbox(&mut self, listed: &PodSandbox) -> Result<Option<observed::Sandbox>, CriError> {
        if let Some((state, known)) = self.sandboxes.get(&listed.id)
            && *state == listed.state
        {
            return Ok(Some(known.clone()));
        }
        match self.cri.pod_sandbox_status(&listed.id.as_str().into()).await {
            Ok(status) => {
                let seen = observe::sandbox(&status);
                self.sandboxes.insert(listed.id.clone(), (listed.state, seen.clone()));
                Ok(Some(seen))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn container(&mut self, listed: &Container) -> Result<Option<observed::Container>, CriError> {
        if let Some((state, known)) = self.containers.get(&listed.id)
            && *state == listed.state
        {
            return Ok(Some(known.clone()));
        }
        match self.cri.container_status(&listed.id.as_str().into()).await {
            Ok(status) => {
                // Nobody here starts it again, so no boot's back-off counts.
                let seen = observe::container(&status, &listed.pod_sandbox_id.as_str().into(), "");
                self.containers.insert(listed.id.clone(), (listed.state, seen.clone()));
                Ok(Some(seen))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn made_by(sandbox: &PodSandbox) -> Option<(DaemonSetKey, Maker)> {
    let ours = owner(&sandbox.labels).map(|daemon_set| (daemon_set, Maker::Daemonlet));
    ours.or_else(|| taken_from(sandbox).map(|daemon_set| (daemon_set, Maker::Kubelet)))
}
