//! The variables by which programs find the API server.
//!
//! Rule: the kubelet's `pkg/kubelet/envvars`, for the one service every pod is told of: `kubernetes` in `default`.

use super::super::host::ApiServer;

/// The name of the one port of the `kubernetes` service.
const PORT_NAME: &str = "HTTPS";

/// What a kubelet sets for a service `kubernetes` at this address.
pub(super) fn variables(server: &ApiServer) -> Vec<(String, String)> {
    let ApiServer { host, port } = server;
    let in_url = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let url = format!("tcp://{in_url}:{port}");
    [
        ("KUBERNETES_SERVICE_HOST".to_owned(), host.clone()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string()),
        (format!("KUBERNETES_SERVICE_PORT_{PORT_NAME}"), port.to_string()),
        ("KUBERNETES_PORT".to_owned(), url.clone()),
        (format!("KUBERNETES_PORT_{port}_TCP"), url),
        (format!("KUBERNETES_PORT_{port}_TCP_PROTO"), "tcp".to_owned()),
        (format!("KUBERNETES_PORT_{port}_TCP_PORT"), port.to_string()),
        (format!("KUBERNETES_PORT_{port}_TCP_ADDR"), host.clone()),
    ]
    .into()
}
