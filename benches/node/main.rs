//! Measures every row of the table of goals, side by side with a kubelet where one is given.
//!
//! The agent runs as a process of its own on a fake runtime that this process serves at a unix socket, so that only the agent is
//! measured; the last rows run on a real containerd. Each latency is taken between two moments of this process's own clock. What each row
//! means is in `benches/README.md`. Everything that is made here lies in temporary directories and one cgroup, and goes with the run.

#![allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]

mod bare;
mod containerd;
mod idle;
#[allow(clippy::unwrap_used, clippy::panic, reason = "what it is for are tests")]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod latency;
mod machine;
mod manifest;
mod node;
mod options;
mod process;
mod scale;
mod subject;
mod table;

use std::error::Error;
use std::process::ExitCode;

use options::{Group, Options};
use subject::Subject;
use table::{Goal, Row, Table, Unit};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            // `cargo test --all-targets` runs this too.
            println!("nothing is measured: run `cargo bench --bench node`");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err("the agent makes cgroups, so it is measured as root".into());
    }
    let daemonlet = subject::daemonlet()?;
    let kubelet = subject::kubelet();
    machine::wait_until_quiet(options.patience);
    let mut table = Table::new(machine::describe(&daemonlet, kubelet.as_ref()));

    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if options.wants(Group::Fake) {
        tokio.block_on(on_fake_runtime(&mut table, options, &daemonlet, kubelet.as_ref()))?;
    }
    if options.wants(Group::Containerd) {
        containerd::measure(&mut table, options, &tokio, &daemonlet)?;
    }
    if options.wants(Group::Size) {
        let goal = Goal::at_most(15.0, Unit::Megabytes);
        let kubelet = kubelet.as_ref().map(Subject::size).transpose()?;
        table.add(Row::new("stripped binary", goal).measured(daemonlet.size()?).kubelet(kubelet));
    }
    println!("{}", table.text());
    if let Some(path) = &options.markdown {
        std::fs::write(path, table.markdown())
            .map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(())
}

async fn on_fake_runtime(
    table: &mut Table,
    options: &Options,
    daemonlet: &Subject,
    kubelet: Option<&Subject>,
) -> Result<()> {
    let ours = of_one(daemonlet, options).await?;
    let theirs = match kubelet {
        Some(kubelet) => Some(of_one(kubelet, options).await?),
        None => None,
    };
    for (index, row) in ours.into_iter().enumerate() {
        let theirs = theirs.as_ref().map(|rows| rows[index].values().to_vec());
        table.add(row.kubelet(theirs));
    }
    Ok(())
}

/// All rows of one agent on the fake runtime, in the order of the table.
async fn of_one(subject: &Subject, options: &Options) -> Result<Vec<Row>> {
    let thirty = idle::thirty_pods(subject, options).await?;
    let full = scale::full_node(subject, options).await?;
    let six = idle::six_pods(subject, options).await?;
    let latency = latency::measure(subject, options).await?;

    let ([pss, rss], [pss_of_110, rss_of_110]) = (thirty.memory, full.memory);
    let milliseconds = |limit: f64| Goal::at_most(limit, Unit::Milliseconds);
    let megabytes = |limit: f64| Goal::at_most(limit, Unit::Megabytes);
    Ok(vec![
        Row::new("memory (PSS), 30 pods", megabytes(6.0)).measured(pss),
        Row::new("memory (RSS), 30 pods", Goal::none(Unit::Megabytes)).measured(rss),
        Row::new("memory (PSS), 110 pods", megabytes(10.0)).measured(pss_of_110),
        Row::new("memory (RSS), 110 pods", Goal::none(Unit::Megabytes)).measured(rss_of_110),
        Row::new("idle CPU, 30 pods", Goal::at_most(0.05, Unit::PercentOfCore)).measured([thirty.cpu]),
        Row::new("CRI calls when nothing happens, 6 pods", Goal::at_most(2.0, Unit::PerMinute))
            .measured([six]),
        Row::new("container exits → successor is created", milliseconds(10.0)).measured(latency.successor),
        Row::new("manifest renamed into place → RunPodSandbox", milliseconds(5.0)).measured(latency.renamed),
        Row::new("manifest written and closed → RunPodSandbox", milliseconds(5.0)).measured(latency.closed),
        Row::new("110 pods from a cold start", milliseconds(1000.0)).measured(full.cold_start),
        Row::new("agent killed, restarted over 110 pods → dead container re-created", milliseconds(250.0))
            .measured(full.recovery),
    ])
}
