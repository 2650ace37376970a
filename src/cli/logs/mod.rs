//! `daemonlet logs`: what a pod's containers write; what there is, or on and on.

mod source;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use self::source::{all_containers, default_container, pod_of};
use super::Output;
use super::client::{Chunks, Client, escape, with_query};
use super::error::CliError;
use crate::api::resource::PODS;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct LogsArgs {
    /// The pod, or the DaemonSet whose pod it is
    #[arg(value_name = "POD | ds/NAME")]
    of: String,
    /// The container, as an alternative to -c
    #[arg(value_name = "CONTAINER", conflicts_with = "container")]
    container_word: Option<String>,
    /// The namespace
    #[arg(short, long, default_value = "default", value_name = "NAMESPACE")]
    namespace: String,
    /// The container
    #[arg(short, long, value_name = "CONTAINER", conflicts_with = "all_containers")]
    container: Option<String>,
    /// Every container of the pod
    #[arg(long)]
    all_containers: bool,
    /// Go on and show what comes, until the container ends
    #[arg(short, long)]
    follow: bool,
    /// The container's instance before this one
    #[arg(short, long)]
    previous: bool,
    /// Only so many lines of the end (-1 for all)
    #[arg(long, value_name = "LINES", default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,
    /// Only lines of this last while (5s, 2m, 1h30m)
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "since_time")]
    since: Option<SignedDuration>,
    /// Only lines from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since_time: Option<Timestamp>,
    /// Each line after its time
    #[arg(long)]
    timestamps: bool,
    /// No more than so many bytes
    #[arg(long, value_name = "BYTES")]
    limit_bytes: Option<u64>,
    /// Each line after its pod and container
    #[arg(long)]
    prefix: bool,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(duration) if duration > SignedDuration::ZERO => Ok(duration),
        Ok(_) => Err("must be greater than 0".to_owned()),
        Err(_) => Err("expected a duration like 5s, 2m or 1h30m".to_owned()),
    }
}

pub(super) async fn run(args: &LogsArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    if args.tail < -1 {
        return Err(CliError::Usage("--tail must be greater than or equal to -1".to_owned()));
    }
    let pod = pod_of(&args.of, &args.namespace, client, output).await?;
    let named = args.container.as_ref().or(args.container_word.as_ref());
    let containers = match named {
        _ if args.all_containers => all_containers(&pod),
        Some(container) => vec![container.clone()],
        None => vec![default_container(&pod, output)?],
    };
    if args.follow && containers.len() > 1 {
        return follow_all(args, &pod, containers, client, output).await;
    }
    for container in containers {
        let mut chunks = open(args, &pod, &container, client).await?;
        if args.prefix {
            while let Some(line) = chunks.next_line().await? {
                write_line(output, &prefix(&pod, &container), &line)?;
            }
            // A log that was cut to a number of bytes ends within a line.
            let rest = chunks.rest();
            if !rest.is_empty() {
                write_line(output, &prefix(&pod, &container), &rest)?;
            }
        } else {
            while let Some(chunk) = chunks.next().await? {
                output.out.write_all(&chunk)?;
                output.out.flush()?;
            }
        }
    }
    Ok(())
}

/// Follows several containers at once, a line at a time.
async fn follow_all(
    args: &LogsArgs,
    pod: &Pod,
    containers: Vec<String>,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let (lines, mut heard) = mpsc::channel(16);
    for container in containers {
        let mut chunks = open(args, pod, &container, client).await?;
        let prefix = if args.prefix { prefix(pod, &container) } else { String::new() };
        let lines = lines.clone();
        tokio::spawn(async move {
            loop {
                let line = match chunks.next_line().await {
                    Ok(Some(line)) => Ok((prefix.clone(), line)),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let is_last = line.is_err();
                if lines.send(line).await.is_err() || is_last {
                    return;
                }
            }
        });
    }
    drop(lines);
    while let Some(line) = heard.recv().await {
        let (prefix, line) = line?;
        write_line(output, &prefix, &line)?;
    }
    Ok(())
}

fn write_line(output: &mut Output<'_>, prefix: &str, line: &[u8]) -> Result<(), CliError> {
    output.out.write_all(prefix.as_bytes())?;
    output.out.write_all(line)?;
    output.out.write_all(b"\n")?;
    Ok(output.out.flush()?)
}

fn prefix(pod: &Pod, container: &str) -> String {
    format!("[pod/{}/{container}] ", pod.metadata.name.as_deref().unwrap_or_default())
}

async fn open(args: &LogsArgs, pod: &Pod, container: &str, client: &Client) -> Result<Chunks, CliError> {
    let mut parameters = vec![("container", container.to_owned())];
    for (name, is_asked) in
        [("follow", args.follow), ("previous", args.previous), ("timestamps", args.timestamps)]
    {
        if is_asked {
            parameters.push((name, "true".to_owned()));
        }
    }
    if args.tail >= 0 {
        parameters.push(("tailLines", args.tail.to_string()));
    }
    if let Some(since) = args.since {
        parameters.push(("sinceSeconds", since.as_secs().max(1).to_string()));
    }
    parameters.extend(args.since_time.map(|time| ("sinceTime", time.to_string())));
    parameters.extend(args.limit_bytes.map(|limit| ("limitBytes", limit.to_string())));
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let namespace = pod.metadata.namespace.as_deref();
    let name = escape(pod.metadata.name.as_deref().unwrap_or_default());
    client.stream(&with_query(&format!("{}/{name}/log", PODS.path(namespace)), &parameters), "*/*").await
}
