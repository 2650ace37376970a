//! Everything but `get`.

use serde_json::json;

use super::*;
use crate::api::tests::fixture::{from, pod};
use crate::board::StoreStatus;
use crate::manifest::{Kind, ObjectKey, Problem, Severity};
use crate::store::{Freshness, HeldRemovals, IgnoredFile};

#[tokio::test]
async fn describe_shows_objects_with_their_events() {
    let agent = Agent::start();
    let text = printed(&agent, "describe pod web-x1").await;
    assert!(text.starts_with("Name:         web-x1\nNamespace:    default\n"), "{text}");
    assert!(
        text.contains("  Warning  BackOff  10m   kubelet  Back-off restarting failed container\n"),
        "{text}"
    );
    let text = printed(&agent, "describe ds -A").await;
    assert!(
        text.contains("Name:           web\n") && text.contains("\n\n\nName:           logs\n"),
        "{text}"
    );
    let text = printed(&agent, "describe node/node-1").await;
    assert!(text.contains("Non-terminated Pods:          (2 in total)\n"), "{text}");
    assert_eq!(
        refused(&agent, "describe ds absent").await,
        "Error from server (NotFound): daemonsets.apps \"absent\" not found"
    );
    assert_eq!(refused(&agent, "describe po -n empty").await, "No resources found in empty namespace.\n");
    agent.stop().await;
}

