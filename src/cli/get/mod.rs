//! `daemonlet get`: objects as rows, as themselves or by name; once, or on and on.

mod table;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use self::table::{Table, TablePrinter};
use super::Output;
use super::client::{Client, TABLE, escape, with_query};
use super::error::CliError;
use super::target::{Scope, Target, targets};
use super::text::{to_json, to_yaml};
use crate::api::resource::ResourceType;

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// What to show: ds, pods, nodes or events, and their names; or TYPE/NAME
    #[arg(value_name = "TYPE [NAME…] | TYPE/NAME")]
    words: Vec<String>,
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    #[command(flatten)]
    scope: Scope,
    /// Go on and show every change
    #[arg(short, long)]
    watch: bool,
    /// Only objects with these labels (app=web,tier in (a,b),!canary)
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only objects with these fields (metadata.name=x,status.phase!=Running)
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
    /// Rows only
    #[arg(long)]
    no_headers: bool,
    /// Labels as the last column
    #[arg(long)]
    show_labels: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// More columns
    Wide,
    /// YAML
    Yaml,
    /// JSON
    Json,
    /// type/name
    Name,
}

pub(super) async fn run(args: &GetArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let targets = targets(&args.words)?;
    let is_named = targets.iter().any(|target| !target.names.is_empty());
    if is_named && args.scope.all_namespaces {
        return Err(CliError::Usage(
            "a resource cannot be retrieved by name across all namespaces".to_owned(),
        ));
    }
    if is_named && (args.selector.is_some() || args.field_selector.is_some()) {
        return Err(CliError::Usage("name cannot be provided when a selector is specified".to_owned()));
    }
    if args.watch {
        return watch(args, &targets, client, output).await;
    }
    match args.output {
        None | Some(Format::Wide) => print_tables(args, &targets, client, output).await,
        Some(format) => print_objects(args, &targets, format, client, output).await,
    }
}

impl GetArgs {
    /// The path of a listing, with its selectors and these parameters besides.
    fn list_path(&self, resource: &ResourceType, more: &[(&str, &str)]) -> String {
        let mut parameters = more.to_vec();
        parameters.extend(self.selector.as_deref().map(|selector| ("labelSelector", selector)));
        parameters.extend(self.field_selector.as_deref().map(|selector| ("fieldSelector", selector)));
        with_query(&self.scope.path(resource), &parameters)
    }

    fn printer(&self, target: &Target, has_kinds: bool) -> TablePrinter {
        TablePrinter {
            is_wide: self.output == Some(Format::Wide),
            has_headers: !self.no_headers,
            has_namespace: self.scope.all_namespaces && target.resource.is_namespaced,
            has_labels: self.show_labels,
            kind: has_kinds.then(|| target.resource.qualified_singular()),
            ..TablePrinter::default()
        }
    }
}

/// The answers of one target: a list, or one object a name; beside them what went wrong.
async fn fetch<T: for<'de> Deserialize<'de>>(
    args: &GetArgs,
    target: &Target,
    accept: &str,
    client: &Client,
) -> (Vec<T>, Vec<CliError>) {
    let paths = if target.names.is_empty() {
        vec![args.list_path(target.resource, &[])]
    } else {
        let root = args.scope.path(target.resource);
        target.names.iter().map(|name| format!("{root}/{}", escape(name))).collect()
    };
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match client.get_as(&path, accept).await {
            Ok(answer) => answers.push(answer),
            Err(error) => errors.push(error),
        }
    }
    (answers, errors)
}

async fn print_tables(
    args: &GetArgs,
    targets: &[Target],
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for target in targets {
        let (tables, failed) = fetch::<Table>(args, target, TABLE, client).await;
        errors.extend(failed);
        found.extend(
            Table::joined(tables).filter(|table| !table.rows.is_empty()).map(|table| (target, table)),
        );
    }
    for (index, (target, table)) in found.iter().enumerate() {
        if index > 0 && !args.no_headers {
            writeln!(output.out)?;
        }
        output.out.write_all(args.printer(target, found.len() > 1).print(table).as_bytes())?;
    }
    if found.is_empty() && errors.is_empty() {
        args.scope.print_nothing_found(targets.iter().map(|target| target.resource), output)?;
    }
    CliError::all(errors)
}

