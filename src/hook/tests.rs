use k8s_openapi::api::core::v1::{ContainerPort, HTTPHeader, SleepAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::probe::fake::{FakeExec, call, exits};

const POD: &str = "p_ns(uid-1)";

async fn run_on<E: ExecSync>(
    handler: LifecycleHandler,
    port: u16,
    runtime: &E,
) -> Result<HookDone, HookError> {
    let port = ContainerPort { name: Some("web".into()), container_port: port.into(), ..Default::default() };
    let container = Container { name: "c".into(), ports: Some(vec![port]), ..Default::default() };
    let target =
        HookTarget { pod: POD, container: &container, id: &"c1".into(), pod_ip: Some([127, 0, 0, 1].into()) };
    run(&handler, &target, runtime).await
}

fn fine() -> FakeExec {
    FakeExec::new(|_| Ok(exits(0, "", "")))
}

fn exec_hook() -> LifecycleHandler {
    let exec = ExecAction { command: Some(vec!["say".into(), "bye".into()]) };
    LifecycleHandler { exec: Some(exec), ..Default::default() }
}

fn http_hook(scheme: &str) -> LifecycleHandler {
    let http_get = HTTPGetAction {
        path: Some("/bye".into()),
        port: IntOrString::String("web".into()),
        scheme: Some(scheme.into()),
        http_headers: Some(vec![
            HTTPHeader { name: "Authorization".into(), value: "secret".into() },
            HTTPHeader { name: "X-A".into(), value: "1".into() },
        ]),
        ..Default::default()
    };
    LifecycleHandler { http_get: Some(http_get), ..Default::default() }
}

/// Answers `connections` requests with a status of 500; gives back what was asked.
async fn server(connections: usize) -> (u16, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            request.truncate(length);
            requests.push(request);
            stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
        requests
    });
    (port, task)
}

#[tokio::test]
async fn a_command_runs_without_a_limit() {
    let runtime = fine();
    assert_eq!(run_on(exec_hook(), 1, &runtime).await.unwrap(), HookDone::AsAsked);
    let calls = runtime.calls.lock().unwrap();
    assert_eq!((calls[0].1.as_str(), calls[0].2), ("c1", None));
}

#[tokio::test]
async fn a_command_that_fails_is_told_in_the_kubelets_words() {
    let runtime = FakeExec::new(|_| Ok(exits(3, "out", "err")));
    assert_eq!(
        run_on(exec_hook(), 1, &runtime).await.unwrap_err().to_string(),
        "Exec lifecycle hook ([say bye]) for Container \"c\" in Pod \"p_ns(uid-1)\" failed - error: command 'say bye' exited with 3: err, message: \"outerr\""
    );
    let runtime = FakeExec::new(|_| Err(CriError::NotFound { call: call(), message: "gone".into() }));
    assert_eq!(
        run_on(exec_hook(), 1, &runtime).await.unwrap_err().to_string(),
        "Exec lifecycle hook ([say bye]) for Container \"c\" in Pod \"p_ns(uid-1)\" failed - error: rpc error: code = NotFound desc = gone, message: \"\""
    );
}

#[tokio::test]
async fn any_http_status_is_a_success() {
    let (port, server) = server(1).await;
    assert_eq!(run_on(http_hook("HTTP"), port, &fine()).await.unwrap(), HookDone::AsAsked);
    let request = String::from_utf8(server.await.unwrap().remove(0)).unwrap();
    assert!(request.starts_with("GET /bye HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("User-Agent: kube-lifecycle/1.34\r\n"), "{request}");
    assert!(request.contains("Authorization: secret\r\n"), "{request}");
}

#[tokio::test]
async fn https_to_a_plain_server_is_tried_once_more_without_secrets() {
    let (port, server) = server(2).await;
    let done = run_on(http_hook("HTTPS"), port, &fine()).await.unwrap();
    assert_eq!(
        done.event_message().unwrap(),
        format!(
            "request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
        )
    );
    let request = String::from_utf8(server.await.unwrap().remove(1)).unwrap();
    assert!(request.contains("X-A: 1\r\n") && !request.contains("secret"), "{request}");
}

#[tokio::test]
async fn no_answer_is_told_in_the_kubelets_words() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    assert_eq!(
        run_on(http_hook("HTTP"), port, &fine()).await.unwrap_err().to_string(),
        format!(
            "HTTP lifecycle hook (/bye) for Container \"c\" in Pod \"p_ns(uid-1)\" failed - error: Get \"http://127.0.0.1:{port}/bye\": dial tcp 127.0.0.1:{port}: connect: connection refused"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn sleep_takes_its_time() {
    let start = tokio::time::Instant::now();
    let sleep = Some(SleepAction { seconds: 7 });
    run_on(LifecycleHandler { sleep, ..Default::default() }, 1, &fine()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test]
async fn tcp_socket_is_accepted_and_fails() {
    let tcp_socket = Some(TCPSocketAction { port: IntOrString::Int(1), host: None });
    for handler in [LifecycleHandler { tcp_socket, ..Default::default() }, LifecycleHandler::default()] {
        assert!(matches!(run_on(handler, 1, &fine()).await, Err(HookError::Invalid)));
    }
}
