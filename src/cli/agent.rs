//! `daemonlet agent`: the agent itself, in the foreground, as the service manager runs it.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::agent::{self, AgentError};
use crate::config::{self, LogFormat, LogLevel, Logging, Settings, Sources};
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

/// Where the configuration is unless the command line says otherwise.
const CONFIG: &str = "/etc/daemonlet/config.yaml";

/// How many pods may touch a file system that hangs before others have to wait for them.
const BLOCKING_THREADS: usize = 32;

/// Run the agent in the foreground
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// The configuration; drop-ins are taken from the directory beside it that ends in .d
    #[arg(long, env = "DAEMONLET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key of the configuration, over what the files say
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl AgentArgs {
    /// Where the agent would read its configuration from.
    pub(super) fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone().unwrap_or_else(|| CONFIG.into()),
            file_required: self.config.is_some(),
            environment: std::env::vars().collect(),
            flags: self.set.clone(),
        }
    }
}

/// Loads the configuration and runs the agent until it is told to end.
pub(super) fn run(args: &AgentArgs) -> ExitCode {
    let loaded = match config::load(&args.sources()) {
        Ok(loaded) => loaded,
        Err(refused) => {
            eprintln!("{refused}");
            return ExitCode::Config;
        }
    };
    start_logging(loaded.settings.logging);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    info!(version = env!("CARGO_PKG_VERSION"), "daemonlet starts");
    debug!(settings = ?loaded.settings, "the configuration as it counts");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = match runtime.enable_all().max_blocking_threads(BLOCKING_THREADS).build() {
        Ok(runtime) => runtime,
        Err(problem) => {
            error!(%problem, "cannot start");
            return ExitCode::Failed;
        }
    };
    let ended = runtime.block_on(serve(loaded.settings));
    // A file system that hangs holds a blocking thread for ever; the process ends all the same.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::Ok,
        Err(problem) => {
            error!("{}", error_chain(&problem));
            match problem {
                AgentError::Lock(agent::LockError::Held { .. }) => ExitCode::Busy,
                AgentError::Kubelet(_) => ExitCode::Kubelet,
                _ => ExitCode::Failed,
            }
        }
    }
}

async fn serve(settings: Settings) -> Result<(), AgentError> {
    let shutdown = CancellationToken::new();
    let ending = shutdown.clone();
    let signals = async move {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return std::future::pending().await;
        };
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        info!("told to end: finishing what is under way; a second signal ends at once");
        ending.cancel();
        next().await;
        warn!("told to end at once");
    };
    tokio::select! {
        ended = agent::run(settings, shutdown) => ended,
        () = signals => Ok(()),
    }
}

fn start_logging(logging: Logging) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    use tracing_subscriber::{Layer, fmt, registry};

    let level: LevelFilter = match logging.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // The libraries' own chatter is no help to an operator, whatever the level.
    let filter = Targets::new().with_target("daemonlet", level).with_default(LevelFilter::WARN);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let journal = match logging.format {
        LogFormat::Journald => true,
        LogFormat::Auto => under_systemd,
        LogFormat::Text | LogFormat::Json => false,
    };
    if journal && let Ok(journal) = tracing_journald::layer() {
        registry().with(journal.with_filter(filter)).init();
        return;
    }
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let text = fmt::layer().with_writer(std::io::stderr).with_ansi(terminal).with_target(false);
    match logging.format {
        LogFormat::Json => registry().with(text.json().with_filter(filter)).init(),
        _ => registry().with(text.with_filter(filter)).init(),
    }
}
