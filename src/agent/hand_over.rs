//! Makes this node's pods the static pods of a kubelet, one DaemonSet at a time.
//!
//! Each pod is ended first, with its hooks and its grace, and then its manifest is put into its place, whole: at no moment are there two. What is
//! being done is on disk before it is done, so that a crash in between loses no pod. The least important go first, what carries the node last.
//! What a static pod can't be is left as it is, and told.

use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::lock::StateLock;
use super::stance::static_pods;
use super::{AgentError, Ended, Purpose, attend, kubelet_watch};
use crate::atomic_file;
use crate::config::Settings;
use crate::kubelet::Sign;
use crate::kubelet::standing_back::{Pending, Stage, SteppedBack, Written, digest};
use crate::kubelet::static_pod::{self, StaticPod};
use crate::manifest::DaemonSetKey;
use crate::pod::priority;
use crate::pod::record::{PodRecord, RecordError, Records};

/// Static pods may hold what is written into environment variables.
const MODE: u32 = 0o600;

/// What becomes of one DaemonSet.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which.
    pub daemon_set: DaemonSetKey,
    /// The file's name.
    pub file: String,
    /// The pod, or every reason why there can be none.
    pub pod: Result<StaticPod, Vec<String>>,
}

/// What would be handed over, in its order.
///
/// # Errors
/// When the records can't be listed.
pub fn plan(settings: &Settings) -> Result<Vec<Step>, AgentError> {
    let dir = settings.root_dir.join("records");
    if !dir.exists() {
        return Ok(Vec::new());
    }
    Ok(steps(load(&dir)?))
}

fn load(dir: &Path) -> Result<Vec<PodRecord>, RecordError> {
    Ok(Records::open(dir)?.load()?.0)
}

/// One step a DaemonSet, made of its newest pod that was not told to end.
fn steps(mut records: Vec<PodRecord>) -> Vec<Step> {
    records.retain(|record| record.ending.is_none());
    records.sort_by_cached_key(|record| (priority::start_order(record), record.incarnation));
    records.reverse();
    let mut steps: Vec<Step> = Vec::new();
    for record in &records {
        if steps.iter().all(|step| step.daemon_set != record.daemon_set) {
            steps.push(Step {
                daemon_set: record.daemon_set.clone(),
                file: static_pod::file_name(&record.daemon_set),
                pod: static_pod::of(&record.pod, &record.daemon_set),
            });
        }
    }
    steps
}

