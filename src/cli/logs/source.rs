//! Whose log: the pod that is meant, and which of its containers.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, Pod};

use crate::api::resource::{DAEMON_SETS, PODS};
use crate::cli::Output;
use crate::cli::client::{Client, escape};
use crate::cli::describe::pods_of;
use crate::cli::error::CliError;
use crate::cli::target::resource;

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The pod of this name, or of this DaemonSet (`ds/NAME`).
pub(super) async fn pod_of(
    word: &str,
    namespace: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<Pod, CliError> {
    let (kind, name) = match word.split_once('/') {
        Some((kind, name)) => (resource(kind)?, name),
        None => (&PODS, word),
    };
    let path = format!("{}/{}", kind.path(Some(namespace)), escape(name));
    if kind == &PODS {
        return client.get(&path).await;
    }
    if kind != &DAEMON_SETS {
        return Err(CliError::Usage(format!("{} have no logs: name a pod, or ds/NAME", kind.plural)));
    }
    let daemon_set: DaemonSet = client.get(&path).await?;
    let mut pods = pods_of(&daemon_set, client).await?;
    // The newest: during an update it is the one an operator waits for.
    pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let count = pods.len();
    let Some(pod) = pods.pop() else {
        return Err(CliError::Failed(format!(
            "DaemonSet {name:?} has no pod on this node: `daemonlet explain ds/{name} -n {namespace}` says why"
        )));
    };
    if count > 1 {
        let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
        writeln!(output.err, "Found {count} pods, using pod/{pod_name}")?;
    }
    Ok(pod)
}

/// Every container of a pod, in the order in which they start.
pub(super) fn all_containers(pod: &Pod) -> Vec<String> {
    let (init, regular) = containers(pod);
    init.iter().chain(regular).map(|container| container.name.clone()).collect()
}

/// The container that a pod's log is taken from if none is named; says so where there is a choice.
pub(super) fn default_container(pod: &Pod, output: &mut Output<'_>) -> Result<String, CliError> {
    let (init, regular) = containers(pod);
    let annotated =
        pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT_CONTAINER));
    if let Some(name) = annotated.filter(|name| regular.iter().chain(init).any(|found| found.name == **name))
    {
        return Ok(name.clone());
    }
    let Some(first) = regular.first() else {
        return Err(CliError::Failed("the pod has no containers".to_owned()));
    };
    if init.len() + regular.len() > 1 {
        let names: Vec<String> = regular
            .iter()
            .map(|container| container.name.clone())
            .chain(init.iter().map(|container| format!("{} (init)", container.name)))
            .collect();
        writeln!(output.err, "Defaulted container {:?} out of: {}", first.name, names.join(", "))?;
    }
    Ok(first.name.clone())
}

fn containers(pod: &Pod) -> (&[Container], &[Container]) {
    match &pod.spec {
        Some(spec) => (spec.init_containers.as_deref().unwrap_or_default(), &spec.containers),
        None => (&[], &[]),
    }
}
