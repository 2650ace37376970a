//! `taint node NAME KEY=VALUE:EFFECT… KEY:EFFECT-… KEY-…`, in kubectl's words (its `pkg/cmd/taint`).

use clap::Args;
use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::json;

use super::{get, name_of, named, patch, taints_of};
use crate::cli::Output;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::manifest::validate::names::{label_value, qualified_name};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

#[derive(Debug, Args)]
pub(in crate::cli) struct TaintArgs {
    /// The node and what is to change: node NAME KEY=VALUE:EFFECT… KEY:EFFECT-… KEY-…
    #[arg(value_name = "node NAME KEY=VALUE:EFFECT|KEY:EFFECT-|KEY-", required = true)]
    words: Vec<String>,
    /// Give taints that are there another value
    #[arg(long)]
    overwrite: bool,
}

/// What is to change.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    add: Vec<Taint>,
    /// A taint without an effect stands for all of its key.
    remove: Vec<Taint>,
}

pub(in crate::cli) async fn run(
    args: &TaintArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let (words, changes) = parse(&args.words).map_err(CliError::Usage)?;
    let node = get(Some(&named(&words)?), client).await?;
    let (taints, word) = changed(&node, &changes, args.overwrite).map_err(CliError::Usage)?;
    patch(&node, &json!({"spec": {"taints": taints}}), client).await?;
    writeln!(output.out, "node/{} {word}", name_of(&node))?;
    Ok(())
}

/// The taints that the node is to have, and kubectl's word for it.
fn changed(node: &Node, changes: &Changes, overwrite: bool) -> Result<(Vec<Taint>, &'static str), String> {
    let old = taints_of(node);
    let is_old = |taint: &&Taint| old.iter().any(|it| is_same(it, taint));
    let taken: Vec<&str> = changes.add.iter().filter(is_old).map(|it| it.key.as_str()).collect();
    if !taken.is_empty() && !overwrite {
        let name = name_of(node);
        return Err(format!(
            "node {name} already has {} taint(s) with same effect(s) and --overwrite is false",
            taken.join(",")
        ));
    }
    let mut taints = changes.add.clone();
    taints.extend(old.iter().filter(|it| !changes.add.iter().any(|new| is_same(new, it))).cloned());
    let (added, mut removed) = (taints.len() != old.len(), false);
    let mut missing = Vec::new();
    for gone in &changes.remove {
        let before = taints.len();
        taints.retain(|it| it.key != gone.key || !(gone.effect.is_empty() || it.effect == gone.effect));
        removed = taints.len() != before;
        if !removed {
            let effect = if gone.effect.is_empty() { String::new() } else { format!(":{}", gone.effect) };
            missing.push(format!("taint \"{}{effect}\" not found", gone.key));
        }
    }
    if !missing.is_empty() {
        return Err(missing.join("\n"));
    }
    let word = match (added, removed) {
        (true, true) => "modified",
        _ if overwrite => "modified",
        (true, false) => "tainted",
        (false, _) => "untainted",
    };
    Ok((taints, word))
}

fn is_same(one: &Taint, other: &Taint) -> bool {
    one.key == other.key && one.effect == other.effect
}

/// The words that name the node, and the changes.
fn parse(words: &[String]) -> Result<(Vec<String>, Changes), String> {
    let is_change = |word: &String| word.contains('=') || word.contains(':') || word.ends_with('-');
    let first = words.iter().position(is_change).unwrap_or(words.len());
    let (node, rest) = words.split_at(first);
    if rest.is_empty() {
        return Err("at least one taint update is required".to_owned());
    }
    let mut changes = Changes::default();
    for word in rest {
        if !is_change(word) {
            return Err(format!("all resources must be specified before taint changes: {word}"));
        }
        if let Some(word) = word.strip_suffix('-') {
            changes.remove.push(Taint { value: None, ..taint(word)? });
            continue;
        }
        let new = taint(word)?;
        if new.effect.is_empty() {
            return Err(format!("invalid taint spec: {word}"));
        }
        if changes.add.iter().any(|it| is_same(it, &new)) {
            return Err(format!("duplicated taints with the same key and effect: {word}"));
        }
        changes.add.push(new);
    }
    let both = |gone: &&Taint| {
        changes
            .add
            .iter()
            .any(|new| new.key == gone.key && (gone.effect.is_empty() || gone.effect == new.effect))
    };
    let both: Vec<String> =
        changes.remove.iter().filter(both).map(|it| format!("{}={}", it.key, it.effect)).collect();
    if !both.is_empty() {
        return Err(format!(
            "can not both modify and remove the following taint(s) in the same command: {}",
            both.join(", ")
        ));
    }
    Ok((node.to_vec(), changes))
}

