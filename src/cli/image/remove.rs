//! `image rm`: takes images from the runtime. One that an archive of the node has comes back when a pod needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::{CliError, ExitCode, Output};
use crate::cri::proto::ImageSpec;
use crate::cri::{CriClient, CriError, ImageRef};
use crate::image::ImageName;

pub(super) async fn run(
    images: &[String],
    force: bool,
    client: &CriClient,
    output: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    let failed = |error: CriError| CliError::Failed(error.to_string());
    let used = if force { BTreeSet::new() } else { used(client).await.map_err(failed)? };
    let mut code = ExitCode::Ok;
    for image in images {
        let asked = ImageName::parse(image).map_or_else(|_| image.clone(), |name| name.with_default_tag());
        let spec = ImageSpec { image: asked, ..ImageSpec::default() };
        let Some(found) = client.image_status(spec).await.map_err(failed)? else {
            writeln!(output.err, "error: the runtime has no image {image}")?;
            code = ExitCode::Failed;
            continue;
        };
        let names = found.repo_tags.iter().chain(&found.repo_digests).chain([&found.id]);
        if names.clone().any(|name| used.contains(name)) {
            writeln!(
                output.err,
                "error: a container was made from {image}; --force removes it all the same"
            )?;
            code = ExitCode::Failed;
            continue;
        }
        client.remove_image(&ImageRef::from(found.id.as_str())).await.map_err(failed)?;
        for name in names {
            writeln!(output.out, "{name} removed")?;
        }
    }
    Ok(code)
}

/// By what containers name their images.
async fn used(client: &CriClient) -> Result<BTreeSet<String>, CriError> {
    let containers = client.list_containers(&BTreeMap::new()).await?;
    let names = containers.into_iter().flat_map(|it| [Some(it.image_ref), it.image.map(|image| image.image)]);
    Ok(names.flatten().collect())
}
