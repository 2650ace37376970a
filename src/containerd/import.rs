//! Puts images that come from no registry into containerd, each whole or not at all: content first, under a lease, then the names.
//!
//! They aren't unpacked here. The CRI of every containerd since 1.3 unpacks what isn't when it makes a container of it
//! (`WithNewSnapshot` in `pkg/cri/opts/container.go`, in 2.x `internal/cri/opts`). It learns of a name by an event; until it knows
//! all of them an import isn't at its end. Must never decide which images are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::content::{BlobWriter, ContentStore};
pub use super::image_store::Existing;
use super::image_store::{give_name, name_of_id};
use super::lease::Lease;
use crate::archive::{self, ArchiveError, Blob, Digest, Image, Piece, Source};
use crate::cri::proto::ImageSpec;
use crate::cri::{CriClient, CriError};

/// How many pieces of an archive wait to be written, at 256 KiB each.
const PIECES_IN_FLIGHT: usize = 4;
/// An event takes milliseconds; a busy machine may need longer.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The archive is read in pieces of this size.
const BUFFER: usize = 256 * 1024;

/// Why images could not be imported.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ImportError {
    #[error("the runtime is not containerd, and the CRI can't import images")]
    NotContainerd,
    #[error("{what}: {}", status.message())]
    Refused { what: String, status: Box<Status> },
    #[error("read {}", path.display())]
    Archive { path: PathBuf, source: ArchiveError },
    #[error("ask the runtime for {name}")]
    Ask { name: String, source: CriError },
    #[error("{name} is in containerd, but its CRI does not know it after {KNOWN_WITHIN:?}")]
    Unknown { name: String },
    #[error("{0} comes from no archive")]
    NoArchive(String),
}

impl ImportError {
    fn refused(what: impl Into<String>) -> impl FnOnce(Status) -> Self {
        let what = what.into();
        |status| match status.code() {
            Code::Unimplemented => Self::NotContainerd,
            _ => Self::Refused { what, status: Box::new(status) },
        }
    }
}

/// Images that are to be imported.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// Which.
    pub images: &'a [Image],
    /// Where those of their blobs are that aren't with them.
    pub archive: Option<&'a Path>,
    /// What is done about a name that stands for something already.
    pub existing: Existing,
}

impl<'a> Import<'a> {
    /// How many bytes the images have.
    pub fn size(&self) -> u64 {
        self.blobs().values().map(|blob| blob.descriptor.size).sum()
    }

