//! Measures every row of the table of goals, side by side with a kubelet where one is given.
//!
//! The agent runs as a process of its own on a fake runtime that this process serves at a unix socket, so that only the agent is
//! measured; the last rows run on a real containerd. Each latency is taken between two moments of this process's own clock. What each row
//! means is in `benches/README.md`. Everything that is made here lies in temporary directories and one cgroup, and goes with the run.

#![allow(clippy::cast_precision_loss, reason = "figures are shown with three digits")]

mod bare;
mod containerd;
mod idle;
#[allow(unused_imports, reason = "the tests use more of it")]
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod latency;
mod machine;
mod manifest;
mod node;
mod options;
mod probes;
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
    let ours = tokio.block_on(on_fake_runtime(&daemonlet, options))?;
    let theirs =
        kubelet.as_ref().map(|kubelet| tokio.block_on(on_fake_runtime(kubelet, options))).transpose()?;
    table.add_beside(ours, theirs);
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

/// All rows of one agent on the fake runtime.
async fn on_fake_runtime(subject: &Subject, options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if options.wants(Group::Idle) {
        rows.extend(idle::thirty_pods(subject, options).await?);
    }
    if options.wants(Group::Full) {
        rows.extend(scale::full_node(subject, options).await?);
    }
    if options.wants(Group::Calls) {
        rows.push(idle::six_pods(subject, options).await?);
    }
    if options.wants(Group::Latency) {
        rows.extend(latency::measure(subject, options).await?);
    }
    if options.wants(Group::Probes) {
        rows.extend(probes::hundreds(subject, options).await?);
    }
    Ok(rows)
}
