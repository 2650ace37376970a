//! The names under which images are kept. containerd's CRI finds an image only by its name in full.

use super::{ArchiveError, Digest};
use crate::image::ImageName;

/// The name in full: registry, path, and a tag where there is no digest (`docker.io/library/busybox:latest` for `busybox`). With both a tag and
/// a digest the digest alone counts, as it does for containerd's CRI (`reference.ParseDockerRef`). None if it is no name.
pub fn normalized(name: &str) -> Option<String> {
    let parsed = ImageName::parse(name).ok()?;
    let digest = name.split_once('@').map(|(_, digest)| digest);
    Some(match (digest, parsed.effective_tag()) {
        (Some(digest), _) => format!("{}@{digest}", parsed.repository()),
        (None, tag) => format!("{}:{}", parsed.repository(), tag.unwrap_or("latest")),
    })
}

/// The name in full of what has this digest. containerd finds an image by its name alone: whoever names one by a digest must find no other.
pub(super) fn named(name: &str, stands_for: Digest) -> Result<String, ArchiveError> {
    let full = normalized(name).ok_or_else(|| ArchiveError::Name(name.to_owned()))?;
    match full.split_once('@') {
        Some((_, digest)) if digest.parse() != Ok(stands_for) => {
            Err(ArchiveError::ForeignDigest { name: full, found: stands_for })
        }
        _ => Ok(full),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_full() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (name, full) in [
            ("busybox", Some("docker.io/library/busybox:latest")),
            ("busybox:1", Some("docker.io/library/busybox:1")),
            ("a/b:1", Some("docker.io/a/b:1")),
            ("registry.example:5000/a", Some("registry.example:5000/a:latest")),
            ("localhost/a:2", Some("localhost/a:2")),
            (&format!("busybox:1@{digest}"), Some(&*format!("docker.io/library/busybox@{digest}"))),
            ("Not a name", None),
        ] {
            assert_eq!(normalized(name).as_deref(), full, "{name}");
        }
    }
}
