//! What stands before and behind each change of bundles: putting right what an earlier command has left half done, and tidying up once a bundle
//! counts.
//!
//! A command may be broken off anywhere. If it had said in the record that a bundle was coming, names of images may have been given to its images
//! or not, and its manifests may be in the store or not. The manifests decide which bundle counts; that one gives its names again from what was kept
//! of it, and what only the other has pinned is unpinned. All of it may be done again and again.

use std::path::Path;

use super::apply::bring;
use super::{CliError, Output, failed, failed_at, opened};
use crate::archive::{Contents, Platform};
use crate::bundle::changeover::Changeover;
use crate::bundle::keep;
use crate::bundle::state::{Applied, State};
use crate::config::{AppliedBundles, Settings};
use crate::cri::CriClient;
use crate::state_dir::StateEntry;
use crate::{containerd, preload};

/// Begins a change of bundles, once what an earlier one has left half done is put right.
pub(super) async fn begin(
    settings: &Settings,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<Changeover, CliError> {
    let record = StateEntry::Bundles.below(&settings.root_dir);
    let mut changeover = Changeover::begin(&settings.store.path, &record).map_err(failed)?;
    if changeover.is_broken_off() {
        if let Some(counts) = changeover.state().current.clone().filter(|it| !it.images.is_empty()) {
            give_again(&counts, settings, client, output).await?;
        }
        changeover.settled().map_err(failed)?;
        arrange(settings, changeover.state())?;
    }
    let state = unpin(changeover.state().clone(), settings, client, output).await?;
    changeover.tidied(state);
    Ok(changeover)
}

/// Has the bundle that counts give its images their names once more.
async fn give_again(
    counts: &Applied,
    settings: &Settings,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let serial = counts.serial;
    writeln!(
        output.err,
        "an earlier command was broken off; bundle {serial} counts, and gives its images again"
    )?;
    let Some(kept) = keep::find(&settings.image_archives_dir(), counts.digest) else {
        writeln!(
            output.err,
            "warning: bundle {serial} was not kept: apply it again to be sure of its images"
        )?;
        return Ok(());
    };
    match contents_of(&kept, counts) {
        Ok(contents) => bring(&kept, &contents, client).await?.give_names(client).await.map_err(failed),
        // That must not be in the way of another bundle.
        Err(error) => Ok(writeln!(output.err, "warning: {error}")?),
    }
}

/// The images of a bundle that was kept, if it is still the one that was applied.
pub(super) fn contents_of(kept: &Path, applied: &Applied) -> Result<Contents, CliError> {
    let bundle = opened::read(kept, |_| {})?;
    if bundle.digest != applied.digest {
        let serial = applied.serial;
        let why = format!("{} is another bundle by now; apply bundle {serial} again instead", kept.display());
        return Err(CliError::Failed(format!("bundle {serial} does not come back: {why}")));
    }
    bundle.contents(&Platform::of_this_node()).map_err(|error| failed_at(kept)(&error))
}

/// What is to be done once a bundle counts.
pub(super) async fn finish(
    state: State,
    settings: &Settings,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    arrange(settings, &state)?;
    unpin(state, settings, client, output).await.map(drop)
}

/// Unpins what no bundle has any more; what the record says then. What fails is tried again with the next command.
async fn unpin(
    mut state: State,
    settings: &Settings,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<State, CliError> {
    let archives = preload::pinned_by(&StateEntry::Images.below(&settings.root_dir));
    let before = state.leaving.clone();
    for name in state.left_to_unpin(&archives) {
        match containerd::unpin(client, &name).await {
            Ok(()) => drop(state.leaving.remove(&name)),
            Err(status) => writeln!(output.err, "warning: cannot unpin {name}: {}", status.message())?,
        }
    }
    if state.leaving != before {
        state.write(&StateEntry::Bundles.below(&settings.root_dir)).map_err(failed)?;
    }
    Ok(state)
}

/// Has the bundle that counts be an archive of the node's, if it is to be kept.
pub(super) fn arrange(settings: &Settings, state: &State) -> Result<(), CliError> {
    let is_kept = settings.bundles == AppliedBundles::Kept;
    let digest = |applied: &Option<Applied>| applied.as_ref().filter(|_| is_kept).map(|it| it.digest);
    let arranged =
        keep::arrange(&settings.image_archives_dir(), digest(&state.current), digest(&state.previous));
    arranged.map_err(failed)
}