#[tokio::test]
async fn explain_says_why_in_words_or_as_one_object() {
    let agent = Agent::start();
    let text = printed(&agent, "explain ds/web").await;
    assert!(
        text.starts_with("DaemonSet default/web starts no pod but may keep one on node node-1:\n"),
        "{text}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&printed(&agent, "explain ds web -o json").await).unwrap();
    assert_eq!((&json["shouldRun"], &json["daemonSet"]), (&json!(false), &json!("default/web")));
    assert_eq!(
        refused(&agent, "explain ds/absent").await,
        "Error from server (NotFound): daemonsets.apps \"absent\" not found"
    );
    assert!(refused(&agent, "explain pod/web-x1").await.contains("explain ds/NAME"));
    agent.stop().await;
}

#[tokio::test]
async fn logs_are_those_of_the_pod_or_of_the_daemon_sets_pod() {
    let agent = Agent::start();
    let mut owned = pod("default", "web-x1");
    owned.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
    owned.metadata.owner_references = Some(from(json!([
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "uid-2", "controller": true},
    ])));
    agent.board.put_pod(owned.clone());
    agent.write_log(&owned, "main", 0, "one\ntwo");
    assert_eq!(printed(&agent, "logs web-x1").await, "one\ntwo\n");
    assert_eq!(printed(&agent, "logs ds/web --tail 1").await, "two\n");
    assert_eq!(
        printed(&agent, "logs pod/web-x1 main --prefix").await,
        "[pod/web-x1/main] one\n[pod/web-x1/main] two\n"
    );
    assert_eq!(
        printed(&agent, "logs web-x1 -c main --timestamps --tail=1").await,
        "2024-01-01T00:00:00.000000000Z two\n"
    );
    assert_eq!(printed(&agent, "logs web-x1 --since 1h").await, "");
    assert_eq!(
        printed(&agent, "logs web-x1 --since-time 2023-12-31T00:00:00Z --limit-bytes 5").await,
        "one\nt"
    );
    assert_eq!(
        refused(&agent, "logs absent").await,
        "Error from server (NotFound): pods \"absent\" not found"
    );
    assert!(refused(&agent, "logs ds/logs -n kube-system").await.contains("explain ds/logs -n kube-system"));
    assert_eq!(
        refused(&agent, "logs web-x1 -p").await,
        "Error from server (BadRequest): previous terminated container \"main\" in pod \"web-x1\" not found"
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_pod_with_several_containers_has_one_that_is_meant() {
    let agent = Agent::start();
    let mut several = pod("default", "many");
    let spec = several.spec.as_mut().unwrap();
    spec.containers = from(json!([{"name": "main"}, {"name": "side"}]));
    spec.init_containers = from(json!([{"name": "setup"}]));
    let status = several.status.as_mut().unwrap();
    let mut side = status.container_statuses.as_ref().unwrap()[0].clone();
    side.name = "side".into();
    status.container_statuses.as_mut().unwrap().push(side.clone());
    side.name = "setup".into();
    status.init_container_statuses = Some(vec![side]);
    agent.board.put_pod(several.clone());
    for container in ["main", "side", "setup"] {
        agent.write_log(&several, container, 0, container);
    }
    let (out, err) = daemonlet(&agent, "logs many").await;
    assert_eq!(out, "main\n");
    assert_eq!(err, "Defaulted container \"main\" out of: main, side, setup (init)\n");
    assert_eq!(printed(&agent, "logs many --all-containers").await, "setup\nmain\nside\n");
    several.metadata.annotations =
        Some([("kubectl.kubernetes.io/default-container".to_owned(), "side".to_owned())].into());
    agent.board.put_pod(several);
    assert_eq!(printed(&agent, "logs many").await, "side\n");
    agent.stop().await;
}

#[tokio::test]
async fn followed_logs_show_what_comes_until_the_pod_is_gone() {
    let agent = Agent::start();
    let followed = pod("default", "web-x1");
    agent.write_log(&followed, "main", 0, "one");
    let (board, root) = (agent.board.clone(), agent.root.path().join("pods"));
    let mut shown = Hooked::new(move |text: &str| match text {
        "one\n" => crate::api::tests::fixture::write_log(&root, &followed, "main", 0, "two"),
        _ => board.remove_pod("default", "web-x1"),
    });
    daemonlet_into(&agent, "logs -f web-x1", &mut shown).await.unwrap();
    assert_eq!(shown.text(), "one\ntwo\n");
    agent.stop().await;
}

#[tokio::test]
async fn a_revision_is_shown_as_its_template_with_kubectl_s_tabs() {
    let agent = Agent::start();
    let dir = agent.root.path().join("pods");
    std::fs::create_dir(&dir).unwrap();
    let history = "rollout history ds/web";
    assert_eq!(printed(&agent, history).await, "daemonset.apps/web \nNo rollout history found.\n");
    assert_eq!(
        printed(&agent, &format!("{history} --revision=1")).await,
        "daemonset.apps/web with revision #1\nNo rollout history found.\n"
    );
    for (number, cause) in [(1, "first"), (2, "")] {
        let revision = json!({
            "metadata": {
                "name": format!("web-{number}"), "namespace": "default",
                "annotations": {"kubernetes.io/change-cause": cause},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "uid-2"}],
            },
            "revision": number,
            "data": {"spec": {"template": {
                "$patch": "replace",
                "metadata": {"labels": {"app": "web", "tier": "node"}},
                "spec": {"containers": [{"name": "main", "image": format!("img:{number}")}]},
            }}},
        });
        std::fs::write(dir.join(format!("{number}.json")), revision.to_string()).unwrap();
    }
    let expected = "\
daemonset.apps/web with revision #2
Pod Template:
  Labels:\tapp=web
\ttier=node
  Containers:
   main:
    Image:\timg:2
    Port:\t<none>
    Host Port:\t<none>
    Environment:\t<none>
    Mounts:\t<none>
  Volumes:\t<none>
  Node-Selectors:\t<none>
  Tolerations:\t<none>

";
    assert_eq!(printed(&agent, &format!("{history} --revision=2")).await, expected);
    let list = "daemonset.apps/web \nREVISION  CHANGE-CAUSE\n1         first\n2         <none>\n\n";
    assert_eq!(printed(&agent, history).await, list);
    assert_eq!(printed(&agent, &format!("{history} --revision=0")).await, list);
    for (number, problem) in [
        ("3", "error: unable to find the specified revision"),
        ("-1", "error: revision must be a positive integer: -1"),
    ] {
        assert_eq!(refused(&agent, &format!("{history} --revision={number}")).await, problem);
    }
    agent.stop().await;
}

