//! `bundle create`: manifests out of a directory, and what they name out of the local containerd.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::de::DeserializeOwned;

use super::{CliError, Output, failed, failed_at, platforms};
use crate::archive::{Descriptor, Index, Manifest, Platform, normalized};
use crate::bundle::{Site, Writer};
use crate::cli::progress::Progress;
use crate::containerd::{self, read_blob};
use crate::cri::CriClient;
use crate::image::garbage::images_of;
use crate::manifest::Severity;
use crate::store::{Source, is_manifest_path, survey};

/// What is larger is no index and no manifest.
const LARGEST_JSON: u64 = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The directory of manifests
    #[arg(short = 'f', long = "filename", value_name = "DIR")]
    dir: PathBuf,
    /// The bundle to be written
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What the images are to run on, such as linux/arm64; this node's own unless said otherwise
    #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',')]
    platforms: Vec<Platform>,
    /// Further images
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<String>,
    /// The serial number; nodes take no lower one than they have had. The time in seconds unless said otherwise
    #[arg(long)]
    serial: Option<u64>,
}

pub(super) async fn run(
    args: &CreateArgs,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let mut wanted_platforms = args.platforms.clone();
    if wanted_platforms.is_empty() {
        wanted_platforms.push(Platform::of_this_node());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let site = Site { serial: args.serial.unwrap_or(now), platforms: wanted_platforms };
    let manifests = manifests(&args.dir)?;
    let mut names = names_in(&args.dir, output)?;
    for image in &args.images {
        names.insert(
            normalized(image).ok_or_else(|| CliError::Usage(format!("{image:?} is not an image name")))?,
        );
    }
    let mut images = BTreeMap::new();
    let mut blobs = Blobs { client, found: BTreeMap::new(), json: BTreeMap::new() };
    for name in names {
        let target = blobs.collect(&name, &site.platforms).await?;
        images.insert(name, target);
    }

    let unfinished = with_ending(&args.output, ".part");
    let written = write(&unfinished, &site, &manifests, &images, &blobs).await;
    let digest = match written {
        Ok(digest) => digest,
        Err(error) => {
            // Half a bundle is of no use to anybody.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
    };
    fs::rename(&unfinished, &args.output).map_err(|error| failed_at(&args.output)(&error))?;
    writeln!(
        output.out,
        "{}: serial {}, {} manifests, {} images for {}\n{digest}",
        args.output.display(),
        site.serial,
        manifests.len(),
        images.len(),
        platforms(&site.platforms)
    )?;
    Ok(())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The files that a store would read, by their paths below the directory.
fn manifests(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, CliError> {
    let mut found = BTreeMap::new();
    let mut left = VecDeque::from([(dir.to_owned(), String::new())]);
    while let Some((dir, prefix)) = left.pop_front() {
        let failed = failed_at(&dir);
        for entry in fs::read_dir(&dir).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{prefix}{name}");
            // Links count as what they lead to.
            let metadata = fs::metadata(entry.path()).map_err(|error| failed_at(&entry.path())(&error))?;
            if metadata.is_dir() {
                left.push_back((entry.path(), format!("{path}/")));
            } else if is_manifest_path(&path) {
                let bytes = fs::read(entry.path()).map_err(|error| failed_at(&entry.path())(&error))?;
                found.insert(path, bytes);
            }
        }
    }
    Ok(found)
}

/// The images that the manifests name, in full. Manifests with errors make no bundle.
fn names_in(dir: &Path, output: &mut Output<'_>) -> Result<BTreeSet<String>, CliError> {
    let found = survey(&[Source::Tree(Arc::from(dir))]);
    for problem in &found.problems {
        writeln!(output.err, "{problem}")?;
    }
    if found.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(CliError::Failed(format!("the manifests in {} have errors", dir.display())));
    }
    let sets = found.objects.daemon_sets();
    let specs = sets.filter_map(|set| set.spec.as_ref()?.template.spec.as_ref());
    let mut names = BTreeSet::new();
    for image in specs.flat_map(images_of) {
        names.insert(
            normalized(image).ok_or_else(|| CliError::Failed(format!("{image:?} is not an image name")))?,
        );
    }
    Ok(names)
}

/// What images need, as containerd has it.
struct Blobs<'a> {
    client: &'a CriClient,
    /// Each once, by digest.
    found: BTreeMap<crate::archive::Digest, Descriptor>,
    /// Those that were read already.
    json: BTreeMap<crate::archive::Digest, Vec<u8>>,
}

impl Blobs<'_> {
    /// Notes all that an image needs for these platforms, and says what its name stands for.
    async fn collect(&mut self, name: &str, platforms: &[Platform]) -> Result<Descriptor, CliError> {
        let stored = containerd::image(self.client, name).await;
        let stored = stored
            .map_err(|status| CliError::Failed(format!("ask containerd for {name}: {}", status.message())))?;
        let missing = || {
            CliError::Failed(format!(
                "containerd has no image {name}: pull it, or import it with `daemonlet image import`"
            ))
        };
        let target = stored.ok_or_else(missing)?.target;
        let mut left = vec![target.clone()];
        let mut served: BTreeSet<&Platform> = BTreeSet::new();
        while let Some(descriptor) = left.pop() {
            if descriptor.is_index() {
                let index: Index = self.read(&descriptor).await?;
                let is_wanted = |child: &Descriptor| {
                    let runs = |of: &Platform| platforms.iter().any(|it| it.rank(of).is_some());
                    child.platform.as_ref().is_none_or(runs)
                };
                left.extend(index.manifests.into_iter().filter(is_wanted));
            } else if descriptor.is_manifest() {
                let manifest: Manifest = self.read(&descriptor).await?;
                if !manifest.config.is_config() {
                    continue;
                }
                let platform: Platform = match &descriptor.platform {
                    Some(platform) => platform.clone(),
                    None => self.read(&manifest.config).await?,
                };
                served.extend(platforms.iter().filter(|it| it.rank(&platform).is_some()));
                for child in manifest.children() {
                    self.found.insert(child.digest, child);
                }
            }
        }
        let absent: Vec<Platform> = platforms.iter().filter(|it| !served.contains(it)).cloned().collect();
        if absent.is_empty() {
            return Ok(target);
        }
        let absent = super::platforms(&absent);
        Err(CliError::Failed(format!("the image {name} in containerd has nothing for {absent}")))
    }

    /// Reads a blob that is JSON, and notes it.
    async fn read<T: DeserializeOwned>(&mut self, descriptor: &Descriptor) -> Result<T, CliError> {
        let digest = descriptor.digest;
        if descriptor.size > LARGEST_JSON {
            return Err(CliError::Failed(format!("{digest} is too large for {}", descriptor.media_type)));
        }
        let mut bytes = Vec::new();
        let read = read_blob(self.client, digest, descriptor.size, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        read.await.map_err(failed)?;
        let value = serde_json::from_slice(&bytes).map_err(failed)?;
        self.found.insert(digest, descriptor.clone());
        self.json.insert(digest, bytes);
        Ok(value)
    }
}

async fn write(
    path: &Path,
    site: &Site,
    manifests: &BTreeMap<String, Vec<u8>>,
    images: &BTreeMap<String, Descriptor>,
    blobs: &Blobs<'_>,
) -> Result<crate::archive::Digest, CliError> {
    let failed_here = failed_at(path);
    let io = |error: io::Error| failed_here(&error);
    let target = BufWriter::new(File::create(path).map_err(io)?);
    let mut writer = Writer::begin(target, site, manifests, images).map_err(|error| failed_here(&error))?;
    let total = blobs.found.values().map(|blob| blob.size).sum();
    let mut bar = Progress::new("packing", total);
    for blob in blobs.found.values() {
        if let Some(bytes) = blobs.json.get(&blob.digest) {
            writer.blob(bytes).map_err(io)?;
            bar.add(blob.size);
        } else if !writer.has(blob.digest) {
            writer.begin_blob(blob.digest, blob.size).map_err(io)?;
            let read = read_blob(blobs.client, blob.digest, blob.size, |piece| {
                bar.add(piece.len() as u64);
                writer.piece(piece)
            });
            read.await.map_err(failed)?;
            writer.end_blob(blob.size).map_err(io)?;
        }
    }
    let (digest, mut target) = writer.finish().map_err(io)?;
    target.flush().map_err(io)?;
    target.get_ref().sync_all().map_err(io)?;
    Ok(digest)
}
