//! `daemonlet plan`: the exact CRI requests that the agent would send for the DaemonSets of some files, told offline.
//!
//! Nothing is asked of an agent or a runtime, and nothing is written to disk.

#[cfg(test)]
mod compatibility;
mod document;
mod mask;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::Value;

use super::agent::AgentArgs;
use super::error::CliError;
use super::text::{to_json, to_yaml};
use super::{Output, explain, validate};
use crate::agent::offline;
use crate::config;
use crate::cri::json::Printer;
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;
use crate::manifest::{Object, ObjectKey, Problem, Severity, Stored};
use crate::store::survey;

/// Show the CRI requests that the agent would send for the DaemonSets of some files
///
/// No agent and no runtime is asked. The pod shown is the first that the node would have of the DaemonSet, with the name and UID it would
/// get. What only the runtime will know is shown as <sandbox-id>, <image-id> and <pod-ip>; <termination-log-id> is another one
/// for each start. An image that names no user is assumed; `sandbox_config`, which CreateContainer and PullImage repeat, is left out, as
/// are registry credentials. PullImage is sent only where the pull policy asks for it. ConfigMaps, Secrets, PriorityClasses and
/// RuntimeClasses are taken from the same files. A DaemonSet that would not run on the node is shown all the same, and a note says so.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Only these DaemonSets: ds/NAME or NAME
    #[arg(value_name = "ds/NAME")]
    names: Vec<String>,
    /// Files and directories (- is standard input)
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    /// The node to plan for: a file with one Node; this machine if none is given
    #[arg(long, value_name = "NODE.yaml")]
    node: Option<PathBuf>,
    /// Only DaemonSets of this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Show the values of Secrets in variables instead of <masked>
    #[arg(long)]
    show_secrets: bool,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    agent: AgentArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One document a DaemonSet.
    #[default]
    Yaml,
    /// One object for one DaemonSet, an array for several.
    Json,
}

pub(super) fn run(
    args: &PlanArgs,
    input: &mut dyn Read,
    output: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    let settings = match config::load(&args.agent.sources()) {
        Ok(loaded) => loaded.settings,
        Err(refused) => {
            writeln!(output.err, "{refused}")?;
            return Ok(ExitCode::Config);
        }
    };
    let sources = match validate::sources(&args.files, input) {
        Ok(sources) => sources,
        Err(error) => {
            writeln!(output.err, "error: {}", error_chain(&error))?;
            return Ok(ExitCode::Usage);
        }
    };
    let mut found = survey(&sources);
    let failed = |error: &dyn std::error::Error| CliError::Failed(error_chain(error));
    let on = match &args.node {
        Some(file) => {
            let (node, problems) = explain::read_node(file).map_err(|error| failed(&error))?;
            found.problems.extend(problems);
            offline::described(&settings, node)
        }
        None => offline::this_machine(&settings, &found.objects),
    };
    let on = on.map_err(|error| failed(&error))?;
    let objects = if args.show_secrets { found.objects } else { mask::masked(&found.objects) };
    let printer = Printer::new().map_err(|error| failed(&error))?;
    let mut documents = Vec::new();
    for (key, stored) in &objects.0 {
        let Some(daemon_set) = wanted(args, stored) else { continue };
        let planned = document::plan(daemon_set, &on, &objects, &printer).map_err(|error| failed(&error))?;
        let said =
            |severity, (field, message): (String, String)| problem(severity, key, stored, field, message);
        found.problems.extend(planned.notes.into_iter().map(|it| said(Severity::Notice, it)));
        found.problems.extend(planned.problems.into_iter().map(|it| said(Severity::Error, it)));
        if planned.document["placement"]["shouldRun"] == Value::Bool(false) {
            found.problems.push(said(Severity::Notice, (String::new(), not_here(&planned.document))));
        }
        if let Some(forbidden) = settings.policy.judge(daemon_set, &objects).forbids(&key.name) {
            let message = format!("this pod would not be made: {forbidden}");
            found.problems.push(said(Severity::Notice, (String::new(), message)));
        }
        documents.push(planned.document);
    }
    for problem in &found.problems {
        writeln!(output.err, "{problem}")?;
    }
    if documents.is_empty() {
        return Err(CliError::Failed("no such good DaemonSet in the files given".to_owned()));
    }
    output.out.write_all(render(documents, args.output)?.as_bytes())?;
    let is_bad = found.problems.iter().any(|problem| problem.severity == Severity::Error);
    Ok(if is_bad { ExitCode::Failed } else { ExitCode::Ok })
}

fn wanted<'a>(args: &PlanArgs, stored: &'a Stored) -> Option<&'a DaemonSet> {
    let Object::DaemonSet(daemon_set) = &stored.object else { return None };
    let metadata = &daemon_set.metadata;
    let named = |name: &String| {
        let name = ["ds/", "daemonset/", "daemonsets/"]
            .iter()
            .find_map(|kind| name.strip_prefix(kind))
            .unwrap_or(name);
        metadata.name.as_deref() == Some(name)
    };
    let in_namespace = args.namespace.is_none() || args.namespace == metadata.namespace;
    (in_namespace && (args.names.is_empty() || args.names.iter().any(named))).then_some(daemon_set)
}

fn problem(severity: Severity, key: &ObjectKey, stored: &Stored, field: String, message: String) -> Problem {
    let (file, line) = (stored.origin.file.clone(), stored.origin.line);
    Problem { severity, file, line, field, message, object: Some(key.clone()) }
}

fn not_here(document: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reasons = document["placement"]["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    let reasons: Vec<String> = reasons.iter().map(text).collect();
    let [daemon_set, node] = [&document["daemonSet"], &document["node"]].map(text);
    format!("DaemonSet {daemon_set} does not run on node {node}: {}", reasons.join("; "))
}

fn render(mut documents: Vec<Value>, format: Format) -> Result<String, CliError> {
    match format {
        Format::Json if documents.len() == 1 => to_json(&documents.remove(0)),
        Format::Json => to_json(&Value::Array(documents)),
        Format::Yaml => documents.iter().try_fold(String::new(), |mut text, document| {
            let separator = if text.is_empty() { "" } else { "---\n" };
            let _ = write!(text, "{separator}{}", to_yaml(document)?);
            Ok(text)
        }),
    }
}
