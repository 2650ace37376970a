//! Which namespaces a pod shares with the node, and which its containers share with each other.
//!
//! Rule: `NamespacesForPod` in the kubelet's `pkg/kubelet/kuberuntime/util`.

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::error::TranslateError;
use super::host::{Host, UserNamespaceRange};
use crate::cri::proto::{IdMapping, NamespaceMode, NamespaceOption, UserNamespace};

/// The namespaces of a pod, the same for its sandbox and for every container.
pub(super) fn namespace_options(spec: &PodSpec, users: Option<UserNamespaceRange>) -> NamespaceOption {
    let of_node = |asked: Option<bool>, otherwise| {
        if asked.unwrap_or_default() { NamespaceMode::Node } else { otherwise }
    };
    let own_processes = match spec.share_process_namespace {
        Some(true) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: of_node(spec.host_network, NamespaceMode::Pod).into(),
        ipc: of_node(spec.host_ipc, NamespaceMode::Pod).into(),
        pid: of_node(spec.host_pid, own_processes).into(),
        target_id: String::new(),
        userns_options: users.filter(|_| wants_own_users(spec)).map(user_namespace),
    }
}

/// Whether the pod asks for user IDs of its own (`hostUsers: false`).
pub fn wants_own_users(spec: &PodSpec) -> bool {
    spec.host_users == Some(false)
}

/// Whether the pod is to have user IDs of its own, and its runtime handler can map them.
pub fn can_have_own_users(pod: &Pod, handler: &str, host: &Host) -> bool {
    pod.spec.as_ref().is_some_and(wants_own_users) && maps_users(handler, host)
}

fn maps_users(handler: &str, host: &Host) -> bool {
    host.handlers.get(handler).is_some_and(|features| features.user_namespaces)
}

/// The mapping of a user namespace, for namespaces and for mounts.
pub(super) fn id_mappings(range: UserNamespaceRange) -> Vec<IdMapping> {
    vec![IdMapping { host_id: range.host_id, container_id: 0, length: range.length }]
}

/// Checks that a pod with user IDs of its own has them, and a runtime that can map them.
pub(super) fn check_users(
    spec: &PodSpec,
    handler: &str,
    users: Option<UserNamespaceRange>,
    host: &Host,
) -> Result<(), TranslateError> {
    if !wants_own_users(spec) {
        return Ok(());
    }
    if !maps_users(handler, host) {
        return Err(TranslateError::UserNamespaces(handler.to_owned()));
    }
    users.map(drop).ok_or(TranslateError::UserNamespaceMissing)
}

fn user_namespace(range: UserNamespaceRange) -> UserNamespace {
    UserNamespace { mode: NamespaceMode::Pod.into(), uids: id_mappings(range), gids: id_mappings(range) }
}

#[cfg(test)]
mod tests {
    use super::super::host::HandlerFeatures;
    use super::*;
    use NamespaceMode::{Container, Node, Pod};

    #[test]
    fn each_namespace_follows_its_field() {
        let yes = Some(true);
        let spec = PodSpec::default();
        for (spec, network, pid, ipc) in [
            (spec.clone(), Pod, Container, Pod),
            (PodSpec { host_network: yes, ..spec.clone() }, Node, Container, Pod),
            (PodSpec { host_ipc: yes, ..spec.clone() }, Pod, Container, Node),
            (PodSpec { host_pid: yes, share_process_namespace: yes, ..spec.clone() }, Pod, Node, Pod),
            (PodSpec { share_process_namespace: yes, ..spec.clone() }, Pod, Pod, Pod),
        ] {
            let made = namespace_options(&spec, None);
            assert_eq!((made.network(), made.pid(), made.ipc()), (network, pid, ipc));
            assert_eq!(made.userns_options, None);
        }
    }

    #[test]
    fn a_pod_with_users_of_its_own_needs_a_range_and_a_runtime_that_maps_it() {
        let spec = PodSpec { host_users: Some(false), ..PodSpec::default() };
        let range = UserNamespaceRange { host_id: 131_072, length: 65_536 };
        let users = namespace_options(&spec, Some(range)).userns_options.unwrap();
        assert_eq!((users.mode(), users.uids[0].host_id, users.gids[0].length), (Pod, 131_072, 65_536));

        let mut host = Host::for_tests();
        let told = check_users(&spec, "", Some(range), &host).unwrap_err();
        assert_eq!(told, TranslateError::UserNamespaces(String::new()));
        host.handlers
            .insert(String::new(), HandlerFeatures { user_namespaces: true, ..HandlerFeatures::default() });
        assert_eq!(check_users(&spec, "", None, &host), Err(TranslateError::UserNamespaceMissing));
        assert_eq!(check_users(&spec, "", Some(range), &host), Ok(()));
        assert_eq!(check_users(&PodSpec::default(), "", None, &host), Ok(()));
    }
}