async fn print_objects(
    args: &GetArgs,
    targets: &[Target],
    format: Format,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let mut errors = Vec::new();
    let mut objects: Vec<(&ResourceType, Value)> = Vec::new();
    for target in targets {
        let (answers, failed) = fetch::<Value>(args, target, "application/json", client).await;
        errors.extend(failed);
        for mut answer in answers {
            match answer.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => {
                    objects.extend(items.into_iter().map(|item| (target.resource, item)));
                }
                _ => objects.push((target.resource, answer)),
            }
        }
    }
    if format == Format::Name {
        for (resource, object) in &objects {
            writeln!(output.out, "{}/{}", resource.qualified_singular(), name_of(object))?;
        }
        return CliError::all(errors);
    }
    let is_one = matches!(targets, [Target { names, .. }] if names.len() == 1);
    let document = if is_one {
        objects.pop().map(|(_, object)| object)
    } else {
        let items: Vec<Value> = objects.into_iter().map(|(_, object)| object).collect();
        Some(json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}))
    };
    if let Some(document) = document {
        output.out.write_all(render(&document, format)?.as_bytes())?;
    }
    CliError::all(errors)
}

fn render(document: &Value, format: Format) -> Result<String, CliError> {
    if format == Format::Json { to_json(document) } else { to_yaml(document) }
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A line of a watch.
#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    watch_type: String,
    object: Value,
}

async fn watch(
    args: &GetArgs,
    targets: &[Target],
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let [target] = targets else {
        return Err(CliError::Usage("you may only specify a single resource type".to_owned()));
    };
    let by_name = match target.names.as_slice() {
        [] => None,
        [name] => {
            // Says so at once if there is no such object.
            client.get::<Value>(&format!("{}/{}", args.scope.path(target.resource), escape(name))).await?;
            Some(format!("metadata.name={name}"))
        }
        _ => return Err(CliError::Usage("you may only watch one object, or all of them".to_owned())),
    };
    let is_table = matches!(args.output, None | Some(Format::Wide));
    let accept = if is_table { TABLE } else { "application/json" };
    let mut parameters: Vec<(&str, &str)> =
        by_name.iter().map(|name| ("fieldSelector", name.as_str())).collect();
    let listing: Value = client.get_as(&args.list_path(target.resource, &parameters), accept).await?;
    let version = listing["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let mut printer = args.printer(target, false);
    let mut show = |object: Value, is_list: bool, output: &mut Output<'_>| -> Result<(), CliError> {
        if is_table {
            let table: Table = serde_json::from_value(object)?;
            output.out.write_all(printer.print(&table).as_bytes())?;
        } else {
            let objects = match object {
                Value::Object(mut list) if is_list => match list.remove("items") {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                },
                object => vec![object],
            };
            for object in objects {
                print_one(target.resource, &object, args.output, output)?;
            }
        }
        Ok(output.out.flush()?)
    };
    show(listing, true, output)?;
    parameters.extend([("watch", "1"), ("resourceVersion", version.as_str())]);
    let mut lines = client.stream(&args.list_path(target.resource, &parameters), accept).await?;
    while let Some(line) = lines.next_line().await? {
        let frame: Frame = serde_json::from_slice(&line)?;
        match frame.watch_type.as_str() {
            "ERROR" => return Err(CliError::Refused(serde_json::from_value(frame.object)?)),
            "BOOKMARK" => {}
            _ => show(frame.object, false, output)?,
        }
    }
    Ok(())
}

fn print_one(
    resource: &ResourceType,
    object: &Value,
    format: Option<Format>,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    match format {
        Some(Format::Json) => output.out.write_all(to_json(object)?.as_bytes())?,
        Some(Format::Yaml) => write!(output.out, "---\n{}", to_yaml(object)?)?,
        _ => writeln!(output.out, "{}/{}", resource.qualified_singular(), name_of(object))?,
    }
    Ok(())
}
