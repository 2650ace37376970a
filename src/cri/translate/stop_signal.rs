//! The signal by which a container is asked to stop.
//!
//! Rule: KEP-4960. Runtimes that don't know the field use the image's own signal.

use k8s_openapi::api::core::v1::Container;

use crate::cri::proto::Signal;

/// The signal that the container names; the runtime's choice if it names none.
pub(super) fn of_container(container: &Container) -> Signal {
    let named = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let signal = named.and_then(|name| {
        let name = name.replace('+', "PLUS").replace('-', "MINUS");
        Signal::from_str_name(&format!("SIGNAL_{name}"))
    });
    signal.unwrap_or(Signal::RuntimeDefault)
}

#[cfg(test)]
mod tests {
    use super::super::testing::container;
    use super::*;

    #[test]
    fn signals_go_by_their_kubernetes_names() {
        let mut c = container("c", "{}");
        assert_eq!(of_container(&c), Signal::RuntimeDefault);
        for (name, signal) in [
            ("SIGUSR1", Signal::Sigusr1),
            ("SIGRTMIN+3", Signal::Sigrtminplus3),
            ("SIGRTMAX-14", Signal::Sigrtmaxminus14),
        ] {
            c.lifecycle = serde_json::from_value(serde_json::json!({"stopSignal": name})).ok();
            assert_eq!(of_container(&c), signal, "{name}");
        }
    }
}
