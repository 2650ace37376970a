//! `rollout undo` and `rollout restart`: a template of this node's stands in for the store's, until the store brings another.

use clap::Args;
use hyper::Method;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Which;
use super::history::revisions;
use crate::api::resource::DAEMON_SETS;
use crate::cli::Output;
use crate::cli::client::{Client, STRATEGIC_MERGE_PATCH, with_query};
use crate::cli::error::CliError;
use crate::pod::blueprint::REVISION_HASH_LABEL;
use crate::rollout::{RevisionHash, revision_of};

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    #[command(flatten)]
    which: Which,
    /// The revision to go back to (0: the one before the present)
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    to_revision: i64,
}

/// Where an undo leads.
#[derive(Debug, PartialEq)]
enum Target<'a> {
    Revision(&'a ControllerRevision),
    /// It is the present one.
    Already(i64),
}

pub(super) async fn run(args: &UndoArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    for name in args.which.names()? {
        let daemon_set = args.which.get(&name, client).await?;
        let revisions = revisions(&daemon_set, client).await?;
        match target(&daemon_set, &revisions, args.to_revision).map_err(CliError::Usage)? {
            Target::Already(number) => writeln!(
                output.out,
                "daemonset.apps/{name} skipped rollback (current template already matches revision {number})"
            )?,
            Target::Revision(revision) => {
                let data = revision.data.as_ref().map(|data| data.0.clone()).unwrap_or_default();
                patch(&args.which, &name, &data, client).await?;
                writeln!(output.out, "daemonset.apps/{name} rolled back")?;
            }
        }
    }
    Ok(())
}

/// Rule: `DaemonSetRollbacker.Rollback` in kubectl's `rollback.go`.
fn target<'a>(
    daemon_set: &DaemonSet,
    revisions: &'a [ControllerRevision],
    number: i64,
) -> Result<Target<'a>, String> {
    let wanted = if number == 0 {
        let before = revisions.len().checked_sub(2).and_then(|index| revisions.get(index));
        before.ok_or_else(|| "no last revision to roll back to".to_owned())?
    } else {
        let found = revisions.iter().find(|revision| revision.revision == number);
        found.ok_or_else(|| format!("unable to find specified revision {number} in history"))?
    };
    let present = daemon_set.spec.as_ref().map(|spec| revision_of(&spec.template));
    let hash = wanted.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION_HASH_LABEL));
    if present.as_ref().map(RevisionHash::as_str) == hash.map(String::as_str) {
        return Ok(Target::Already(wanted.revision));
    }
    Ok(Target::Revision(wanted))
}

pub(super) async fn restart(which: &Which, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    for name in which.names()? {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": now.to_string()});
        let change = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        patch(which, &name, &change, client).await?;
        writeln!(output.out, "daemonset.apps/{name} restarted")?;
    }
    Ok(())
}

async fn patch(which: &Which, name: &str, change: &Value, client: &Client) -> Result<(), CliError> {
    let path = with_query(&which.scope.path_of(&DAEMON_SETS, name), &[("fieldManager", "daemonlet-rollout")]);
    let body = (STRATEGIC_MERGE_PATCH, change.to_string().into_bytes());
    client.send::<DaemonSet>(Method::PATCH, &path, body).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: i64, image: &str) -> ControllerRevision {
        let hash = revision_of(&daemon_set(image).spec.unwrap().template);
        serde_json::from_value(json!({
            "metadata": {"labels": {REVISION_HASH_LABEL: hash.as_str()}}, "revision": number,
        }))
        .unwrap()
    }

    fn daemon_set(image: &str) -> DaemonSet {
        serde_json::from_value(json!({"metadata": {}, "spec": {"selector": {}, "template": {
            "spec": {"containers": [{"name": "main", "image": image}]}}}}))
        .unwrap()
    }

    #[test]
    fn an_undo_leads_to_the_revision_before_or_to_the_one_named() {
        let all = [revision(1, "a:1"), revision(2, "a:2"), revision(4, "a:4")];
        let to = |number| match target(&daemon_set("a:4"), &all, number) {
            Ok(Target::Revision(revision)) => revision.revision.to_string(),
            Ok(Target::Already(number)) => format!("already {number}"),
            Err(problem) => problem,
        };
        assert_eq!(to(0), "2");
        assert_eq!(to(1), "1");
        assert_eq!(to(4), "already 4");
        assert_eq!(to(3), "unable to find specified revision 3 in history");
        assert_eq!(
            target(&daemon_set("a:4"), &all[..1], 0),
            Err("no last revision to roll back to".to_owned())
        );
    }
}
