//! That the fake runtime behaves as tests of other rooms rely on, and the client as callers do.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tonic::Code;

use super::*;
use crate::cri::proto::{
    ContainerConfig, ContainerEventType, ContainerMetadata, ImageSpec, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    StatusResponse,
};
use crate::cri::{ContainerId, CriError, Detail, ExecOutput, SandboxId};

const IMAGE: &str = "registry.example/app:1";

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn pod(attempt: u32) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: "pod".into(),
            uid: "uid".into(),
            namespace: "default".into(),
            attempt,
        }),
        labels: labels(&[("io.kubernetes.pod.uid", "uid")]),
        ..Default::default()
    }
}

fn config(name: &str, attempt: u32) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.into(), attempt }),
        image: Some(ImageSpec { image: IMAGE.into(), ..Default::default() }),
        log_path: format!("{name}/{attempt}.log"),
        ..Default::default()
    }
}

/// A container that runs in a new sandbox.
async fn running(runtime: &FakeRuntime, client: &CriClient, name: &str) -> (SandboxId, ContainerId) {
    runtime.preload(IMAGE);
    let sandbox = client.run_pod_sandbox(pod(0), "").await.unwrap();
    let container = client.create_container(&sandbox, config(name, 0), pod(0)).await.unwrap();
    client.start_container(&container).await.unwrap();
    (sandbox, container)
}

#[tokio::test]
async fn a_container_lives_from_pull_to_removal() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let spec = ImageSpec { image: IMAGE.into(), ..Default::default() };
    assert_eq!(client.image_status(spec.clone()).await.unwrap(), None);
    let pulled = client.pull_image(spec.clone(), None, pod(0)).await.unwrap();
    assert_eq!(client.image_status(spec).await.unwrap().unwrap().id, pulled.as_str());

    let sandbox = client.run_pod_sandbox(pod(0), "").await.unwrap();
    let status = client.pod_sandbox_status(&sandbox).await.unwrap();
    assert!(!status.network.unwrap().ip.is_empty());
    let id = client.create_container(&sandbox, config("main", 0), pod(0)).await.unwrap();
    assert_eq!(client.container_status(&id).await.unwrap().state(), ContainerState::ContainerCreated);
    client.start_container(&id).await.unwrap();
    let status = client.container_status(&id).await.unwrap();
    assert_eq!(status.state(), ContainerState::ContainerRunning);
    assert!(status.started_at > status.created_at);

    client.stop_container(&id, Duration::from_secs(5)).await.unwrap();
    let status = client.container_status(&id).await.unwrap();
    assert_eq!((status.state(), status.exit_code), (ContainerState::ContainerExited, 143));
    assert_eq!(status.reason, "Error");
    client.remove_container(&id).await.unwrap();
    client.stop_pod_sandbox(&sandbox).await.unwrap();
    client.remove_pod_sandbox(&sandbox).await.unwrap();
    assert!(client.list_pod_sandboxes(&BTreeMap::new()).await.unwrap().is_empty());
    assert!(client.container_status(&id).await.unwrap_err().is_not_found());
    assert!(client.pod_sandbox_status(&sandbox).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn removing_what_is_gone_is_fine() {
    let client = FakeRuntime::start();
    let client = client.client();
    client.stop_container(&"gone".into(), Duration::ZERO).await.unwrap();
    client.remove_container(&"gone".into()).await.unwrap();
    client.stop_pod_sandbox(&"gone".into()).await.unwrap();
    client.remove_pod_sandbox(&"gone".into()).await.unwrap();
    client.remove_image(&"gone".into()).await.unwrap();
}

#[tokio::test]
async fn lists_are_filtered_by_labels() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    running(&runtime, &client, "main").await;
    let found = client.list_pod_sandboxes(&labels(&[("io.kubernetes.pod.uid", "uid")])).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(client.list_pod_sandboxes(&labels(&[("io.kubernetes.pod.uid", "x")])).await.unwrap().is_empty());
    assert_eq!(client.list_containers(&BTreeMap::new()).await.unwrap().len(), 1);
    assert!(client.list_containers(&labels(&[("no", "such")])).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_as_containerd_does() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (sandbox, _) = running(&runtime, &client, "main").await;
    let error = client.run_pod_sandbox(pod(0), "").await.unwrap_err();
    assert!(error.message().starts_with("failed to reserve sandbox name \"pod_default_uid_0\""), "{error}");
    let error = client.create_container(&sandbox, config("main", 0), pod(0)).await.unwrap_err();
    assert!(error.message().contains("\"main_pod_default_uid_0\" is reserved for"), "{error}");
    client.create_container(&sandbox, config("main", 1), pod(0)).await.unwrap();
    client.run_pod_sandbox(pod(1), "").await.unwrap();
}

#[tokio::test]
async fn a_pod_on_the_nodes_network_has_no_address() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let options = NamespaceOption { network: NamespaceMode::Node.into(), ..Default::default() };
    let context = LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
    let linux = LinuxPodSandboxConfig { security_context: Some(context), ..Default::default() };
    let sandbox =
        client.run_pod_sandbox(PodSandboxConfig { linux: Some(linux), ..pod(0) }, "kata").await.unwrap();
    let status = client.pod_sandbox_status(&sandbox).await.unwrap();
    assert_eq!(status.network.unwrap().ip, "");
    assert_eq!(status.runtime_handler, "kata");
}

