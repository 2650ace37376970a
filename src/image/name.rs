//! Image names: is it one, what is its tag, which registry is meant.
//!
//! The name a user wrote stays as written; only the default tag is appended, never a registry, since which registry a short
//! name means is the runtime's to say. Rules: `ParseNormalizedNamed` of `github.com/distribution/reference` and the kubelet's
//! `applyDefaultImageTag`.

use std::fmt;

const HUB: &str = "docker.io";
const LEGACY_HUB: &str = "index.docker.io";
/// The namespace of names on Docker Hub that have none.
const OFFICIAL: &str = "library/";
const LONGEST_PATH: usize = 255;

/// An image name that parses, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageName {
    written: String,
    repository: String,
    tag: Option<String>,
    has_digest: bool,
}

/// Why a string is no image name, in the words of `distribution/reference`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// The grammar does not match.
    #[error("invalid reference format")]
    Format,
    /// It would match in lower case.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// The path is too long.
    #[error("repository name must not be more than {LONGEST_PATH} characters")]
    TooLong,
    /// An image ID is no name.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    ImageId(String),
    /// A digest with an algorithm nobody knows.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// A digest of the wrong length for its algorithm.
    #[error("invalid checksum digest length")]
    DigestLength,
    /// A digest with characters that are no lower-case hexadecimal digits.
    #[error("invalid checksum digest format")]
    DigestFormat,
}

/// An image name that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name {image:?}")]
pub struct ImageNameError {
    /// The name as written.
    pub image: String,
    /// What is wrong with it.
    #[source]
    pub reason: InvalidReference,
}

impl ImageName {
    /// Parses a name as a user wrote it in a manifest.
    ///
    /// # Errors
    /// When it is no image name; the kubelet's reason is then `InvalidImageName`.
    pub fn parse(image: &str) -> Result<Self, ImageNameError> {
        parse(image).map_err(|reason| ImageNameError { image: image.to_owned(), reason })
    }

    /// The name as written.
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// The name with `:latest` appended when it has neither tag nor digest: what the runtime is asked for.
    pub fn with_default_tag(&self) -> String {
        if self.tag.is_none() && !self.has_digest {
            format!("{}:latest", self.written)
        } else {
            self.written.clone()
        }
    }

    /// Registry and path in full (`docker.io/library/busybox` for `busybox`), without tag and digest: what credentials are
    /// matched against.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag that is pulled when no digest is given: the written one, or `latest` when there is neither tag nor digest.
    pub fn effective_tag(&self) -> Option<&str> {
        match &self.tag {
            Some(tag) => Some(tag),
            None if self.has_digest => None,
            None => Some("latest"),
        }
    }

    /// Whether both mean the same content: the same digest in the same repository if either has one, the same tag else.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.repository == other.repository
            && match (self.digest(), other.digest()) {
                (None, None) => self.effective_tag() == other.effective_tag(),
                (one, other) => one == other,
            }
    }

    fn digest(&self) -> Option<&str> {
        self.written.split_once('@').map(|(_, digest)| digest).filter(|_| self.has_digest)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn parse(image: &str) -> Result<ImageName, InvalidReference> {
    if image.len() == 64 && image.bytes().all(is_lower_hex) {
        return Err(InvalidReference::ImageId(image.to_owned()));
    }
    let (domain, remainder) = split_domain(image);
    let official = if domain == HUB && !remainder.contains('/') { OFFICIAL } else { "" };
    let remote = remainder.split_once(':').map_or(remainder, |(remote, _)| remote);
    if remote.chars().any(char::is_uppercase) {
        return Err(InvalidReference::Uppercase(format!("{official}{remote}")));
    }

    let (named, digest) = match remainder.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (remainder, None),
    };
    let (path, tag) = match named.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (named, None),
    };
    let well_formed = is_domain(domain)
        && path.split('/').all(is_path_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if !well_formed {
        return Err(InvalidReference::Format);
    }

    if official.len() + path.len() > LONGEST_PATH {
        return Err(InvalidReference::TooLong);
    }
    digest.map_or(Ok(()), check_digest)?;
    Ok(ImageName {
        written: image.to_owned(),
        repository: format!("{domain}/{official}{path}"),
        tag: tag.map(str::to_owned),
        has_digest: digest.is_some(),
    })
}

