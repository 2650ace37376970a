//! `daemonlet status`: how the agent itself is doing.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use super::Output;
use super::client::Client;
use super::error::CliError;
use super::text::{TabWriter, to_json, to_yaml};
use crate::go_duration::GoDuration;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

/// Documents for other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

impl Format {
    /// A document in this format.
    pub(super) fn render(self, document: &Value) -> Result<String, CliError> {
        match self {
            Format::Json => to_json(document),
            Format::Yaml => to_yaml(document),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version: String,
    node: String,
    ready: bool,
    conditions: Vec<Condition>,
    store: Store,
    runtime: Runtime,
    #[serde(default)]
    unusual: Vec<Unusual>,
    updates_held: Option<String>,
    daemon_sets: usize,
    pods: usize,
    standing_by: Option<StandingBy>,
}

/// A condition of a DaemonSet.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unusual {
    daemon_set: String,
    r#type: String,
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StandingBy {
    handed_over: Vec<HandedOver>,
    not_handed_over: Vec<NotHandedOver>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HandedOver {
    daemon_set: String,
    file: String,
    since: Option<String>,
    kubelet: String,
    started_by: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotHandedOver {
    daemon_set: String,
    reasons: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    name: String,
    waits_for: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    source: String,
    freshness: String,
    reason: Option<String>,
    objects: usize,
    problems: Vec<Problem>,
    ignored: Vec<Ignored>,
    removals_held: Option<RemovalsHeld>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemovalsHeld {
    objects: usize,
    remaining_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    severity: String,
    file: String,
    line: u32,
    field: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Ignored {
    path: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Runtime {
    endpoint: String,
    version: String,
    problem: Option<String>,
}

pub(super) async fn run(args: &StatusArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let document: Value = client.get("/apis/daemonlet.dev/v1/status").await?;
    let text = match args.output {
        Some(format) => format.render(&document)?,
        None => describe(&serde_json::from_value(document)?),
    };
    Ok(output.out.write_all(text.as_bytes())?)
}

fn describe(status: &Status) -> String {
    let store = &status.store;
    let freshness = match (store.freshness.as_str(), &store.reason) {
        ("Current", _) => "up to date".to_owned(),
        ("LastGood", Some(reason)) => format!("last good content is used: {reason}"),
        ("LastGood", None) => "last good content is used".to_owned(),
        (_, Some(reason)) => format!("nothing of it is used, and there is no last good content: {reason}"),
        _ => "not read yet".to_owned(),
    };
    let runtime = match (status.runtime.version.as_str(), &status.runtime.problem) {
        ("", None) => "not reached yet".to_owned(),
        ("", Some(problem)) => problem.clone(),
        (version, None) => version.to_owned(),
        (version, Some(problem)) => format!("{version}, {problem}"),
    };
    let mut text = String::new();
    for (name, value) in [
        ("Node", status.node.clone()),
        ("Version", status.version.clone()),
        ("Ready", if status.ready { "True" } else { "False" }.to_owned()),
        ("Store", with_state(&store.source, &freshness)),
        ("Objects", store.objects.to_string()),
        ("Removals held", store.removals_held.as_ref().map_or_else(String::new, removals_held)),
        ("Updates", status.updates_held.as_ref().map_or_else(String::new, |why| format!("held: {why}"))),
        ("Runtime", with_state(&status.runtime.endpoint, &runtime)),
        ("DaemonSets", status.daemon_sets.to_string()),
        ("Pods", status.pods.to_string()),
    ] {
        if !value.is_empty() {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{name}:\t{value}");
        }
    }
    let pending = status.conditions.iter().filter_map(|condition| {
        condition.waits_for.as_ref().map(|waits_for| format!("{}: {waits_for}", condition.name))
    });
    section(&mut text, "Not ready", pending);
    if let Some(standing_by) = &status.standing_by {
        section(&mut text, "Handed over", standing_by.handed_over.iter().map(handed_over));
        let refused = standing_by.not_handed_over.iter();
        let refused = refused.map(|it| format!("{}: {}", it.daemon_set, it.reasons.join("; ")));
        section(&mut text, "Not handed over", refused);
    }
    let unusual = status.unusual.iter();
    section(
        &mut text,
        "Conditions",
        unusual.map(|it| format!("{}: {}: {}", it.daemon_set, it.r#type, it.message)),
    );
    section(
        &mut text,
        "Problems",
        store.problems.iter().filter(|problem| problem.severity != "Notice").map(line),
    );
    section(
        &mut text,
        "Notices",
        store.problems.iter().filter(|problem| problem.severity == "Notice").map(line),
    );
    section(
        &mut text,
        "Ignored files",
        store.ignored.iter().map(|file| format!("{}: {}", file.path, file.reason)),
    );
    TabWriter::for_descriptions().align(&text)
}

/// How many objects are kept that the store has no longer, and for how long yet.
fn removals_held(held: &RemovalsHeld) -> String {
    let time = match held.remaining_seconds {
        Some(seconds) => format!("for {} yet", GoDuration(Duration::from_secs(seconds))),
        None => "until they are confirmed".to_owned(),
    };
    match held.objects {
        0 => format!("all, {time}"),
        objects => format!("{objects} objects, {time}"),
    }
}

/// What it is and how it is; the latter alone before it has said what it is.
fn with_state(what: &str, state: &str) -> String {
    if what.is_empty() { state.to_owned() } else { format!("{what} ({state})") }
}

/// Which DaemonSet, to which file, when, and whether the kubelet has started it.
fn handed_over(it: &HandedOver) -> String {
    let mut line = format!("{}: {}", it.daemon_set, it.file);
    if let Some(since) = &it.since {
        let _ = write!(line, ", written {since}");
    }
    match (it.kubelet.as_str(), &it.started_by) {
        ("Started", Some(at)) => {
            let _ = write!(line, ", started by the kubelet {at}");
        }
        ("Awaited", _) => line.push_str(", not started by the kubelet yet"),
        _ => {}
    }
    line
}

/// A title and its lines; nothing if there are none.
fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "{title}:");
    }
    for line in lines {
        let _ = writeln!(text, "  {}", line.replace('\t', " "));
    }
}

/// `file:line: field: message`, as `validate` writes it.
fn line(problem: &Problem) -> String {
    let mut text = format!("{}:", problem.file);
    if problem.line > 0 {
        let _ = write!(text, "{}:", problem.line);
    }
    if problem.severity == "Warning" {
        text.push_str(" warning:");
    }
    if !problem.field.is_empty() {
        let _ = write!(text, " {}:", problem.field);
    }
    text + " " + &problem.message
}