#[tokio::test(start_paused = true)]
async fn containers_end_when_they_were_ordered_to() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    runtime.step("autoexit main 30 1,0").unwrap();
    let start = Instant::now();
    let (sandbox, first) = running(&runtime, &client, "main").await;
    runtime.wait_within(Duration::from_mins(1), |state| !state.is_running("main")).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 30);
    let status = client.container_status(&first).await.unwrap();
    assert_eq!(status.exit_code, 1);
    let ran = Duration::from_nanos(u64::try_from(status.finished_at - status.started_at).unwrap());
    assert!(ran.abs_diff(Duration::from_secs(30)) < Duration::from_micros(1), "{ran:?}");

    let second = client.create_container(&sandbox, config("main", 1), pod(0)).await.unwrap();
    client.start_container(&second).await.unwrap();
    runtime.wait_within(Duration::from_mins(1), |state| !state.is_running("main")).await.unwrap();
    assert_eq!(client.container_status(&second).await.unwrap().reason, "Completed");
}

#[tokio::test]
async fn a_container_can_be_ended_by_its_name() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (_, id) = running(&runtime, &client, "main").await;
    assert!(!runtime.exit("other", 1));
    assert!(runtime.oom("main"));
    assert!(!runtime.exit("main", 1), "it has ended already");
    let status = client.container_status(&id).await.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
}

#[tokio::test]
async fn a_sandbox_that_dies_takes_its_containers_with_it() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (sandbox, _) = running(&runtime, &client, "main").await;
    runtime.step("sbstop").unwrap();
    assert!(!runtime.read(|state| state.is_running("main")));
    let status = client.pod_sandbox_status(&sandbox).await.unwrap();
    assert_eq!(status.state(), crate::cri::proto::PodSandboxState::SandboxNotready);
}

#[tokio::test]
async fn failures_are_used_up_and_every_call_is_recorded() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    runtime.step("fail PullImage 2 no such image").unwrap();
    let spec = || ImageSpec { image: IMAGE.into(), ..Default::default() };
    for _ in 0..2 {
        let error = client.pull_image(spec(), None, pod(0)).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Unknown, "no such image"));
        assert_eq!(
            error.to_string(),
            format!("PullImage {IMAGE}: the runtime refused (Unknown): no such image")
        );
    }
    client.pull_image(spec(), None, pod(0)).await.unwrap();
    assert_eq!(runtime.count(Method::PullImage), 3);
    let calls: BTreeMap<_, _> =
        client.calls().map(|count| (count.method, count.calls)).filter(|(_, calls)| *calls > 0).collect();
    assert_eq!(calls, BTreeMap::from([(Method::PullImage, 3)]));
}