/// The first part is a registry when it has a dot, a colon or a capital, or is `localhost`; else Docker Hub is meant.
fn split_domain(image: &str) -> (&str, &str) {
    match image.split_once('/') {
        Some((LEGACY_HUB, rest)) => (HUB, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (HUB, image),
    }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((address, rest)) => {
                let valid =
                    !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
                return valid && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Runs of `[a-z0-9]` joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let joined = bytes
        .split(alphanumeric)
        .filter(|run| !run.is_empty())
        .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'));
    joined && bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric)
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['+', '.', '_', '-']).all(is_part)
        && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

fn check_digest(digest: &str) -> Result<(), InvalidReference> {
    let (algorithm, hex) = digest.split_once(':').ok_or(InvalidReference::Format)?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(InvalidReference::DigestAlgorithm),
    };
    if hex.len() != length {
        return Err(InvalidReference::DigestLength);
    }
    if !hex.bytes().all(is_lower_hex) {
        return Err(InvalidReference::DigestFormat);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_default_tag_is_appended_and_nothing_else() {
        let digested = format!("busybox@{DIGEST}");
        for (written, asked, repository) in [
            ("busybox", "busybox:latest", "docker.io/library/busybox"),
            ("busybox:1.36", "busybox:1.36", "docker.io/library/busybox"),
            ("prom/node-exporter", "prom/node-exporter:latest", "docker.io/prom/node-exporter"),
            ("docker.io/busybox", "docker.io/busybox:latest", "docker.io/library/busybox"),
            ("index.docker.io/a/b", "index.docker.io/a/b:latest", "docker.io/a/b"),
            ("localhost/x", "localhost/x:latest", "localhost/x"),
            ("registry:5000/a/b:v1", "registry:5000/a/b:v1", "registry:5000/a/b"),
            ("REGISTRY/a", "REGISTRY/a:latest", "REGISTRY/a"),
            ("[fd00::1]:5000/a", "[fd00::1]:5000/a:latest", "[fd00::1]:5000/a"),
            ("a_b/c__d/e--f.g", "a_b/c__d/e--f.g:latest", "docker.io/a_b/c__d/e--f.g"),
            (&digested, &digested, "docker.io/library/busybox"),
        ] {
            let name = ImageName::parse(written).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(name.with_default_tag(), asked);
            assert_eq!(name.repository(), repository);
            assert_eq!(name.as_written(), written);
        }
    }

    #[test]
    fn what_is_no_image_name_is_refused_with_the_reason() {
        let id = "a".repeat(64);
        let long = format!("r.example/{}", "a".repeat(256));
        let long_on_hub = "a".repeat(248);
        for (written, reason) in [
            ("", InvalidReference::Format),
            ("nginx:", InvalidReference::Format),
            ("https://r.example/x:1", InvalidReference::Format),
            ("/x", InvalidReference::Format),
            ("a//b", InvalidReference::Format),
            ("a_-b", InvalidReference::Format),
            ("-a", InvalidReference::Format),
            ("a b", InvalidReference::Format),
            ("a:b:c", InvalidReference::Format),
            ("x@sha256:abc", InvalidReference::Format),
            ("r.example-/x", InvalidReference::Format),
            ("Busybox", InvalidReference::Uppercase("library/Busybox".into())),
            ("None:None", InvalidReference::Uppercase("library/None".into())),
            ("docker.io/Busybox", InvalidReference::Uppercase("library/Busybox".into())),
            ("me/Busybox", InvalidReference::Uppercase("me/Busybox".into())),
            ("r.example/Foo:1", InvalidReference::Uppercase("Foo".into())),
            (&id, InvalidReference::ImageId(id.clone())),
            (&long, InvalidReference::TooLong),
            (&long_on_hub, InvalidReference::TooLong),
            (&format!("x@md5:{}", "0".repeat(32)), InvalidReference::DigestAlgorithm),
            (&format!("x@sha256:{}", "0".repeat(63)), InvalidReference::DigestLength),
        ] {
            assert_eq!(ImageName::parse(written).map_err(|e| e.reason), Err(reason), "{written}");
        }
        // Only the path counts, without the registry and the tag.
        for longest in [format!("r.example/{}:1", "a".repeat(255)), "a".repeat(247)] {
            assert!(ImageName::parse(&longest).is_ok(), "{longest}");
        }
    }

    #[test]
    fn only_a_name_with_neither_tag_nor_digest_means_latest() {
        let tag = |image: &str| ImageName::parse(image).unwrap().effective_tag().map(str::to_owned);
        assert_eq!(tag("x"), Some("latest".into()));
        assert_eq!(tag("x:1"), Some("1".into()));
        assert_eq!(tag(&format!("x@{DIGEST}")), None);
        assert_eq!(tag(&format!("x:latest@{DIGEST}")), Some("latest".into()));
    }
}
