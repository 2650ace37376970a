//! `label node NAME KEY=VALUE… KEY-…`, in kubectl's words (its `pkg/cmd/label`).

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::{get, name_of, named, patch};
use crate::cli::Output;
use crate::cli::client::Client;
use crate::cli::error::CliError;

#[derive(Debug, Args)]
pub(in crate::cli) struct LabelArgs {
    /// The node and what is to change: node NAME KEY=VALUE… KEY-…
    #[arg(value_name = "node NAME KEY=VALUE|KEY-", required = true)]
    words: Vec<String>,
    /// Give labels that are there another value
    #[arg(long)]
    overwrite: bool,
}

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
    let word = match (to_write.values().any(Option::is_some), to_write.values().any(Option::is_none)) {
        (false, false) => "not labeled",
        (true, true) => "modified",
        (true, false) if to_write.keys().any(|key| present.contains_key(key)) => "modified",
        (true, false) => "labeled",
        (false, true) => "unlabeled",
    };
    if !to_write.is_empty() {
        patch(&node, &json!({"metadata": {"labels": to_write}}), client).await?;
    }
    writeln!(output.out, "node/{} {word}", name_of(&node))?;
    Ok(())
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
        if key.is_empty() {
            return Err(format!("invalid label spec: {word}"));
        }
        if changes.insert(key.to_owned(), value.clone()).is_some_and(|before| before != value) {
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
        let expected = Changes::from([("a".into(), to("1")), ("b".into(), to("x=y")), ("c".into(), None)]);
        assert_eq!(parsed("node edge-1 a=1 b=x=y c-"), Ok((2, expected)));
        assert_eq!(parsed("node/edge-1 a="), Ok((1, Changes::from([("a".into(), to(""))]))));
        for (line, part) in [
            ("node edge-1", "at least one label update"),
            ("node edge-1 a=1 other", "before label changes: other"),
            ("node edge-1 a=1 a-", "can not both modify and remove"),
            ("node edge-1 =1", "invalid label spec"),
        ] {
            let problem = parsed(line).unwrap_err();
            assert!(problem.contains(part), "{line}: {problem}");
        }
    }
}