#[tokio::test]
async fn a_record_names_the_container_whatever_the_request_says() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (_, id) = running(&runtime, &client, "main").await;
    client.stop_container(&id, Duration::from_secs(7)).await.unwrap();
    let calls = runtime.calls();
    let told: Vec<_> =
        calls.iter().map(|call| (call.method().name(), call.container.as_deref(), call.attempt)).collect();
    assert_eq!(
        told,
        [
            ("RunPodSandbox", None, Some(0)),
            ("CreateContainer", Some("main"), Some(0)),
            ("StartContainer", Some("main"), Some(0)),
            ("StopContainer", Some("main"), Some(0)),
        ]
    );
    assert!(matches!(&calls[3].request, Request::StopContainer(request) if request.timeout == 7));
}

#[tokio::test(start_paused = true)]
async fn commands_answer_and_run_out_of_time() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (_, id) = running(&runtime, &client, "main").await;
    let command = ["true".to_owned()];
    runtime.exec_answers(ExecOutput { exit_code: 3, stdout: b"out".to_vec(), stderr: Vec::new() });
    let output = client.exec_sync(&id, &command, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!((output.exit_code, output.stdout.as_slice()), (3, &b"out"[..]));

    runtime.step("delay ExecSync 5").unwrap();
    let start = Instant::now();
    let error = client.exec_sync(&id, &command, Some(Duration::from_secs(2))).await.unwrap_err();
    assert!(matches!(error, CriError::DeadlineExceeded { after: None, .. }), "{error}");
    assert_eq!(start.elapsed().as_secs(), 2);
    client.exec_sync(&id, &command, None).await.unwrap();

    runtime.exit("main", 0);
    let error = client.exec_sync(&id, &command, None).await.unwrap_err();
    assert!(error.message().contains("CONTAINER_EXITED"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn each_call_has_the_kubelets_deadline() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (_, id) = running(&runtime, &client, "main").await;
    let hour = Duration::from_hours(1);
    for method in [Method::Status, Method::RunPodSandbox, Method::StopContainer, Method::ImageStatus] {
        runtime.delay(method, hour);
    }
    let mut took = Vec::new();
    for method in [Method::Status, Method::RunPodSandbox, Method::StopContainer, Method::ImageStatus] {
        let start = Instant::now();
        let error = match method {
            Method::Status => client.status(Detail::Brief).await.unwrap_err(),
            Method::RunPodSandbox => client.run_pod_sandbox(pod(1), "").await.unwrap_err(),
            Method::StopContainer => client.stop_container(&id, Duration::from_secs(30)).await.unwrap_err(),
            _ => client.image_status(ImageSpec::default()).await.unwrap_err(),
        };
        assert_eq!(error.message(), "context deadline exceeded");
        took.push(start.elapsed().as_secs());
    }
    assert_eq!(took, [120, 240, 150, 120]);

    runtime.delay(Method::PullImage, hour);
    let spec = ImageSpec { image: "slow".into(), ..Default::default() };
    client.pull_image(spec, None, pod(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_container_takes_its_whole_grace() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (_, id) = running(&runtime, &client, "main").await;
    runtime.stubborn("main");
    let start = Instant::now();
    client.stop_container(&id, Duration::from_secs(25)).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 25);
    assert_eq!(client.container_status(&id).await.unwrap().exit_code, 137);
}

#[tokio::test]
async fn answers_that_lack_what_they_must_hold_are_failures() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (sandbox, _) = running(&runtime, &client, "main").await;
    runtime.change(|state| state.sandboxes[0].created_at = 0);
    let error = client.pod_sandbox_status(&sandbox).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("PodSandboxStatus {sandbox}: the runtime's answer is no use: status.created_at is not set")
    );
}

#[tokio::test]
async fn the_network_may_not_be_ready() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    runtime.set_network_ready(false);
    let status = client.status(Detail::Brief).await.unwrap();
    assert!(status.condition(StatusResponse::RUNTIME_READY).unwrap().status);
    let network = status.condition(StatusResponse::NETWORK_READY).unwrap();
    assert_eq!((network.status, network.reason.as_str()), (false, "NetworkPluginNotReady"));
}

#[tokio::test]
async fn an_older_runtime_says_nothing_of_its_cgroup_driver() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    assert!(client.runtime_config().await.unwrap().is_some());
    runtime.fail_with(Method::RuntimeConfig, 1, Status::unimplemented("unknown method RuntimeConfig"));
    assert_eq!(client.runtime_config().await.unwrap(), None);
}

