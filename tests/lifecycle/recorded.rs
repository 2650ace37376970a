//! The recorded life cycles: the calls that a kubelet made, in order and in time, are the calls that the pod worker makes.
//!
//! They lie in `cases/lifecycle` below the folder that `DAEMONLET_SHARED` names; without it the test is skipped, loudly. Calls,
//! attempts, timeouts and commands must be equal. Times may be earlier than the kubelet's, who looks once a second, down to the
//! back-off rule; never later. Probes keep their period.

use std::path::{Path, PathBuf};
use std::time::Duration;

use daemonlet::cri::fake::{RecordedCall, Request};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::rig::Machine;

/// Between a manifest and the sandbox: a recording's steps count from the one, its calls from the other.
const TO_SANDBOX: Duration = Duration::from_millis(10);
/// How far a time may be off: recordings are in hundredths of a second, and a kubelet needs some to act.
const PRECISION: f64 = 0.05;

#[derive(Deserialize)]
struct Recording {
    pod: Value,
    steps: Vec<Step>,
    seconds: f64,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Step {
    at: f64,
    #[serde(rename = "do")]
    order: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Call {
    t: f64,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct What {
    call: String,
    container: Option<String>,
    attempt: Option<u32>,
    image: Option<String>,
    timeout: Option<i64>,
    cmd: Option<Vec<String>>,
}

#[tokio::test(start_paused = true)]
async fn every_recorded_life_goes_as_with_a_kubelet() {
    let Some(shared) = std::env::var_os("DAEMONLET_SHARED") else {
        eprintln!("SKIPPED: the recorded life cycles need DAEMONLET_SHARED");
        return;
    };
    let dir = PathBuf::from(shared).join("cases/lifecycle");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|file| file.expect("a file").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds recordings", dir.display());
    let mut problems = Vec::new();
    for file in files {
        if let Err(problem) = play(&file).await {
            problems.push(format!("{}: {problem}", file.display()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

async fn play(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).expect("readable");
    let mut recording: Recording = serde_saphyr::from_str(&text).expect("a recording");
    recording.pod["hostNetwork"] = Value::Bool(true);

    let machine = Machine::boot();
    let agent = machine.start_agent().await;
    let (before, during): (Vec<&Step>, Vec<&Step>) = recording.steps.iter().partition(|step| step.at < 0.0);
    for step in before {
        machine.runtime.step(&step.order).expect("a step");
    }
    let begun = Instant::now();
    sleep(TO_SANDBOX).await;
    let pod = agent.run(&recording.pod);
    for step in during {
        sleep_until(begun + Duration::from_secs_f64(step.at)).await;
        match step.order.as_str() {
            "remove" => agent.stop(&pod, None),
            order => machine.runtime.step(order).expect("a step"),
        }
    }
    sleep_until(begun + Duration::from_secs_f64(recording.seconds)).await;
    compare(&recording, &calls(&machine.runtime.calls()))
}

fn calls(recorded: &[RecordedCall]) -> Vec<Call> {
    let begun = recorded.iter().find(|call| matches!(call.request, Request::RunPodSandbox(_)));
    let Some(begun) = begun.map(|call| call.at) else { return Vec::new() };
    recorded
        .iter()
        .filter_map(|call| {
            let mut what = What {
                call: call.method().name().to_owned(),
                container: call.container.clone(),
                attempt: None,
                image: None,
                timeout: None,
                cmd: None,
            };
            match &call.request {
                Request::RunPodSandbox(_) | Request::CreateContainer(_) => what.attempt = call.attempt,
                Request::PullImage(request) => what.image = request.image.as_ref().map(|i| i.image.clone()),
                Request::StartContainer(_) | Request::StopPodSandbox(_) => {}
                Request::StopContainer(request) => what.timeout = Some(request.timeout),
                Request::ExecSync(request) => {
                    (what.timeout, what.cmd) = (Some(request.timeout), Some(request.cmd.clone()));
                }
                _ => return None,
            }
            Some(Call { t: (call.at - begun).as_secs_f64(), what })
        })
        .collect()
}

fn compare(recording: &Recording, made: &[Call]) -> Result<(), String> {
    for (index, expected) in recording.calls.iter().enumerate() {
        let told = |problem: &str| {
            Err(format!("call {index}: {problem}: expected {expected:?}, made {:#?}", made.get(index)))
        };
        let Some(call) = made.get(index) else { return told("missing") };
        if call.what != expected.what {
            return told("another call");
        }
        if call.t > expected.t + PRECISION {
            return told("late");
        }
        if is_probe(recording, call) && call.t < expected.t - PRECISION {
            return told("a probe that is early");
        }
    }
    // Whoever is earlier than a kubelet comes further in the same time; but only by what has a back-off to be early with.
    for call in made.iter().skip(recording.calls.len()) {
        let again = ["PullImage", "CreateContainer", "StartContainer", "ExecSync", "StopContainer"];
        if !again.contains(&call.what.call.as_str()) || is_probe(recording, call) {
            return Err(format!("a call too many: {call:?}"));
        }
    }
    back_offs_are_kept(recording, made)
}

/// Restarts and pulls of the same thing are apart by nothing, 10 s, 20 s, 40 s … and by what the container lives.
fn back_offs_are_kept(recording: &Recording, made: &[Call]) -> Result<(), String> {
    for (method, free) in [("CreateContainer", 1), ("PullImage", 0)] {
        let mut earlier: Vec<(&What, u32)> = Vec::new();
        let mut last: Vec<(String, f64)> = Vec::new();
        for call in made.iter().filter(|call| call.what.call == method) {
            let name = call.what.container.clone().or(call.what.image.clone()).unwrap_or_default();
            let count = earlier
                .iter()
                .filter(|(what, _)| what.container == call.what.container && what.image == call.what.image);
            let nth = u32::try_from(count.count()).unwrap_or(u32::MAX);
            if nth > free {
                let delay = (10.0 * f64::from(1 << (nth - free - 1))).min(300.0);
                let since =
                    last.iter().rev().find(|(of, _)| *of == name).map_or(f64::NEG_INFINITY, |(_, at)| *at);
                if call.t < since + life(recording, &name) + delay - PRECISION / 10.0 {
                    return Err(format!("before its back-off of {delay} s ended: {call:?}"));
                }
            }
            earlier.push((&call.what, nth));
            last.push((name, call.t));
        }
    }
    Ok(())
}

/// How long each instance of the container lives, if the script says so.
fn life(recording: &Recording, name: &str) -> f64 {
    let orders = recording.steps.iter().map(|step| step.order.split(' ').collect::<Vec<_>>());
    orders
        .filter(|words| words.first() == Some(&"autoexit") && words.get(1) == Some(&name))
        .find_map(|words| words.get(2)?.parse().ok())
        .unwrap_or(0.0)
}

fn is_probe(recording: &Recording, call: &Call) -> bool {
    let Some(command) = &call.what.cmd else { return false };
    let spec = &recording.pod;
    let containers = ["initContainers", "containers"].into_iter().filter_map(|key| spec[key].as_array());
    containers.flatten().any(|container| {
        ["livenessProbe", "readinessProbe", "startupProbe"].into_iter().any(|probe| {
            let expected = container[probe]["exec"]["command"].as_array();
            expected.is_some_and(|expected| expected.iter().eq(command.iter().map(String::as_str)))
        })
    })
}
