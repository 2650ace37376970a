//! containerd's images: names for content. The CRI takes those that carry its label as they are; a name is all that makes content an image.
//!
//! Pinned ones carry a label, too. containerd's CRI tells of it since 1.7; here it is asked for directly, so that it counts in 1.6 as well.

use std::collections::HashMap;

use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::{
    CreateImageRequest, GetImageRequest, Image, ListImagesRequest, UpdateImageRequest,
};
use containerd_client::types::Descriptor as ProtoDescriptor;
use prost_types::FieldMask;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::in_namespace;
use crate::archive::{Descriptor, Digest};
use crate::cri::CriClient;

const MANAGED: (&str, &str) = ("io.cri-containerd.image", "managed");
const PINNED: (&str, &str) = ("io.cri-containerd.pinned", "pinned");

/// A name, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// The name in full.
    pub name: String,
    /// What it stands for.
    pub target: Descriptor,
    /// Whether no garbage collection may take it.
    pub is_pinned: bool,
}

impl StoredImage {
    fn of(image: Image) -> Option<Self> {
        let target = image.target?;
        let digest = target.digest.parse().ok()?;
        let target = Descriptor::new(&target.media_type, digest, u64::try_from(target.size).unwrap_or(0));
        let is_pinned = image.labels.get(PINNED.0).is_some_and(|value| value == PINNED.1);
        Some(Self { name: image.name, target, is_pinned })
    }
}

/// All names that containerd's CRI may know.
///
/// # Errors
/// When containerd doesn't answer, or the runtime is another.
pub async fn images(client: &CriClient) -> Result<Vec<StoredImage>, Status> {
    list(client, Vec::new()).await
}

/// The images that are pinned by their labels.
///
/// # Errors
/// When containerd doesn't answer, or the runtime is another.
pub async fn pinned_images(client: &CriClient) -> Result<Vec<StoredImage>, Status> {
    list(client, vec![format!("labels.\"{}\"=={}", PINNED.0, PINNED.1)]).await
}

async fn list(client: &CriClient, filters: Vec<String>) -> Result<Vec<StoredImage>, Status> {
    let mut images = ImagesClient::new(client.channel());
    let answer = images.list(in_namespace(Request::new(ListImagesRequest { filters }))).await?;
    Ok(answer.into_inner().images.into_iter().filter_map(StoredImage::of).collect())
}

/// What a name stands for, if it is one.
///
/// # Errors
/// When containerd doesn't answer, or the runtime is another.
pub async fn image(client: &CriClient, name: &str) -> Result<Option<StoredImage>, Status> {
    let mut images = ImagesClient::new(client.channel());
    let request = GetImageRequest { name: name.to_owned() };
    match images.get(in_namespace(Request::new(request))).await {
        Err(status) if status.code() == Code::NotFound => Ok(None),
        answer => Ok(answer?.into_inner().image.and_then(StoredImage::of)),
    }
}

/// Lets the garbage collections have an image again. One that is gone is fine.
///
/// # Errors
/// When containerd doesn't answer.
pub async fn unpin(client: &CriClient, name: &str) -> Result<(), Status> {
    let mut images = ImagesClient::new(client.channel());
    let request = GetImageRequest { name: name.to_owned() };
    let found = match images.get(in_namespace(Request::new(request))).await {
        Err(status) if status.code() == Code::NotFound => return Ok(()),
        answer => answer?.into_inner().image,
    };
    // containerd 2 ends by a nil pointer at an image without a target, even if only its labels are to change.
    let Some(target) = found.and_then(|image| image.target) else { return Ok(()) };
    let image = Image { name: name.to_owned(), target: Some(target), ..Image::default() };
    match images.update(update(image, &label_paths(&[PINNED]))).await {
        Err(status) if status.code() == Code::NotFound => Ok(()),
        answer => answer.map(drop),
    }
}

/// What is done about a name that stands for something already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stands for the new image from now on.
    Replace,
    /// It stays.
    Keep,
}

/// Gives a name to an image, which is pinned.
pub(super) async fn give_name(
    channel: &Channel,
    name: &str,
    target: &Descriptor,
    existing: Existing,
) -> Result<(), Status> {
    let mut images = ImagesClient::new(channel.clone());
    let target = ProtoDescriptor {
        media_type: target.media_type.clone(),
        digest: target.digest.to_string(),
        size: i64::try_from(target.size).unwrap_or(i64::MAX),
        annotations: HashMap::new(),
    };
    let labels = [MANAGED, PINNED].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let image = Image { name: name.to_owned(), labels, target: Some(target), ..Image::default() };
    let create = CreateImageRequest { image: Some(image.clone()), source_date_epoch: None };
    match images.create(in_namespace(Request::new(create))).await {
        Err(status) if status.code() == Code::AlreadyExists => {}
        answer => return answer.map(drop),
    }
    match existing {
        Existing::Keep => Ok(()),
        Existing::Replace => {
            let paths = [vec!["target".to_owned()], label_paths(&[MANAGED, PINNED])].concat();
            images.update(update(image, &paths)).await.map(drop)
        }
    }
}

/// Changes these fields of an image, and no others.
fn update(image: Image, paths: &[String]) -> Request<UpdateImageRequest> {
    let update_mask = Some(FieldMask { paths: paths.to_vec() });
    in_namespace(Request::new(UpdateImageRequest {
        image: Some(image),
        update_mask,
        source_date_epoch: None,
    }))
}

fn label_paths(labels: &[(&str, &str)]) -> Vec<String> {
    labels.iter().map(|(key, _)| format!("labels.{key}")).collect()
}

/// The name under which the CRI of containerd before 2.0 looks for an image by its ID.
pub(super) fn name_of_id(id: Digest) -> String {
    id.to_string()
}
