//! Which names are manifests' names.
//!
//! Pure. An allow list of extensions, for a kubelet that reads `x.yaml.backup` runs yesterday's pod (kubernetes#136962).

/// What a name says about an entry of the store, before anything else is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// It may be a manifest, or a directory of manifests.
    Manifest,
    /// It may be a directory of manifests; as a file it is none, for this reason.
    NoManifest(&'static str),
    /// It is neither, for this reason.
    Ignored(&'static str),
    /// It is the inner works of a ConfigMap-like volume, reached through the links beside it and not worth a word.
    Hidden,
}

/// Judges a name.
pub(super) fn judge(name: &str) -> Name {
    if name.starts_with("..") {
        return Name::Hidden;
    }
    if name.starts_with('.') {
        let swap = [".swp", ".swo", ".swx"].iter().any(|extension| name.ends_with(extension));
        return Name::Ignored(if swap { "an editor's swap file" } else { "its name begins with a dot" });
    }
    if name.ends_with('~') || (name.len() > 1 && name.starts_with('#') && name.ends_with('#')) {
        return Name::NoManifest("an editor's back-up file");
    }
    if name == "4913" {
        return Name::NoManifest("an editor's test file");
    }
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("yaml" | "yml" | "json") => Name::Manifest,
        Some("swp" | "swo" | "swx") => Name::NoManifest("an editor's swap file"),
        Some("backup" | "bak" | "orig" | "old" | "save" | "rej") => Name::NoManifest("a back-up file"),
        Some("tmp" | "temp" | "part" | "partial" | "filepart" | "crdownload") => {
            Name::NoManifest("a temporary file")
        }
        _ => Name::NoManifest("its name ends in none of .yaml, .yml and .json"),
    }
}

/// Whether a file of this path below the store's root may be a manifest.
pub(crate) fn is_manifest_path(path: &str) -> bool {
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
    let may_lead = |part: &str| !matches!(judge(part), Name::Ignored(_) | Name::Hidden);
    judge(name) == Name::Manifest && (directories.is_empty() || directories.split('/').all(may_lead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_manifests_names_are_manifests() {
        for name in ["a.yaml", "b.yml", "c.json", "a.b.yaml", "x y.json", "#a.yaml"] {
            assert_eq!(judge(name), Name::Manifest, "{name}");
        }
        for name in [
            "x.yaml.backup",
            "x.yaml.bak",
            "x.yaml~",
            "x.yaml.swp",
            "#x.yaml#",
            "4913",
            "README",
            "x.YAML",
            "yaml",
            "x.yaml.tmp",
            "x.toml",
            "#",
            "x.yaml ",
        ] {
            assert!(matches!(judge(name), Name::NoManifest(_)), "{name}");
        }
        for name in [".x.yaml", ".x.yaml.swp", ".git", ".yaml"] {
            assert!(matches!(judge(name), Name::Ignored(_)), "{name}");
        }
        for name in ["..data", "..2024_01_02_03_04_05.123", "..x.yaml"] {
            assert_eq!(judge(name), Name::Hidden, "{name}");
        }
    }

    #[test]
    fn a_path_is_a_manifests_if_the_walk_would_come_to_it() {
        for (path, is_one) in [
            ("a.yaml", true),
            ("x.old/a.yaml", true),
            (".git/a.yaml", false),
            ("x/..data/a.yaml", false),
            ("x/a.txt", false),
            ("x/.a.yaml", false),
        ] {
            assert_eq!(is_manifest_path(path), is_one, "{path}");
        }
    }
}
