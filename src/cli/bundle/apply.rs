//! `bundle apply` and `bundle rollback`. First everything is checked, the bundle is kept, and its images' content is brought, which nobody sees. Then
//! the record says that it is coming, its images get their names, and the manifests take their place in one step. Whatever fails before the
//! record says so leaves the node with what it had.
//!
//! Names can't be given all at once. What breaks this off between the record and the manifests may leave names of the one bundle under manifests
//! of the other: [`settle`](super::settle) puts that right with the next of these commands.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::opened::{self, Opened};
use super::settle::{arrange, begin, contents_of, finish};
use super::{CliError, Output, failed, failed_at};
use crate::agent::{last_good, store_trust};
use crate::archive::{Contents, Platform};
use crate::bundle::changeover::Changeover;
use crate::bundle::install::Staged;
use crate::bundle::keep;
use crate::bundle::state::Applied;
use crate::cli::progress::Progress;
use crate::config::{AppliedBundles, Settings};
use crate::containerd::{Brought, Existing, Import};
use crate::cri::CriClient;
use crate::error_chain::error_chain;
use crate::manifest::Severity;
use crate::state_dir::StateEntry;
use crate::store::{Source, survey, verify};

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
    let mut changeover = begin(settings, client, output).await?;
    if !allow_older {
        let admitted = changeover.state().admits(bundle.site.serial, bundle.digest);
        admitted.map_err(|error| failed_here(&error))?;
    }
    let contents = bundle.contents(&Platform::of_this_node()).map_err(|error| failed_here(&error))?;
    let manifests = bundle.read_manifests(opened::again(file)?).map_err(|error| failed_here(&error))?;

    let staged = Staged::write(&settings.store.path, &manifests).map_err(failed)?;
    check(&staged.path(), output)?;
    if settings.bundles == AppliedBundles::Kept && !contents.images.is_empty() {
        keep::keep(file, bundle.digest, &settings.image_archives_dir()).map_err(|error| {
            let remedy = "free the space that it takes, or set keepBundles to false";
            CliError::Failed(format!("keep the bundle for its images: {}: {remedy}", error_chain(&error)))
        })?;
    }
    let brought = match bring(file, &contents, client).await {
        Ok(brought) => brought,
        Err(error) => {
            // A copy of what doesn't come may be what fills the disk.
            arrange(settings, changeover.state())?;
            return Err(error);
        }
    };

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
    announce(&mut changeover, applied, Some(brought), client).await?;
    changeover.exchange(&staged).map_err(failed)?;
    finish(changeover.conclude().map_err(failed)?, settings, client, output).await?;
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
    let mut changeover = begin(settings, client, output).await?;
    let previous = changeover.way_back().map_err(failed)?;
    let serial = previous.serial;
    if settings.trust_file.is_some() && !previous.verified {
        let why = "it was not found signed when it was applied, and a trust file is configured; apply it again, signed";
        return Err(CliError::Failed(format!("bundle {serial} does not come back: {why}")));
    }
    // Under the names of its images there may be others by now.
    let kept = match keep::find(&settings.image_archives_dir(), previous.digest) {
        Some(kept) => {
            let contents = contents_of(&kept, &previous)?;
            Some((kept, contents))
        }
        None => None,
    };
    let brought = match &kept {
        Some((file, contents)) => Some(bring(file, contents, client).await?),
        None => None,
    };
    announce(&mut changeover, previous, brought, client).await?;
    changeover.exchange_back().map_err(failed)?;
    finish(changeover.conclude().map_err(failed)?, settings, client, output).await?;
    writeln!(output.out, "bundle {serial} is back")?;
    warn_if_refused(settings, output)
}

/// The bundle is coming: says so, and gives its images their names.
async fn announce(
    changeover: &mut Changeover,
    coming: Applied,
    brought: Option<Brought<'_>>,
    client: &CriClient,
) -> Result<(), CliError> {
    let announced = changeover.announce(coming).map_err(failed);
    match (announced, brought) {
        (Ok(()), Some(brought)) => brought.give_names(client).await.map_err(failed),
        (Ok(()), None) => Ok(()),
        (Err(error), brought) => {
            if let Some(brought) = brought {
                brought.abandon().await;
            }
            Err(error)
        }
    }
}

/// One at a time.
fn lock(settings: &Settings) -> Result<File, CliError> {
    let path = StateEntry::BundleLock.below(&settings.root_dir);
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

/// Brings the content of images, which have no names before they are given them.
pub(super) async fn bring<'a>(
    file: &'a Path,
    contents: &'a Contents,
    client: &CriClient,
) -> Result<Brought<'a>, CliError> {
    let import = Import { images: &contents.images, archive: Some(file), existing: Existing::Replace };
    let mut bar = Progress::new("importing", import.size());
    import.bring(client, &mut |bytes| bar.add(bytes)).await.map_err(failed)
}
