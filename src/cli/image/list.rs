//! `image ls`: what the runtime has, as the CRI tells it, with what its labels pin.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{CliError, Output};
use crate::cli::progress::size;
use crate::cli::text::TabWriter;
use crate::containerd;
use crate::cri::CriClient;
use crate::cri::proto::Image;

pub(super) async fn run(client: &CriClient, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut images = client.list_images().await.map_err(|error| CliError::Failed(error.to_string()))?;
    images.sort_by(|one, other| (&one.repo_tags, &one.id).cmp(&(&other.repo_tags, &other.id)));
    // Not every runtime can say so; the CRI's own word counts, too.
    let pinned = containerd::pinned_images(client).await.unwrap_or_default();
    let pinned = pinned.into_iter().map(|image| image.name).collect();
    let table = table(&images, &pinned);
    output.out.write_all(TabWriter::for_tables().align(&table).as_bytes())?;
    Ok(())
}

fn table(images: &[Image], pinned: &BTreeSet<String>) -> String {
    let mut table = "IMAGE\tID\tSIZE\tPINNED\n".to_owned();
    for image in images {
        let names: Vec<&String> = image.repo_tags.iter().collect();
        // One that is known by its digest alone still is.
        let names = if names.is_empty() { image.repo_digests.iter().collect() } else { names };
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        let id = id.get(..12).unwrap_or(id);
        let is_pinned = image.pinned
            || pinned.contains(&image.id)
            || image.repo_tags.iter().chain(&image.repo_digests).any(|name| pinned.contains(name));
        let pin = if is_pinned { "yes" } else { "no" };
        for name in names.iter().map(|name| name.as_str()).chain(names.is_empty().then_some("<none>")) {
            // Writing to a String can't fail.
            let _ = writeln!(table, "{name}\t{id}\t{}\t{pin}", size(image.size));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_line_and_an_image_without_one_is_still_shown() {
        let image = |id: &str, tags: &[&str]| Image {
            id: format!("sha256:{id}{}", "0".repeat(60)),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            size: 2048,
            ..Image::default()
        };
        let images = [image("aaaa", &["a:1", "a:2"]), image("bbbb", &[])];
        let shown = table(&images, &["a:2".to_owned()].into());
        assert_eq!(
            shown,
            "IMAGE\tID\tSIZE\tPINNED\na:1\taaaa00000000\t2.0 KiB\tyes\na:2\taaaa00000000\t2.0 KiB\tyes\n\
             <none>\tbbbb00000000\t2.0 KiB\tno\n"
        );
    }
}
