//! `label node NAME KEY=VALUE… KEY-…`, in kubectl's words (its `pkg/cmd/label`).

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::{get, name_of, named, patch};
use crate::cli::Output;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::manifest::validate::names::label_value;

#[derive(Debug, Args)]
pub(in crate::cli) struct LabelArgs {
    /// The node and what is to change: node NAME KEY=VALUE… KEY-…
    #[arg(value_name = "node NAME KEY=VALUE|KEY-", required = true)]
    words: Vec<String>,
    /// Give labels that are there another value
    #[arg(long)]
    overwrite: bool,
}

type Labels = BTreeMap<String, String>;

/// Labels by key; none for one that is to go.
type Changes = BTreeMap<String, Option<String>>;

pub(in crate::cli) async fn run(
    args: &LabelArgs,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let (words, changes) = parse(&args.words).map_err(CliError::Usage)?;
    let node = get(Some(&named(&words)?), client).await?;
    let present = node.metadata.labels.clone().unwrap_or_default();
    let taken = |(key, value): &(&String, &Option<String>)| match (present.get(*key), value) {
        (Some(stands), Some(value)) => stands != value,
        _ => false,
    };
    if let Some((key, _)) = changes.iter().find(taken).filter(|_| !args.overwrite) {
        let stands = &present[key];
        return Err(CliError::Usage(format!(
            "'{key}' already has a value ({stands}), and --overwrite is false"
        )));
    }
    for key in changes.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key) {
        if !present.contains_key(key) {
            writeln!(output.out, "label {key:?} not found.")?;
        }
    }
    let to_write: Changes =
        changes.into_iter().filter(|(key, value)| present.get(key) != value.as_ref()).collect();
    let word = word(&present, &to_write, args.overwrite);
    if !to_write.is_empty() {
        patch(&node, &json!({"metadata": {"labels": to_write}}), client).await?;
    }
    writeln!(output.out, "node/{} {word}", name_of(&node))?;
    Ok(())
}

/// kubectl's word for what has changed. It takes a node for unlabeled whose description has become shorter, unless labels may be overwritten.
fn word(present: &Labels, to_write: &Changes, overwrite: bool) -> &'static str {
    if to_write.is_empty() {
        return "not labeled";
    }
    let mut then = present.clone();
    for (key, value) in to_write {
        match value {
            Some(value) => drop(then.insert(key.clone(), value.clone())),
            None => drop(then.remove(key)),
        }
    }
    let length = |labels: &Labels| json!(labels).to_string().len();
    if !overwrite && length(&then) < length(present) { "unlabeled" } else { "labeled" }
}

/// The words that name the node, and the changes.
fn parse(words: &[String]) -> Result<(Vec<String>, Changes), String> {
    let is_change = |word: &String| word.contains('=') || word.ends_with('-');
    let first = words.iter().position(is_change).unwrap_or(words.len());
    let (node, rest) = words.split_at(first);
    if rest.is_empty() {
        return Err("at least one label update is required".to_owned());
    }
    let mut changes = Changes::new();
    for word in rest {
        let (key, value) = match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => (key, Some(value.to_owned())),
            (None, Some(key)) => (key, None),
            (None, None) => {
                return Err("all resources must be specified before label changes: ".to_owned() + word);
            }
        };
        let text = value.as_deref().unwrap_or_default();
        if key.is_empty() || text.contains('=') {
            return Err(format!("invalid label spec: {word}"));
        }
        let problems = label_value(text);
        if !problems.is_empty() {
            return Err(format!("invalid label value: {word:?}: {}", problems.join(";")));
        }
        let is_removed = value.is_none();
        if changes.insert(key.to_owned(), value).is_some_and(|before| before.is_none() != is_removed) {
            return Err("can not both modify and remove a label in the same command".to_owned());
        }
    }
    Ok((node.to_vec(), changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(usize, Changes), String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words).map(|(node, changes)| (node.len(), changes))
    }

    #[test]
    fn changes_are_read_as_kubectl_does() {
        let to = |text: &str| Some(text.to_owned());
        let expected = Changes::from([("a".into(), to("1")), ("b".into(), to("y")), ("c".into(), None)]);
        assert_eq!(parsed("node edge-1 a=1 b=x b=y c-"), Ok((2, expected)));
        assert_eq!(parsed("node/edge-1 a="), Ok((1, Changes::from([("a".into(), to(""))]))));
        for (line, part) in [
            ("node edge-1", "at least one label update"),
            ("node edge-1 a=1 other", "before label changes: other"),
            ("node edge-1 a=1 a-", "can not both modify and remove"),
            ("node edge-1 =1", "invalid label spec"),
            ("node edge-1 a=b=c", "invalid label spec: a=b=c"),
            ("node edge-1 a=-b", "invalid label value: \"a=-b\": a valid label must be"),
        ] {
            let problem = parsed(line).unwrap_err();
            assert!(problem.contains(part), "{line}: {problem}");
        }
    }

    #[test]
    fn what_has_changed_is_told_in_kubectl_s_word() {
        let present = Labels::from([("a".into(), "1".into()), ("long".into(), "value".into())]);
        for (line, overwrite, expected) in [
            ("node n b=2", false, "labeled"),
            ("node n a=2", true, "labeled"),
            ("node n long-", false, "unlabeled"),
            ("node n long-", true, "labeled"),
            ("node n long- b=2", false, "unlabeled"),
            ("node n a- b=more-than-went", false, "labeled"),
        ] {
            let (_, changes) = parsed(line).unwrap();
            assert_eq!(word(&present, &changes, overwrite), expected, "{line}");
        }
        assert_eq!(word(&present, &Changes::new(), false), "not labeled");
    }
}