#[tokio::test]
async fn an_outage_is_told_from_a_refusal_and_ends() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (_, id) = running(&runtime, &client, "main").await;
    runtime.outage();
    for _ in 0..2 {
        let error = client.container_status(&id).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(error.to_string().contains("is it running"), "{error}");
    }
    runtime.recover().unwrap();
    client.container_status(&id).await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_serves_and_its_absence_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cri.sock");
    let runtime = FakeRuntime::start();
    let endpoint = runtime.listen(&path).unwrap();
    let client = CriClient::connect(&endpoint, ClientOptions::default());
    assert_eq!(client.version().await.unwrap().runtime_name, "fake");

    runtime.outage();
    let error = client.version().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let error = client.version().await.unwrap_err();
    assert_eq!(error.message(), "No such file or directory (os error 2)");
    assert!(error.to_string().contains(&endpoint.to_string()), "{error}");
    runtime.recover().unwrap();
    client.version().await.unwrap();
}

#[tokio::test]
async fn events_come_with_the_state_that_they_tell_of() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let stream = tokio::spawn({
        let client = client.clone();
        async move { client.container_events().await.unwrap() }
    });
    runtime.wait_for(|state| state.subscribers() == 1).await.unwrap();
    let (sandbox, id) = running(&runtime, &client, "main").await;
    runtime.exit("main", 2);
    let mut stream = stream.await.unwrap();
    let mut told = Vec::new();
    for _ in 0..4 {
        let event = stream.message().await.unwrap().unwrap();
        told.push((event.container_id.clone(), event.container_event_type()));
        if event.container_event_type() == ContainerEventType::ContainerStoppedEvent {
            assert_eq!(event.containers_statuses[0].exit_code, 2);
            assert_eq!(event.pod_sandbox_status.unwrap().id, sandbox.as_str());
        }
    }
    assert_eq!(
        told,
        [
            (sandbox.to_string(), ContainerEventType::ContainerStartedEvent),
            (id.to_string(), ContainerEventType::ContainerCreatedEvent),
            (id.to_string(), ContainerEventType::ContainerStartedEvent),
            (id.to_string(), ContainerEventType::ContainerStoppedEvent),
        ]
    );
    runtime.outage();
    assert!(!matches!(stream.message().await, Ok(Some(_))));
}

#[tokio::test]
async fn log_files_are_made_and_reopened() {
    let directory = tempfile::tempdir().unwrap();
    let options = FakeOptions { log_files: true, ..FakeOptions::default() };
    let runtime = FakeRuntime::start_with(&options);
    let client = runtime.client();
    runtime.preload(IMAGE);
    let pod = PodSandboxConfig { log_directory: directory.path().display().to_string(), ..pod(0) };
    let sandbox = client.run_pod_sandbox(pod.clone(), "").await.unwrap();
    let id = client.create_container(&sandbox, config("main", 0), pod).await.unwrap();
    client.start_container(&id).await.unwrap();
    let log = directory.path().join("main/0.log");
    assert_eq!(client.container_status(&id).await.unwrap().log_path, log.display().to_string());
    runtime.write_log("main", "stderr", "hello").unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().ends_with(" stderr F hello\n"));
    std::fs::rename(&log, directory.path().join("main/old")).unwrap();
    client.reopen_container_log(&id).await.unwrap();
    assert_eq!(std::fs::read(&log).unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn waiting_in_vain_tells_what_was_called() {
    let runtime = FakeRuntime::start();
    runtime.client().version().await.unwrap();
    let error = runtime.wait_for(|state| state.is_running("main")).await.unwrap_err();
    assert_eq!(error.to_string(), "nothing of the kind within 10s; the calls were [Version]");
}

#[tokio::test]
async fn a_call_in_flight_is_small() {
    let runtime = FakeRuntime::start();
    let client = runtime.client();
    let (sandbox, container): (SandboxId, ContainerId) = ("s".into(), "c".into());
    assert!(size_of_val(&client.create_container(&sandbox, config("a", 0), pod(0))) < 4096);
    assert!(size_of_val(&client.container_status(&container)) < 1024);
}