#[tokio::test]
async fn status_names_what_is_wrong_with_the_agent() {
    let agent = Agent::start();
    assert_eq!(
        printed(&agent, "status").await,
        "Node:        node-1\n\
         Version:     0.0.0\n\
         Ready:       True\n\
         Store:       /etc/daemonlet/manifests (up to date)\n\
         Objects:     2\n\
         Runtime:     unix:///run/containerd/containerd.sock (containerd://2.0.5)\n\
         DaemonSets:  2\n\
         Pods:        2\n"
    );
    agent.board.set_pending("runtime", "its first answer");
    agent.board.set_store_status(StoreStatus {
        source: "/m".into(),
        freshness: Freshness::LastGood { reason: "/m is not mounted".into() },
        refused: None,
        problems: vec![Problem {
            severity: Severity::Error,
            file: std::path::Path::new("/m/a.yaml").into(),
            line: 3,
            field: "spec.selector".into(),
            message: "Required value".into(),
            object: None,
        }],
        ignored: vec![IgnoredFile { path: "/m/b.yaml~".into(), reason: "an editor's back-up".into() }],
        objects: 1,
        held: Some(HeldRemovals { cause: "the store is suddenly empty".into(), objects: 3, until: None }),
    });
    agent.board.set_updates_held(Some("the holds can't be read".into()));
    let text = printed(&agent, "status").await;
    for part in [
        "Ready:          False\n",
        "Store:          /m (last good content is used: /m is not mounted)\n",
        "Removals held:  3 objects, until they are confirmed\n",
        "Updates:        held: the holds can't be read\n",
        "Not ready:\n  runtime: its first answer\n",
        "Problems:\n  /m/a.yaml:3: spec.selector: Required value\n",
        "Ignored files:\n  /m/b.yaml~: an editor's back-up\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    agent.board.set_store_status(StoreStatus::default());
    assert!(printed(&agent, "status").await.contains("Store:       not read yet\n"));
    assert!(printed(&agent, "status -o json").await.contains("\"kind\": \"AgentStatus\""));
    agent.stop().await;
}

#[tokio::test]
async fn a_daemon_set_that_the_store_has_and_cannot_be_used_is_explained_by_what_is_wrong_with_it() {
    let agent = Agent::start();
    let object = ObjectKey { kind: Kind::DaemonSet, namespace: "default".into(), name: "refused".into() };
    agent.board.set_store_status(StoreStatus {
        problems: vec![Problem {
            severity: Severity::Error,
            file: std::path::Path::new("/m/a.yaml").into(),
            line: 3,
            field: "spec.selector".into(),
            message: "Required value".into(),
            object: Some(object),
        }],
        ..StoreStatus::default()
    });
    let (_, refused) = daemonlet(&agent, "explain ds/refused").await;
    assert!(refused.contains("/m/a.yaml:3: spec.selector: Required value"), "{refused}");
    let (_, unknown) = daemonlet(&agent, "explain ds/unknown").await;
    assert!(unknown.ends_with("daemonsets.apps \"unknown\" not found"), "{unknown}");
    agent.stop().await;
}

#[tokio::test]
async fn metrics_are_in_the_format_that_everything_reads() {
    let agent = Agent::start();
    let text = printed(&agent, "metrics").await;
    assert!(text.contains("# TYPE daemonlet_build_info gauge\n"), "{text}");
    assert!(text.contains("daemonlet_pods{phase=\"Running\"} 2\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");
    agent.stop().await;
}

#[tokio::test]
async fn version_is_the_programs_and_the_agents() {
    let agent = Agent::start();
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(
        printed(&agent, "version").await,
        format!("Client Version: {own}\nAgent Version: 0.0.0\nKubernetes API: v1.34\n")
    );
    std::fs::remove_file(&agent.socket).unwrap();
    assert_eq!(printed(&agent, "version --client").await, format!("Client Version: {own}\n"));
    let (out, err) = daemonlet(&agent, "version").await;
    assert_eq!(out, format!("Client Version: {own}\n"));
    assert!(err.starts_with("The agent does not answer"), "{err}");
    agent.stop().await;
}

#[tokio::test]
async fn completions_are_made_for_the_usual_shells() {
    let agent = Agent::start();
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef daemonlet"), ("fish", "complete -c daemonlet")]
    {
        assert!(printed(&agent, &format!("completion {shell}")).await.contains(part), "{shell}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn what_needs_no_agent_ends_with_its_own_codes() {
    let agent = Agent::start();
    let file = agent.root.path().join("config.yaml");
    std::fs::write(&file, "nonsense: 1\n").unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut code_of = async |line: String| {
        let mut output = Output { out: &mut out, err: &mut err };
        run(parse(&agent, &line), &mut output).await.unwrap()
    };
    assert_eq!(code_of(format!("check-config --config {}", file.display())).await, ExitCode::Config);
    assert_eq!(code_of("check-config --print-default".into()).await, ExitCode::Ok);
    assert_eq!(code_of(format!("validate -f {}", file.display())).await, ExitCode::Failed);
    assert_eq!(code_of("validate /nowhere/at/all".into()).await, ExitCode::Usage);
    agent.stop().await;
}