/// Hands over because somebody asks for it. No agent may run.
///
/// # Errors
/// When an agent runs, or something can't be ended or written; what was handed over by then is.
pub async fn hand_over(
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<Option<SteppedBack>, AgentError> {
    let _lock = StateLock::take(&settings.root_dir)?;
    let known = SteppedBack::read(&settings.root_dir)?;
    let mut note = if let Some(known) = known {
        known
    } else {
        let kubelet = kubelet_watch::present(&settings.container_runtime_endpoint).await;
        let sign = kubelet.map(Sign::Process);
        let why = sign.as_ref().map_or_else(|| "handed over by command".to_owned(), ToString::to_string);
        SteppedBack::new(Stage::HandingOver, Timestamp::now(), why, static_pods(settings, sign.as_ref()))
    };
    note.stage = Stage::HandingOver;
    note.write(&settings.root_dir)?;
    go_on(settings, note, shutdown).await?;
    Ok(SteppedBack::read(&settings.root_dir)?)
}

/// Goes on where the note says, to the end; says whether it got there before `shutdown`.
pub(super) async fn go_on(
    settings: &Settings,
    mut note: SteppedBack,
    shutdown: &CancellationToken,
) -> Result<bool, AgentError> {
    let root = &settings.root_dir;
    if note.pending.is_some() && !finish_one(settings, &mut note, shutdown).await? {
        return Ok(false);
    }
    note.refused.clear();
    for step in plan(settings)? {
        let pod = match step.pod {
            Ok(made) => made.pod,
            Err(reasons) => {
                warn!(daemonset = %step.daemon_set, ?reasons, "cannot be handed over; its pod is left to the kubelet");
                note.refused.push((step.daemon_set, reasons));
                continue;
            }
        };
        note.pending = Some(Pending {
            path: note.static_pod_path.join(step.file),
            text: text(&pod, &step.daemon_set),
            daemon_set: step.daemon_set,
        });
        note.write(root)?;
        if !finish_one(settings, &mut note, shutdown).await? {
            return Ok(false);
        }
    }
    note.stage = Stage::HandedOver;
    note.write(root)?;
    Ok(true)
}

/// Ends the pods of the DaemonSet that is under way, then writes its static pod.
async fn finish_one(
    settings: &Settings,
    note: &mut SteppedBack,
    shutdown: &CancellationToken,
) -> Result<bool, AgentError> {
    let Some(pending) = note.pending.clone() else { return Ok(true) };
    let purpose = Purpose::EndPodsOf(pending.daemon_set.clone());
    if attend(settings, purpose, shutdown).await? != Ended::Done {
        return Ok(false);
    }
    let directory = &note.static_pod_path;
    fs::create_dir_all(directory)
        .map_err(|source| AgentError::Directory { path: directory.clone(), source })?;
    atomic_file::write(&pending.path, pending.text.as_bytes(), MODE)
        .map_err(|source| AgentError::StaticPod { path: pending.path.clone(), source })?;
    info!(daemonset = %pending.daemon_set, file = %pending.path.display(), "handed over to the kubelet");
    let sha256 = digest(pending.text.as_bytes());
    note.written.retain(|written| written.path != pending.path);
    note.written.push(Written { daemon_set: pending.daemon_set, path: pending.path, sha256 });
    note.pending = None;
    note.write(&settings.root_dir)?;
    Ok(true)
}

/// The file, with who it comes from.
pub fn text(pod: &Pod, daemon_set: &DaemonSetKey) -> String {
    let mut text = format!(
        "# DaemonSet {daemon_set}, handed over by daemonlet. `daemonlet takeover` removes this file.\n"
    );
    // What came from JSON can be written as YAML, and writing to a String can't fail.
    if let Ok(value) = serde_json::to_value(pod) {
        let _ = serde_saphyr::to_fmt_writer(&mut text, &value);
    }
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::pod::identity::{Incarnation, PodUid};
    use crate::pod::record::EndingNote;
    use crate::rollout::RevisionHash;

    fn record(name: &str, incarnation: u64, priority: i32, more: &serde_json::Value) -> PodRecord {
        let mut spec = json!({"priority": priority, "containers": [{"name": "main", "image": "a:1"}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        PodRecord::new(
            PodUid::parse(&format!("{name}-{incarnation}")).unwrap(),
            DaemonSetKey { namespace: "a".into(), name: name.into() },
            (RevisionHash::from_label("r"), 1),
            Incarnation(incarnation),
            Timestamp::UNIX_EPOCH,
            pod,
        )
    }

    #[test]
    fn the_least_important_go_first_and_of_each_daemon_set_its_newest_pod_that_stays() {
        let nothing = json!({});
        let mut ending = record("web", 4, 0, &nothing);
        ending.ending = Some(EndingNote { reason: "why".into(), at: Timestamp::UNIX_EPOCH });
        let records = vec![
            record("proxy", 1, 2_000_001_000, &nothing),
            record("web", 2, 0, &json!({"hostNetwork": false})),
            record("web", 3, 0, &json!({"hostNetwork": true})),
            ending,
            record("needy", 1, 5, &json!({"imagePullSecrets": [{"name": "s"}]})),
        ];
        let steps = steps(records);
        let names: Vec<&str> = steps.iter().map(|step| step.daemon_set.name.as_str()).collect();
        assert_eq!(names, ["web", "needy", "proxy"]);
        let web = steps[0].pod.as_ref().unwrap().pod.spec.as_ref().unwrap();
        assert_eq!(web.host_network, Some(true), "the newer of the two");
        assert!(steps[1].pod.is_err() && steps[2].pod.is_ok());
        assert_eq!(steps[0].file, "daemonlet_a_web.yaml");
    }
}
