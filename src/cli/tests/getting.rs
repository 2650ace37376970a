use super::*;
use crate::api::tests::fixture::pod;

#[tokio::test]
async fn rows_are_those_of_kubectl() {
    let agent = Agent::start();
    for (line, expected) in [
        (
            "get ds",
            "NAME   DESIRED   CURRENT   READY   UP-TO-DATE   AVAILABLE   NODE SELECTOR   AGE\n\
             web    1         1         1       1            1           <none>          30m\n",
        ),
        (
            "get daemonsets -A",
            "NAMESPACE     NAME   DESIRED   CURRENT   READY   UP-TO-DATE   AVAILABLE   NODE SELECTOR   AGE\n\
             default       web    1         1         1       1            1           <none>          30m\n\
             kube-system   logs   1         1         1       1            1           <none>          30m\n",
        ),
        (
            "get pods -n kube-system -o wide",
            "NAME      READY   STATUS    RESTARTS   AGE   IP         NODE     NOMINATED NODE   READINESS GATES\n\
             logs-x2   1/1     Running   0          30m   10.0.0.5   node-1   <none>           <none>\n",
        ),
        ("get po -A --no-headers -l app=web-x1", "default   web-x1   1/1   Running   0     30m\n"),
        (
            "get pod web-x1 --show-labels",
            "NAME     READY   STATUS    RESTARTS   AGE   LABELS\n\
             web-x1   1/1     Running   0          30m   app=web-x1\n",
        ),
        (
            "get nodes -A",
            "NAME     STATUS   ROLES    AGE   VERSION\n\
             node-1   Ready    <none>   30m   v1.34.0\n",
        ),
        (
            "get events",
            "LAST SEEN   TYPE      REASON    OBJECT       MESSAGE\n\
             10m         Warning   BackOff   pod/web-x1   Back-off restarting failed container\n",
        ),
        (
            "get ds/web pod/web-x1",
            "NAME                 DESIRED   CURRENT   READY   UP-TO-DATE   AVAILABLE   NODE SELECTOR   AGE\n\
             daemonset.apps/web   1         1         1       1            1           <none>          30m\n\
             \n\
             NAME         READY   STATUS    RESTARTS   AGE\n\
             pod/web-x1   1/1     Running   0          30m\n",
        ),
        (
            "get ds,nodes -l kubernetes.io/hostname",
            "NAME     STATUS   ROLES    AGE   VERSION\n\
             node-1   Ready    <none>   30m   v1.34.0\n",
        ),
    ] {
        assert_eq!(printed(&agent, line).await, expected, "{line}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn nothing_found_is_said_where_it_was_sought() {
    let agent = Agent::start();
    assert_eq!(refused(&agent, "get pods -n nowhere").await, "No resources found in nowhere namespace.\n");
    assert_eq!(refused(&agent, "get pods -A -l app=none").await, "No resources found\n");
    assert_eq!(refused(&agent, "get nodes -l app=none").await, "No resources found\n");
    agent.stop().await;
}

#[tokio::test]
async fn what_is_there_is_shown_before_what_is_not() {
    let agent = Agent::start();
    let (out, err) = daemonlet(&agent, "get ds web absent --no-headers").await;
    assert_eq!(out, "web   1     1     1     1     1     <none>   30m\n");
    assert_eq!(err, "Error from server (NotFound): daemonsets.apps \"absent\" not found");
    agent.stop().await;
}

#[tokio::test]
async fn objects_are_shown_whole_in_yaml_json_or_by_name() {
    let agent = Agent::start();
    assert_eq!(
        printed(&agent, "get ds,pods -A -o name").await,
        "daemonset.apps/web\ndaemonset.apps/logs\npod/web-x1\npod/logs-x2\n"
    );
    let yaml = printed(&agent, "get node node-1 -o yaml").await;
    assert!(yaml.starts_with("apiVersion: v1\nkind: Node\nmetadata:\n  creationTimestamp: \""), "{yaml}");
    let list: serde_json::Value = serde_saphyr::from_str(&printed(&agent, "get pods -o yaml").await).unwrap();
    assert_eq!((&list["kind"], &list["items"][0]["metadata"]["name"]), (&"List".into(), &"web-x1".into()));
    let json: serde_json::Value = serde_json::from_str(&printed(&agent, "get ds web -o json").await).unwrap();
    assert_eq!((&json["kind"], &json["apiVersion"]), (&"DaemonSet".into(), &"apps/v1".into()));
    agent.stop().await;
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_says_why() {
    let agent = Agent::start();
    for (line, message) in [
        (
            "get all",
            "error: there is no \"all\" on a node: ask for ds, pods, nodes or events (several as in ds,pods)",
        ),
        ("get svc", "error: the server doesn't have a resource type \"svc\""),
        ("get pods x -A", "error: a resource cannot be retrieved by name across all namespaces"),
        ("get pods x -l a=b", "error: name cannot be provided when a selector is specified"),
        (
            "get pods -l =",
            "Error from server (BadRequest): unable to parse requirement \"=\": found no label key",
        ),
        ("get ds,pods -w", "error: you may only specify a single resource type"),
    ] {
        assert_eq!(refused(&agent, line).await, message, "{line}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn an_agent_that_does_not_run_is_told_with_the_remedy() {
    let agent = Agent::start();
    std::fs::remove_file(&agent.socket).unwrap();
    let message = refused(&agent, "get ds").await;
    let expected =
        format!("The agent does not answer on {}: there is no such socket.\n", agent.socket.display());
    assert!(message.starts_with(&expected) && message.contains("systemctl status daemonlet"), "{message}");
    drop(std::os::unix::net::UnixListener::bind(&agent.socket).unwrap());
    assert!(refused(&agent, "get ds").await.contains("nobody listens there"));
    agent.stop().await;
}

#[tokio::test]
async fn a_watch_shows_the_rows_there_are_and_then_each_change() {
    let agent = Agent::start();
    let (board, shutdown) = (agent.board.clone(), agent.shutdown.clone());
    let mut shown = Hooked::new(move |text: &str| {
        if text.contains("Failed") {
            shutdown.cancel();
        } else {
            let mut changed = pod("default", "web-x1");
            changed.status.as_mut().unwrap().phase = Some("Failed".into());
            changed.status.as_mut().unwrap().container_statuses = None;
            board.put_pod(changed);
        }
    });
    daemonlet_into(&agent, "get pods -w", &mut shown).await.unwrap();
    assert_eq!(
        shown.text(),
        "NAME     READY   STATUS    RESTARTS   AGE\n\
         web-x1   1/1     Running   0          30m\n\
         web-x1   0/1     Failed    0          30m\n"
    );
    agent.stop().await;
}
