//! The image service: what the kubelet calls, with the kubelet's deadlines.

use super::proto::{
    AuthConfig, Image, ImageFsInfoRequest, ImageFsInfoResponse, ImageSpec, ImageStatusRequest,
    ListImagesRequest, PodSandboxConfig, PullImageRequest, RemoveImageRequest,
};
use super::{CriClient, CriError, ImageRef, Method, verify};

impl CriClient {
    /// The image, if it is present.
    pub async fn image_status(&self, image: ImageSpec) -> Result<Option<Image>, CriError> {
        let name = image.image.clone();
        let request = ImageStatusRequest { image: Some(image), verbose: false };
        let mut client = self.image.clone();
        let answer = self
            .call(Method::ImageStatus, &name, Some(self.usual()), request, |r| async move {
                client.image_status(r).await
            })
            .await?;
        Self::verified(Method::ImageStatus, &name, verify::image(answer.image))
    }

    /// All images there are.
    pub async fn list_images(&self) -> Result<Vec<Image>, CriError> {
        let mut client = self.image.clone();
        self.call(
            Method::ListImages,
            "",
            Some(self.usual()),
            ListImagesRequest { filter: None },
            |r| async move { client.list_images(r).await },
        )
        .await
        .map(|answer| answer.images)
    }

    /// Pulls an image for a pod. Has no deadline, as an image may be large and a line slow: drop the future to give up.
    pub async fn pull_image(
        &self,
        image: ImageSpec,
        auth: Option<AuthConfig>,
        sandbox_config: PodSandboxConfig,
    ) -> Result<ImageRef, CriError> {
        let name = image.image.clone();
        let request = PullImageRequest { image: Some(image), auth, sandbox_config: Some(sandbox_config) };
        let mut client = self.image.clone();
        let answer = self
            .call(Method::PullImage, &name, None, request, |r| async move { client.pull_image(r).await })
            .await?;
        Self::verified(Method::PullImage, &name, verify::id(&answer.image_ref, "image_ref"))?;
        Ok(answer.image_ref.into())
    }

    /// Removes an image; fine if it is gone already.
    pub async fn remove_image(&self, image: &ImageRef) -> Result<(), CriError> {
        let spec = ImageSpec { image: image.to_string(), ..Default::default() };
        let mut client = self.image.clone();
        self.call(
            Method::RemoveImage,
            image.as_str(),
            Some(self.usual()),
            RemoveImageRequest { image: Some(spec) },
            |r| async move { client.remove_image(r).await },
        )
        .await
        .map(drop)
    }

    /// What images and writable layers occupy, and where.
    pub async fn image_fs_info(&self) -> Result<ImageFsInfoResponse, CriError> {
        let mut client = self.image.clone();
        self.call(Method::ImageFsInfo, "", Some(self.usual()), ImageFsInfoRequest {}, |r| async move {
            client.image_fs_info(r).await
        })
        .await
    }
}
