//! The fake runtime's answers to the image service. Any image can be pulled, and is then as large as its name is long.

use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status, async_trait};

use super::Served;
use crate::cri::proto::image_service_server::ImageService;
use crate::cri::proto::{
    FilesystemIdentifier, FilesystemUsage, Image, ImageFsInfoRequest, ImageFsInfoResponse,
    ImageStatusRequest, ImageStatusResponse, ListImagesRequest, ListImagesResponse, PullImageRequest,
    PullImageResponse, RemoveImageRequest, RemoveImageResponse, UInt64Value,
};

type Answer<T> = Result<Response<T>, Status>;

/// What pulling this name yields: an image without a user of its own.
pub(super) fn pulled(name: &str) -> Image {
    Image {
        id: format!("sha256:{:x}", Sha256::digest(name)),
        repo_tags: vec![name.to_owned()],
        size: u64::try_from(name.len()).unwrap_or(1).max(1),
        ..Default::default()
    }
}

#[async_trait]
impl ImageService for Served {
    async fn list_images(&self, request: Request<ListImagesRequest>) -> Answer<ListImagesResponse> {
        self.admit(request.into_inner()).await?;
        Ok(Response::new(ListImagesResponse { images: self.read(|state| state.images.clone()) }))
    }

    async fn image_status(&self, request: Request<ImageStatusRequest>) -> Answer<ImageStatusResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let name = request.image.unwrap_or_default().image;
        let image = self.read(|state| state.image(&name).cloned());
        Ok(Response::new(ImageStatusResponse { image, ..Default::default() }))
    }

    async fn pull_image(&self, request: Request<PullImageRequest>) -> Answer<PullImageResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let image = pulled(&request.image.unwrap_or_default().image);
        let image_ref = image.id.clone();
        self.change(|state| {
            state.images.retain(|known| known.id != image.id);
            state.images.push(image);
        });
        Ok(Response::new(PullImageResponse { image_ref }))
    }

    async fn remove_image(&self, request: Request<RemoveImageRequest>) -> Answer<RemoveImageResponse> {
        let request = request.into_inner();
        self.admit(request.clone()).await?;
        let name = request.image.unwrap_or_default().image;
        self.change(|state| {
            let id = state.image(&name).map(|image| image.id.clone());
            state.images.retain(|image| Some(&image.id) != id.as_ref());
        });
        Ok(Response::new(RemoveImageResponse {}))
    }

    async fn image_fs_info(&self, request: Request<ImageFsInfoRequest>) -> Answer<ImageFsInfoResponse> {
        self.admit(request.into_inner()).await?;
        let (timestamp, used) = self.change(|state| (state.now(), state.images.iter().map(|i| i.size).sum()));
        let usage = FilesystemUsage {
            timestamp,
            fs_id: Some(FilesystemIdentifier { mountpoint: "/var/lib/fake".into() }),
            used_bytes: Some(UInt64Value { value: used }),
            inodes_used: None,
        };
        Ok(Response::new(ImageFsInfoResponse {
            image_filesystems: vec![usage],
            container_filesystems: Vec::new(),
        }))
    }
}
