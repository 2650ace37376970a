//! `bundle apply` and `bundle rollback`. First everything is checked, then images come, then the manifests take their place in one step. Whatever
//! fails before that step leaves the node with what it had.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::opened::{self, Opened};
use super::{CliError, Output, failed, failed_at};
use crate::agent::{last_good, store_trust};
use crate::archive::{Contents, Platform};
use crate::bundle;
use crate::bundle::changeover::Changeover;
use crate::bundle::install::Staged;
use crate::bundle::keep;
use crate::bundle::state::{Applied, State};
use crate::cli::progress::Progress;
use crate::config::{AppliedBundles, Settings};
use crate::containerd::{self, Existing, Import};
use crate::cri::CriClient;
use crate::error_chain::error_chain;
use crate::manifest::Severity;
use crate::preload;
use crate::store::{Source, survey, verify};

const LOCK: &str = "bundle.lock";

pub(super) async fn apply(
    file: &Path,
    allow_older: bool,
    settings: &Settings,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let failed_here = failed_at(file);
    let _lock = lock(settings)?;
    let Opened { bundle, is_signed } = opened::open(file, settings.trust_file.as_deref())?;
    let mut changeover = begin(settings)?;
    if !allow_older {
        let admitted = changeover.state().admits(bundle.site.serial, bundle.digest);
        admitted.map_err(|error| failed_here(&error))?;
    }
    let contents = bundle.contents(&Platform::of_this_node()).map_err(|error| failed_here(&error))?;
    let manifests = bundle.read_manifests(opened::again(file)?).map_err(|error| failed_here(&error))?;

    let staged = Staged::write(&settings.store.path, &manifests).map_err(failed)?;
    check(&staged.path(), output)?;
    import(file, &contents, client).await?;
    if settings.bundles == AppliedBundles::Kept && !contents.images.is_empty() {
        keep::keep(file, bundle.digest, &settings.image_archives_dir()).map_err(|error| {
            let remedy = "free the space that it takes, or set keepBundles to false";
            CliError::Failed(format!("keep the bundle for its images: {}: {remedy}", error_chain(&error)))
        })?;
    }

    let names = contents.images.iter().flat_map(|image| {
        let id = image.id.to_string();
        image.names.iter().cloned().chain([id])
    });
    let applied = Applied {
        serial: bundle.site.serial,
        digest: bundle.digest,
        images: names.collect(),
        manifests: bundle.manifests.iter().map(|it| (it.path.clone(), it.descriptor.digest)).collect(),
        verified: is_signed == Some(true),
    };
    let before = changeover.state().pinned();
    changeover.announce(applied).map_err(failed)?;
    changeover.exchange(&staged).map_err(failed)?;
    let state = changeover.conclude().map_err(failed)?;
    arrange(settings, &state)?;
    let_go(&before, &state, settings, client, output).await?;
    writeln!(
        output.out,
        "bundle {} applied: {} images, {} manifests",
        bundle.site.serial,
        contents.images.len(),
        manifests.len()
    )?;
    warn_if_refused(settings, output)
}

/// The store may have more in it than bundles have put there.
fn warn_if_refused(settings: &Settings, output: &mut Output<'_>) -> Result<(), CliError> {
    let Some(trust) = store_trust(settings) else { return Ok(()) };
    let found = verify(&settings.store.path, &trust, &last_good(settings));
    if !found.problems.is_empty() {
        writeln!(output.err, "warning: the bundle does not count before the store as a whole is trusted:")?;
    }
    for problem in &found.problems {
        writeln!(output.err, "{problem}")?;
    }
    Ok(())
}

pub(super) async fn roll_back(
    settings: &Settings,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let _lock = lock(settings)?;
    let mut changeover = begin(settings)?;
    let previous = changeover.way_back().map_err(failed)?;
    let serial = previous.serial;
    if settings.trust_file.is_some() && !previous.verified {
        let why = "it was not found signed when it was applied, and a trust file is configured; apply it again, signed";
        return Err(CliError::Failed(format!("bundle {serial} does not come back: {why}")));
    }
    // Under the names of its images there may be others by now.
    if let Some(kept) = keep::find(&settings.image_archives_dir(), previous.digest) {
        let bundle = opened::read(&kept, |_| {})?;
        if bundle.digest != previous.digest {
            let why =
                format!("{} is another bundle by now; apply bundle {serial} again instead", kept.display());
            return Err(CliError::Failed(format!("bundle {serial} does not come back: {why}")));
        }
        let contents =
            bundle.contents(&Platform::of_this_node()).map_err(|error| failed_at(&kept)(&error))?;
        import(&kept, &contents, client).await?;
    }
    changeover.announce(previous).map_err(failed)?;
    changeover.exchange_back().map_err(failed)?;
    arrange(settings, &changeover.conclude().map_err(failed)?)?;
    writeln!(output.out, "bundle {serial} is back")?;
    warn_if_refused(settings, output)
}

/// Has the bundle that counts be an archive of the node's, if it is to be kept.
fn arrange(settings: &Settings, state: &State) -> Result<(), CliError> {
    let is_kept = settings.bundles == AppliedBundles::Kept;
    let digest = |applied: &Option<Applied>| applied.as_ref().filter(|_| is_kept).map(|it| it.digest);
    let arranged =
        keep::arrange(&settings.image_archives_dir(), digest(&state.current), digest(&state.previous));
    arranged.map_err(failed)
}

fn begin(settings: &Settings) -> Result<Changeover, CliError> {
    Changeover::begin(&settings.store.path, &settings.root_dir.join(bundle::STATE)).map_err(failed)
}

/// One at a time.
fn lock(settings: &Settings) -> Result<File, CliError> {
    let path = settings.root_dir.join(LOCK);
    let locked = fs::create_dir_all(&settings.root_dir).and_then(|()| File::create(&path)).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|error| failed_at(&path)(&error))
}

/// Whether the manifests are such as an agent would take.
fn check(dir: &Path, output: &mut Output<'_>) -> Result<(), CliError> {
    let found = survey(&[Source::Tree(Arc::from(dir))]);
    let mut errors = 0;
    for problem in &found.problems {
        if problem.severity == Severity::Error {
            errors += 1;
        }
        writeln!(output.err, "{problem}")?;
    }
    if errors == 0 {
        return Ok(());
    }
    fs::remove_dir_all(dir)?;
    Err(CliError::Failed("its manifests have errors; nothing was changed".to_owned()))
}

async fn import(file: &Path, contents: &Contents, client: &CriClient) -> Result<(), CliError> {
    let import = Import { images: &contents.images, archive: Some(file), existing: Existing::Replace };
    let mut bar = Progress::new("importing", import.size());
    import.run(client, &mut |bytes| bar.add(bytes)).await.map_err(failed)
}

/// Unpins what only a bundle has pinned that there is no way back to.
async fn let_go(
    before: &BTreeSet<String>,
    state: &State,
    settings: &Settings,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let memory: PathBuf = settings.root_dir.join(preload::MEMORY);
    let kept: BTreeSet<String> = state.pinned().into_iter().chain(preload::pinned_by(&memory)).collect();
    for name in before.difference(&kept) {
        if let Err(status) = containerd::unpin(client, name).await {
            writeln!(output.err, "warning: cannot unpin {name}: {}", status.message())?;
        }
    }
    Ok(())
}
