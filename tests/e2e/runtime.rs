//! The test kit itself: a containerd by hand, past the agent.

use std::time::Duration;

use daemonlet::cri::proto::{
    ContainerConfig, ContainerMetadata, ImageSpec, LinuxPodSandboxConfig, PodSandboxConfig,
    PodSandboxMetadata,
};

use crate::kit::{Containerd, wait_until};

#[test]
fn a_containerd_of_ones_own_runs_a_pod_and_outlives_a_crash() {
    let Some(mut containerd) = Containerd::start() else { return };
    let slot = containerd.slot().clone();
    let metadata =
        PodSandboxMetadata { name: "pod".into(), uid: "uid".into(), namespace: "test".into(), attempt: 0 };
    let linux =
        LinuxPodSandboxConfig { cgroup_parent: format!("{}/pod", slot.cgroup()), ..Default::default() };
    let config = PodSandboxConfig {
        metadata: Some(metadata),
        log_directory: slot.path("pod-logs").display().to_string(),
        linux: Some(linux),
        ..Default::default()
    };
    let container = ContainerConfig {
        metadata: Some(ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(ImageSpec { image: "busybox:1".into(), ..Default::default() }),
        command: ["sh", "-c", "echo begun; trap 'exit 3' TERM; sleep 1000 & wait"]
            .map(str::to_owned)
            .to_vec(),
        log_path: "main.log".into(),
        ..Default::default()
    };
    let (sandbox, id) = containerd.ask(async |cri| {
        let sandbox = cri.run_pod_sandbox(config.clone(), "").await.unwrap();
        let id = cri.create_container(&sandbox, container, config).await.unwrap();
        cri.start_container(&id).await.unwrap();
        (sandbox, id)
    });
    let address =
        containerd.ask(async |cri| cri.pod_sandbox_status(&sandbox).await.unwrap().network.unwrap().ip);
    assert!(address.starts_with(&slot.subnet()), "{address}");
    let log = slot.path("pod-logs/main.log");
    wait_until("the container logs", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("stdout F begun"))
    });

    containerd.restart();
    let said = containerd.ask(async |cri| {
        cri.exec_sync(&id, &["hostname".to_owned()], Some(Duration::from_secs(5))).await.unwrap()
    });
    assert_eq!(said.exit_code, 0);
    containerd.ask(async |cri| cri.stop_container(&id, Duration::from_secs(5)).await.unwrap());
    let status = containerd.ask(async |cri| cri.container_status(&id).await.unwrap());
    assert_eq!(status.exit_code, 3);
}
