//! OCI layouts: `index.json`, and blobs by their digests. Of an image for several platforms only what one platform needs is taken; the index
//! itself stays as it is, so that the image keeps the digest by which manifests may name it.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::Entries;
use super::follow::Follower;
use super::image::{blobs_of, platform_of, stored};
use super::name::named;
use super::write::NAME_ANNOTATION;
use super::{ArchiveError, Blob, Descriptor, Image, Platform};
use crate::image::ImageName;

/// The name of the index.
pub(super) const INDEX: &str = "index.json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const DEEPEST: usize = 4;
/// Of so many platforms it is told that an image is for them.
const MOST_TOLD: usize = 16;

/// The images of a layout, and what was left out because it is for other platforms.
pub(super) fn images(
    entries: &Entries,
    platform: &Platform,
) -> Result<(Vec<Image>, Vec<String>), ArchiveError> {
    let mut follow = Follower::new(entries);
    let index = follow.index_at(INDEX)?;
    let mut best: BTreeMap<String, Found> = BTreeMap::new();
    let mut left_out: Vec<(String, String)> = Vec::new();
    for descriptor in &index.manifests {
        let mut others = Vec::new();
        let Some(found) = search(&mut follow, descriptor, platform, 0, &mut others)? else {
            if let Some(name) = name_of(descriptor)? {
                let text = format!("{name} is for {}", others.join(", "));
                left_out.push((name, text));
            }
            continue;
        };
        let name = name_of(descriptor)?.ok_or(ArchiveError::Unnamed(descriptor.digest))?;
        match best.get(&name) {
            Some(known) if known.rank == found.rank && known.path != found.path => {
                return Err(ArchiveError::Ambiguous { name });
            }
            Some(known) if known.rank >= found.rank => {}
            _ => {
                best.insert(name, found);
            }
        }
    }
    let mut images: Vec<Image> = Vec::new();
    for (name, found) in best {
        // `docker save` has an entry for each tag.
        match images
            .iter_mut()
            .find(|image| found.path.first().is_some_and(|it| it.digest == image.target.digest))
        {
            Some(known) => known.names.push(name),
            None => images.push(image(&mut follow, name, &found)?),
        }
    }
    for image in &mut images {
        add_digests(image);
    }
    let there: BTreeSet<&String> = images.iter().flat_map(|image| &image.names).collect();
    left_out.retain(|(name, _)| !there.contains(name));
    let left_out = left_out.into_iter().map(|(_, text)| text).collect();
    Ok((images, left_out))
}

/// A manifest may name an image by its digest, too, as its registry knows it.
fn add_digests(image: &mut Image) {
    let repository = |name: &String| Some(ImageName::parse(name).ok()?.repository().to_owned());
    let mut repositories: Vec<String> = image.names.iter().filter_map(repository).collect();
    repositories.sort();
    repositories.dedup();
    let digest = image.target.digest;
    for name in repositories.into_iter().map(|repository| format!("{repository}@{digest}")) {
        if !image.names.contains(&name) {
            image.names.push(name);
        }
    }
}

/// A manifest for the platform.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    rank: u8,
    /// From the one that has the name through indexes to the manifest.
    path: Vec<Descriptor>,
}

/// Looks for the best manifest; notes in `others` what platforms there are instead.
fn search(
    follow: &mut Follower<'_>,
    descriptor: &Descriptor,
    platform: &Platform,
    depth: usize,
    others: &mut Vec<String>,
) -> Result<Option<Found>, ArchiveError> {
    if depth > DEEPEST {
        return Err(ArchiveError::TooDeep(DEEPEST));
    }
    if let Some(said) = &descriptor.platform
        && platform.rank(said).is_none()
    {
        tell(others, said);
        return Ok(None);
    }
    if descriptor.is_manifest() {
        let manifest = follow.manifest(descriptor.digest)?;
        if !manifest.config.is_config() {
            return Ok(None);
        }
        let of = match &descriptor.platform {
            Some(said) => said.clone(),
            None => platform_of(follow, &manifest)?,
        };
        let Some(rank) = platform.rank(&of) else {
            tell(others, &of);
            return Ok(None);
        };
        return Ok(Some(Found { rank, path: vec![bare(descriptor)] }));
    }
    if !descriptor.is_index() {
        return Ok(None);
    }
    let index = follow.index(descriptor.digest)?;
    let mut best: Option<Found> = None;
    for child in &index.manifests {
        if let Some(found) = search(follow, child, platform, depth + 1, others)?
            && best.as_ref().is_none_or(|best| best.rank < found.rank)
        {
            best = Some(found);
        }
    }
    Ok(best.map(|found| {
        let path = [vec![bare(descriptor)], found.path].concat();
        Found { rank: found.rank, path }
    }))
}

fn tell(others: &mut Vec<String>, platform: &Platform) {
    let platform = platform.to_string();
    if others.len() < MOST_TOLD && !others.contains(&platform) {
        others.push(platform);
    }
}

/// What is said about it here is said by its place in the index.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size)
}

fn image(follow: &mut Follower<'_>, name: String, found: &Found) -> Result<Image, ArchiveError> {
    let missing = || ArchiveError::Missing { what: "manifest", name: name.clone() };
    let (manifest, indexes) = found.path.split_last().ok_or_else(missing)?;
    let target = found.path.first().ok_or_else(missing)?.clone();
    let (mut blobs, id) = blobs_of(follow, manifest)?;
    let mut child = manifest;
    for index in indexes.iter().rev() {
        blobs.push(stored(follow.entries, "index", index, vec![child.clone()])?);
        child = index;
    }
    let mut seen = BTreeSet::new();
    blobs.retain(|blob: &Blob| seen.insert(blob.descriptor.digest));
    Ok(Image { names: vec![name], target, id, blobs })
}

/// The name in full. OCI's own annotation may be a tag alone, which names nothing.
fn name_of(descriptor: &Descriptor) -> Result<Option<String>, ArchiveError> {
    let said = |key| descriptor.annotations.get(key);
    let name = match (said(NAME_ANNOTATION), said(REF_NAME)) {
        (Some(name), _) => name,
        (None, Some(name)) if name.contains(['/', ':']) => name,
        _ => return Ok(None),
    };
    named(name, descriptor.digest).map(Some)
}
