//! From a manifest to a container that runs on a real containerd, beside the same made by hand.
//!
//! By turns, so that both meet the machine in the same mood. Both end at the moment that containerd gives as the container's start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use daemonlet::cri::proto::ContainerState;
use tokio::runtime::Runtime;

use crate::kit::Containerd;
use crate::options::Options;
use crate::subject::{Place, Subject};
use crate::table::{Goal, Row, Table, Unit, median};
use crate::{Result, bare, manifest};

const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks: each is work for the containerd that is measured.
const LOOK: Duration = Duration::from_millis(200);
/// Between two pods: what the last one left to do is done by then.
const PAUSE: Duration = Duration::from_millis(500);

const BY_AGENT: &str = "manifest renamed into place → container runs on containerd";
const BY_HAND: &str = "the same CRI calls made by hand";

pub(crate) fn measure(
    table: &mut Table,
    options: &Options,
    tokio: &Runtime,
    subject: &Subject,
) -> Result<()> {
    let by_hand = Row::new(BY_HAND, Goal::none(Unit::Milliseconds));
    let Some(containerd) = Containerd::start() else {
        table.add(by_hand.skipped("no containerd, or what it needs"));
        return Ok(());
    };
    let requests = tokio.block_on(bare::record(subject))?;
    let slot = containerd.slot();
    let manifests = slot.path("manifests");
    for folder in ["manifests", "node", "state", "pod-logs", "container-logs"] {
        fs::create_dir_all(slot.path(folder))?;
    }
    let runtime = containerd.socket();
    let place = Place { dir: slot.dir(), runtime: &runtime, cgroup: &slot.cgroup() };
    let log = fs::File::create(slot.path("agent.log"))?;
    let mut command = subject.prepare(&place)?;
    let agent = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let _agent = Ended(agent);

    let (mut agents, mut hands) = (Vec::new(), Vec::new());
    // The first of each warms up what they share and doesn't count.
    for number in 0..=options.samples.min(20) {
        let name = format!("bare-{number:03}");
        let made = containerd.ask(async |cri| bare::make(&cri, &requests, &name, &slot.cgroup()).await)?;
        std::thread::sleep(PAUSE);
        let by_agent = save_and_wait(&containerd, subject, &manifests, &format!("pod-{number:03}"))?;
        std::thread::sleep(PAUSE);
        containerd.ask(async |cri| {
            cri.stop_pod_sandbox(&made.sandbox).await?;
            cri.remove_pod_sandbox(&made.sandbox).await
        })?;
        if number > 0 {
            hands.push(made.took);
            agents.push(by_agent);
        }
    }
    let ratio = median(&agents).zip(median(&hands)).map(|(agent, hand)| agent / hand);
    table.add(by_hand.measured(hands));
    table.add(Row::new(BY_AGENT, Goal::none(Unit::Milliseconds)).measured(agents));
    let ratio_row = Row::new("the agent's way, of the bare CRI calls", Goal::at_most(1.1, Unit::Ratio));
    table.add(ratio_row.measured(ratio.into_iter().collect::<Vec<_>>()));
    Ok(())
}

/// Puts a manifest into the store and waits until its container runs. In milliseconds.
fn save_and_wait(containerd: &Containerd, subject: &Subject, manifests: &Path, pod: &str) -> Result<f64> {
    let temporary = containerd.slot().path("manifest.new");
    fs::write(&temporary, serde_json::to_vec(&subject.manifest(pod, &manifest::pod_spec(pod)))?)?;
    let saved = SystemTime::now();
    fs::rename(temporary, manifests.join(format!("{pod}.json")))?;

    let begun = Instant::now();
    let label = BTreeMap::from([("io.kubernetes.container.name".to_owned(), pod.to_owned())]);
    while begun.elapsed() < DEADLINE {
        std::thread::sleep(LOOK);
        let found = containerd.ask(async |cri| cri.list_containers(&label).await)?;
        let running =
            found.iter().find(|container| container.state == ContainerState::ContainerRunning as i32);
        if let Some(running) = running {
            let id = running.id.as_str().into();
            let started = containerd.ask(async |cri| bare::started(&cri, &id).await)?;
            return Ok(bare::since(saved, started));
        }
    }
    let log = fs::read_to_string(containerd.slot().path("agent.log")).unwrap_or_default();
    Err(format!("{pod} does not run within {DEADLINE:?}:\n{log}").into())
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