/// `KEY=VALUE:EFFECT`, `KEY:EFFECT` or `KEY`.
fn taint(word: &str) -> Result<Taint, String> {
    let invalid = |problems: &[String]| {
        let why = if problems.is_empty() { String::new() } else { format!(", {}", problems.join("; ")) };
        format!("invalid taint spec: {word}{why}")
    };
    let (name, effect) = word.split_once(':').unwrap_or((word, ""));
    if !effect.is_empty() && !EFFECTS.contains(&effect) || word.ends_with(':') {
        return Err(format!("invalid taint effect: {effect}, unsupported taint effect"));
    }
    let (key, value) = match name.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (name, None),
    };
    let mut problems = qualified_name(key);
    problems.extend(value.map(label_value).unwrap_or_default());
    if !problems.is_empty() {
        return Err(invalid(&problems));
    }
    Ok(Taint {
        key: key.to_owned(),
        value: value.filter(|value| !value.is_empty()).map(str::to_owned),
        effect: effect.to_owned(),
        time_added: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Changes, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words).map(|(_, changes)| changes)
    }

    fn asked(line: &str, overwrite: bool) -> Result<(String, &'static str), String> {
        let node = json!({"metadata": {"name": "edge-1"}, "spec": {"taints": [
            {"key": "a", "value": "1", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]}});
        let node: Node = serde_json::from_value(node).unwrap();
        let (taints, word) = changed(&node, &parsed(line)?, overwrite)?;
        let shown = taints.iter().map(|it| {
            let value = it.value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
            format!("{}{value}:{}", it.key, it.effect)
        });
        Ok((shown.collect::<Vec<_>>().join(" "), word))
    }

    #[test]
    fn taints_change_as_with_kubectl() {
        for (line, overwrite, expected, word) in [
            ("b=2:NoExecute", false, "b=2:NoExecute a=1:NoSchedule a:NoExecute", "tainted"),
            ("b:NoSchedule", false, "b:NoSchedule a=1:NoSchedule a:NoExecute", "tainted"),
            ("a:NoSchedule-", false, "a:NoExecute", "untainted"),
            ("a=1:NoSchedule-", false, "a:NoExecute", "untainted"),
            ("a-", false, "", "untainted"),
            ("b=2:NoSchedule a:NoExecute-", false, "b=2:NoSchedule a=1:NoSchedule", "modified"),
            ("a=9:NoSchedule", true, "a=9:NoSchedule a:NoExecute", "modified"),
        ] {
            assert_eq!(asked(line, overwrite), Ok((expected.to_owned(), word)), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_kubectl_s_words() {
        for (line, part) in [
            ("node", "at least one taint update is required"),
            (
                "a=9:NoSchedule",
                "node edge-1 already has a taint(s) with same effect(s) and --overwrite is false",
            ),
            ("b-", "taint \"b\" not found"),
            ("a:PreferNoSchedule-", "taint \"a:PreferNoSchedule\" not found"),
            ("b=1", "invalid taint spec: b=1"),
            ("b=1:Never", "invalid taint effect: Never, unsupported taint effect"),
            ("b=1:", "invalid taint effect"),
            ("b=1:NoSchedule b=2:NoSchedule", "duplicated taints with the same key and effect"),
            ("b=1:NoSchedule b-", "can not both modify and remove the following taint(s)"),
            ("b=1:NoSchedule other", "all resources must be specified before taint changes: other"),
            ("-b=1:NoSchedule", "invalid taint spec"),
        ] {
            let problem = asked(line, false).unwrap_err();
            assert!(problem.contains(part), "{line}: {problem}");
        }
    }
}