    fn blobs(&self) -> BTreeMap<Digest, &'a Blob> {
        let blobs = self.images.iter().flat_map(|image| &image.blobs);
        blobs.map(|blob| (blob.descriptor.digest, blob)).collect()
    }

    /// Imports them, and says in `progress` how many bytes more are there.
    ///
    /// # Errors
    /// When the archive can't be read or containerd refuses.
    pub async fn run(
        self,
        client: &CriClient,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ImportError> {
        self.bring(client, progress).await?.give_names(client).await
    }

    /// Brings all content, which is seen by nobody before it has its names, and says in `progress` how many bytes more are there.
    ///
    /// # Errors
    /// When the archive can't be read or containerd refuses.
    pub async fn bring(
        self,
        client: &CriClient,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Brought<'a>, ImportError> {
        let channel = client.channel();
        let lease =
            Lease::take(&channel).await.map_err(ImportError::refused("take a lease of containerd"))?;
        let mut store = ContentStore::new(&channel, lease.clone());
        match self.write(&mut store, progress).await {
            Ok(()) => Ok(Brought { import: self, lease }),
            Err(error) => {
                lease.end().await;
                Err(error)
            }
        }
    }

    /// Writes all content that isn't there.
    async fn write(
        &self,
        store: &mut ContentStore,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ImportError> {
        let mut missing: BTreeMap<&str, &Blob> = BTreeMap::new();
        for blob in self.blobs().into_values() {
            let Blob { descriptor, children, source } = blob;
            let refused = |digest| ImportError::refused(format!("write {digest} into containerd"));
            if store.has(descriptor, children).await.map_err(refused(descriptor.digest))? {
                progress(descriptor.size);
                continue;
            }
            match source {
                Source::Entry(path) => drop(missing.insert(path, blob)),
                Source::Bytes(bytes) => {
                    let written = write_whole(store, blob, bytes.clone()).await;
                    written.map_err(refused(descriptor.digest))?;
                    progress(descriptor.size);
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { self.write_from_archive(store, &missing, progress).await }
    }

    async fn write_from_archive(
        &self,
        store: &mut ContentStore,
        missing: &BTreeMap<&str, &Blob>,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ImportError> {
        let path = self.archive.ok_or_else(|| {
            ImportError::NoArchive(missing.keys().next().map(|path| (*path).to_owned()).unwrap_or_default())
        })?;
        let (pieces, mut seen) = mpsc::channel(PIECES_IN_FLIGHT);
        let (wanted, file) = (missing.keys().map(|path| (*path).to_owned()).collect(), path.to_owned());
        let reading = spawn_blocking(move || read(&file, wanted, &pieces));
        let mut now: Option<(&Blob, Option<BlobWriter>)> = None;
        while let Some(piece) = seen.recv().await {
            let digest = now.as_ref().map(|(blob, _)| blob.descriptor.digest);
            let refused = || {
                let digest = digest.map(|digest| digest.to_string()).unwrap_or_default();
                ImportError::refused(format!("write {digest} into containerd"))
            };
            match piece {
                Owned::Begin(path) => {
                    let Some(blob) = missing.get(path.as_str()) else { continue };
                    let begun = store.begin(&blob.descriptor, &blob.children).await;
                    now = Some((blob, begun.map_err(refused())?));
                }
                Owned::Data(data) => {
                    progress(data.len() as u64);
                    if let Some((_, Some(ingest))) = &mut now {
                        ingest.write(data).await.map_err(refused())?;
                    }
                }
                Owned::End => {
                    if let Some((_, Some(ingest))) = now.take() {
                        ingest.commit().await.map_err(refused())?;
                    }
                }
            }
        }
        let read = reading.await.unwrap_or_else(|panic| Err(io::Error::other(panic).into()));
        read.map_err(|source| ImportError::Archive { path: path.to_owned(), source })
    }

    async fn name(&self, client: &CriClient) -> Result<(), ImportError> {
        let channel = client.channel();
        for image in self.images {
            // The CRI before 2.0 finds an image by its ID only if that is a name, too.
            for name in [name_of_id(image.id)].iter().chain(&image.names) {
                let named = give_name(&channel, name, &image.target, self.existing).await;
                named.map_err(ImportError::refused(format!("create the image {name} in containerd")))?;
            }
        }
        Ok(())
    }
}

/// Images all of whose content is there, held by a lease, and that have yet to get their names. Who doesn't give them any
/// [abandons](Self::abandon) them; what was killed meanwhile leaves them to the end of the lease.
#[derive(Debug)]
#[must_use]
pub struct Brought<'a> {
    import: Import<'a>,
    lease: Lease,
}

impl Brought<'_> {
    /// Gives them their names, one after the other, and waits until the CRI knows them. Broken off, it may be done again.
    ///
    /// # Errors
    /// When containerd refuses; some may have their names then.
    pub async fn give_names(self, client: &CriClient) -> Result<(), ImportError> {
        let named = self.import.name(client).await;
        self.lease.end().await;
        named?;
        for name in self.import.images.iter().flat_map(|image| &image.names) {
            until_known(client, name).await?;
        }
        Ok(())
    }

    /// Leaves them to containerd's garbage collection.
    pub async fn abandon(self) {
        self.lease.end().await;
    }
}

async fn write_whole(store: &mut ContentStore, blob: &Blob, bytes: Vec<u8>) -> Result<(), Status> {
    let Some(mut ingest) = store.begin(&blob.descriptor, &blob.children).await? else { return Ok(()) };
    ingest.write(bytes).await?;
    ingest.commit().await
}

/// A piece of an archive on its way from the thread that reads it.
enum Owned {
    Begin(String),
    Data(Vec<u8>),
    End,
}

/// Reads what is wanted of an archive. Blocks; ends when nobody listens any more.
fn read(path: &Path, wanted: BTreeSet<String>, pieces: &mpsc::Sender<Owned>) -> Result<(), ArchiveError> {
    let source = BufReader::with_capacity(BUFFER, File::open(path)?);
    archive::stream(source, wanted, |piece| {
        let piece = match piece {
            Piece::Begin { path } => Owned::Begin(path.to_owned()),
            Piece::Data(data) => Owned::Data(data.to_owned()),
            Piece::End => Owned::End,
        };
        pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    })
}

/// Waits until the CRI knows an image.
async fn until_known(client: &CriClient, name: &str) -> Result<(), ImportError> {
    let begun = Instant::now();
    loop {
        let spec = ImageSpec { image: name.to_owned(), ..ImageSpec::default() };
        let found = client.image_status(spec).await;
        if found.map_err(|source| ImportError::Ask { name: name.to_owned(), source })?.is_some() {
            return Ok(());
        }
        if begun.elapsed() > KNOWN_WITHIN {
            return Err(ImportError::Unknown { name: name.to_owned() });
        }
        sleep(LOOK_AGAIN).await;
    }
}
