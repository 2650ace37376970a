//! What a pod needs and the store or the host doesn't have yet.

use std::fs;
use std::time::Duration;

use daemonlet::cri::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::rig::{Machine, one_container, waiting};

const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {key: value}}";

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_container_without_its_config_map_starts_as_soon_as_that_appears() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let env =
        json!({"env": [{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "key"}}}]});
    let pod = agent.run(&one_container(&env));
    let shown = agent.until_waiting(&pod, "main", "CreateContainerConfigError").await;
    assert_eq!(waiting(&shown, "main").expect("waiting").1, "configmap \"config\" not found");
    sleep(s(95)).await;
    assert_eq!(agent.told("Failed", "Error: configmap \"config\" not found"), 1, "told once");

    let appeared = Instant::now();
    agent.store(CONFIG);
    agent.until_ready(&pod).await;
    assert_eq!(appeared.elapsed().as_secs(), 0);
    let value = machine.runtime.read(|state| {
        let envs = &state.container("main").expect("a container").config.envs;
        envs.iter().find(|env| env.key == "KEY").map(|env| env.value.clone())
    });
    assert_eq!(value.as_deref(), Some("value"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_its_volume_starts_as_soon_as_that_can_be_made() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let mut spec = one_container(&json!({"volumeMounts": [{"name": "config", "mountPath": "/config"}]}));
    spec["volumes"] = json!([{"name": "config", "configMap": {"name": "config"}}]);
    let pod = agent.run(&spec);
    agent.until_waiting(&pod, "main", "ContainerCreating").await;
    sleep(s(95)).await;
    assert_eq!(machine.runtime.count(Method::RunPodSandbox), 0);
    let told = agent.events("FailedMount");
    assert_eq!(told.len(), 1, "{told:#?}");
    let message = told[0].message.clone().unwrap_or_default();
    assert!(
        message.contains("\"config\"") && message.contains("configmap \"config\" not found"),
        "{message}"
    );
    assert_eq!(told[0].count, Some(1));

    let appeared = Instant::now();
    agent.store(CONFIG);
    agent.until_ready(&pod).await;
    assert_eq!(appeared.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_running_pod_follows_the_store_without_a_restart() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    agent.store(CONFIG);
    let mut spec = one_container(&json!({"volumeMounts": [{"name": "config", "mountPath": "/config"}]}));
    spec["volumes"] = json!([{"name": "config", "configMap": {"name": "config"}}]);
    let pod = agent.run(&spec);
    agent.until_ready(&pod).await;
    let file =
        machine.path().join(format!("root/pods/{}/volumes/kubernetes.io~configmap/config/key", pod.uid));
    assert_eq!(fs::read_to_string(&file).expect("a file"), "value");
    agent.store(&CONFIG.replace("value", "other"));
    sleep(s(1)).await;
    assert_eq!(fs::read_to_string(&file).expect("a file"), "other");
    assert_eq!(machine.runtime.count(Method::CreateContainer), 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_path_of_another_kind_is_refused_until_it_is_put_right() {
    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let path = machine.path().join("data");
    fs::write(&path, "a file").expect("written");
    let mut spec = one_container(&json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}));
    spec["volumes"] = json!([{"name": "data", "hostPath": {"path": path, "type": "Directory"}}]);
    let pod = agent.run(&spec);
    sleep(s(30)).await;
    let told = agent.events("FailedMount");
    assert_eq!(told.len(), 1, "{told:#?}");
    let message = told[0].message.clone().unwrap_or_default();
    assert!(
        message.contains("hostPath type check failed") && message.contains("is not a directory"),
        "{message}"
    );
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a folder");
    let right = Instant::now();
    agent.until_ready(&pod).await;
    assert!(right.elapsed() <= s(10), "{:?}", right.elapsed());
}
