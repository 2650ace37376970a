//! Verbs that change something: the agent's part is played by the test, which sees what is asked for.

use std::time::Duration;

use super::*;
use crate::api::command::Command;

/// What a command line prints, and the grace period that it asks a pod's deletion for. The pod stays on the board.
async fn deletion(line: &str) -> (String, Option<Duration>) {
    let (agent, mut orders) = Agent::start_obeying();
    let board = agent.board.clone();
    let obeyed = async {
        let Some(Command::DeletePod { namespace, name, grace, answer }) = orders.recv().await else {
            panic!("{line}: no pod was to be deleted")
        };
        let pod = board.pod(&namespace, &name).unwrap();
        answer.send(Some(Box::new(pod.as_ref().clone()))).unwrap();
        grace
    };
    let (printed, grace) = tokio::join!(printed(&agent, line), obeyed);
    agent.stop().await;
    (printed, grace)
}

#[tokio::test]
async fn a_deletion_that_does_not_wait_returns_while_the_pod_is_there_with_kubectl_s_grace_periods() {
    for (flags, grace, word) in [
        ("--wait=false", None, "deleted"),
        ("--wait=false --grace-period=-1", None, "deleted"),
        ("--wait=false --grace-period 7", Some(7), "deleted"),
        ("--wait=false --grace-period=0", Some(1), "deleted"),
        ("--wait=false --now", Some(1), "deleted"),
        ("--wait=false --force", Some(0), "force deleted"),
        ("--wait=false --force --grace-period=0", Some(0), "force deleted"),
    ] {
        let (printed, asked_for) = deletion(&format!("delete pod web-x1 {flags}")).await;
        assert_eq!(printed, format!("pod \"web-x1\" {word}\n"), "{flags}");
        assert_eq!(asked_for, grace.map(Duration::from_secs), "{flags}");
    }
}

#[tokio::test]
async fn a_deletion_waits_until_the_pod_is_gone_unless_told_otherwise() {
    let (agent, mut orders) = Agent::start_obeying();
    let board = agent.board.clone();
    let obeyed = async {
        let Some(Command::DeletePod { answer, .. }) = orders.recv().await else { panic!("no deletion") };
        let pod = board.pod("default", "web-x1").unwrap();
        answer.send(Some(Box::new(pod.as_ref().clone()))).unwrap();
    };
    let mut deleted = Box::pin(daemonlet(&agent, "delete pod/web-x1"));
    let early =
        tokio::time::timeout(Duration::from_millis(200), async { tokio::join!(&mut deleted, obeyed) });
    assert!(early.await.is_err(), "it must wait");
    agent.board.remove_pod("default", "web-x1");
    assert_eq!((&mut deleted).await, ("pod \"web-x1\" deleted\n".to_owned(), String::new()));
    drop(deleted);
    agent.stop().await;
}

#[tokio::test]
async fn flags_of_a_deletion_that_contradict_each_other_are_refused() {
    let agent = Agent::start();
    for (flags, problem) in [
        ("--now --grace-period=5", "error: --now and --grace-period cannot be specified together"),
        (
            "--force --grace-period=5",
            "error: --force and --grace-period greater than 0 cannot be specified together",
        ),
    ] {
        assert_eq!(refused(&agent, &format!("delete pod web-x1 {flags}")).await, problem);
    }
    agent.stop().await;
}

#[test]
fn the_flags_that_scripts_give_kubectl_are_taken() {
    for line in [
        "drain edge-1 --ignore-daemonsets --delete-emptydir-data --force --timeout=5m",
        "drain edge-1 --ignore-daemonsets --grace-period=30 --timeout 300",
        "drain edge-1 --delete-daemonset-pods --grace-period -1 --disable-eviction --timeout=0",
        "delete pod x --wait --ignore-not-found",
        "rollout status ds/x --timeout=90",
        "rollout status --watch ds/x",
        "rollout status -w=false ds/x",
    ] {
        let words = std::iter::once("daemonlet").chain(line.split(' '));
        assert!(Cli::try_parse_from(words).is_ok(), "{line}");
    }
}
