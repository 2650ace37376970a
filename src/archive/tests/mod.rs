mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use self::fixture::{Files, amd64, layer, layered, platform_image, saved};
use super::*;

fn read(archive: &[u8]) -> Result<Contents, ArchiveError> {
    survey(archive, &amd64())
}

use super::read::Contents;

fn refused(files: &Files) -> String {
    crate::error_chain::error_chain(&read(&files.tar()).unwrap_err())
}

#[test]
fn an_oci_layout_gives_its_images_with_all_that_they_need() {
    let mut files = Files::default();
    let manifest = platform_image(&mut files, &amd64(), b"one");
    files.index(&[(&manifest, Some("busybox:1"))]);
    let contents = read(&files.tar()).unwrap();
    let [image] = contents.images.as_slice() else { panic!("{contents:?}") };
    let digest = format!("docker.io/library/busybox@{}", manifest.digest);
    assert_eq!(image.names, ["docker.io/library/busybox:1".to_owned(), digest]);
    assert_eq!(image.target.digest, manifest.digest);
    let kinds: Vec<&str> = image.blobs.iter().map(|blob| blob.descriptor.media_type.as_str()).collect();
    assert_eq!(kinds, [media_type::OCI_LAYER, media_type::OCI_CONFIG, media_type::OCI_MANIFEST]);
    assert_eq!(image.blobs[2].children.len(), 2);
    assert_eq!(image.id, image.blobs[1].descriptor.digest);
}

#[test]
fn of_an_index_the_nodes_platform_is_taken_and_the_index_stays_as_it_is() {
    let mut files = Files::default();
    let arm = platform_image(&mut files, &Platform::new("linux", "arm64"), b"arm");
    let amd = platform_image(&mut files, &amd64(), b"amd");
    let index = files.nested_index(&[&arm, &amd]);
    files.index(&[(&index, Some("r.example/a:2"))]);
    // What the other platforms need may be missing, as it is in what one node was given.
    files.remove(&arm);
    let contents = read(&files.tar()).unwrap();
    let [image] = contents.images.as_slice() else { panic!("{contents:?}") };
    assert_eq!(image.target.digest, index.digest);
    let last: Vec<_> = image.blobs.iter().rev().take(2).map(|blob| blob.descriptor.digest).collect();
    assert_eq!(last, [index.digest, amd.digest]);
    assert_eq!(
        image.blobs.last().unwrap().children.iter().map(|it| it.digest).collect::<Vec<_>>(),
        [amd.digest]
    );
    assert!(!image.blobs.iter().any(|blob| blob.descriptor.digest == arm.digest));
}

#[test]
fn what_is_for_other_platforms_is_left_out_and_refused_if_nothing_is_left() {
    let mut files = Files::default();
    let arm = platform_image(&mut files, &Platform::new("linux", "arm64"), b"arm");
    let plain = Descriptor::new(&arm.media_type, arm.digest, arm.size);
    files.index(&[(&plain, Some("a:1"))]);
    assert_eq!(
        refused(&files),
        "it has nothing for linux/amd64, but for docker.io/library/a:1 is for linux/arm64"
    );
    let amd = platform_image(&mut files, &amd64(), b"amd");
    files.index(&[(&plain, Some("a:1")), (&amd, Some("b:1"))]);
    let contents = read(&files.tar()).unwrap();
    assert_eq!(contents.images.len(), 1);
    assert_eq!(contents.left_out, ["docker.io/library/a:1 is for linux/arm64"]);
}

#[test]
fn one_image_may_have_many_names_but_one_name_has_one_image() {
    let mut files = Files::default();
    let one = platform_image(&mut files, &amd64(), b"one");
    files.index(&[(&one, Some("a:1")), (&one, Some("a:2"))]);
    let names = read(&files.tar()).unwrap().images.remove(0).names;
    assert_eq!(names[..2], ["docker.io/library/a:1", "docker.io/library/a:2"]);
    assert_eq!(names.len(), 3, "and the digest");
    let other = platform_image(&mut files, &amd64(), b"other");
    files.index(&[(&one, Some("a:1")), (&other, Some("a:1"))]);
    assert_eq!(refused(&files), "docker.io/library/a:1 stands for more than one image");
    files.index(&[(&one, None)]);
    assert!(refused(&files).contains("has no name that a pod could use"));
}

#[test]
fn what_docker_save_writes_gives_every_image_with_all_its_tags() {
    let mut files = Files::default();
    let first = saved(&mut files, "first", &["a", "a:2"], &[b"base", b"top"]);
    let second = saved(&mut files, "second", &["b:1"], &[b"base"]);
    files.put(MANIFEST, json!([first, second]).to_string());
    let images = read(&files.tar()).unwrap().images;
    assert_eq!(images[0].names, ["docker.io/library/a:2", "docker.io/library/a:latest"]);
    assert_eq!(images[1].names, ["docker.io/library/b:1"]);
    let manifest = images[0].blobs.last().unwrap();
    assert_eq!(manifest.descriptor, images[0].target);
    let Source::Bytes(bytes) = &manifest.source else { panic!("{manifest:?}") };
    assert_eq!(Digest::of(bytes), manifest.descriptor.digest);
    assert_eq!(manifest.children.len(), 3);
    assert_eq!(read(&files.tar()).unwrap().images, images, "the same every time");
}

const MANIFEST: &str = "manifest.json";

#[test]
fn a_layer_may_be_a_link_to_another_images_and_may_be_compressed() {
    let mut files = Files::default();
    let mut image = saved(&mut files, "first", &["a"], &[b"base"]);
    let mut compressed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    compressed.write_all(&layer(b"base")).unwrap();
    files.put("store/layer.tar.gz", compressed.finish().unwrap());
    files.link("x/layer.tar", "../store/layer.tar.gz");
    image["Layers"] = json!(["x/layer.tar"]);
    files.put(MANIFEST, json!([image]).to_string());
    let images = read(&files.tar()).unwrap().images;
    assert_eq!(images[0].blobs[0].descriptor.media_type, media_type::DOCKER_LAYER_GZIP);
    assert_eq!(images[0].blobs[0].source, Source::Entry("store/layer.tar.gz".into()));
}

#[test]
fn whatever_is_not_as_it_should_be_is_refused_with_the_reason() {
    let good = || {
        let mut files = Files::default();
        let manifest = platform_image(&mut files, &amd64(), b"one");
        files.index(&[(&manifest, Some("a:1"))]);
        files
    };
    let docker = |change: &dyn Fn(&mut Value)| {
        let mut files = Files::default();
        let mut image = saved(&mut files, "first", &["a"], &[b"base"]);
        change(&mut image);
        files.put(MANIFEST, json!([image]).to_string());
        files
    };
    // Of what everybody trusts.
    let digest = format!("sha256:{}", "5".repeat(64));
    let foreign = |name: &str| format!("{name}@{digest}");
    let foreign_name = format!(
        "the name docker.io/library/a@{digest} has another digest than what it stands for, which is sha256:"
    );
    let named = |name: &str| {
        let mut files = Files::default();
        let manifest = platform_image(&mut files, &amd64(), b"one");
        files.index(&[(&manifest, Some(name))]);
        files
    };
    let rows: Vec<(Files, &str)> = vec![
        (Files::default(), "neither an OCI layout nor what docker save writes"),
        (good().with("index.json", "{"), "index.json is no index: EOF"),
        (good().with("index.json", "hello"), "index.json is no JSON, or too large: it should be the index"),
        (good().with("index.json", r#"{"schemaVersion":2,"manifests":[]}"#), "it holds no image"),
        (good().damaged(), "is not what its name says, but sha256:"),
        (good().without_layers(), "layer sha256:"),
        (good().resized(), "has 2048 bytes rather than"),
        (docker(&|it| it["Config"] = json!("nowhere.json")), "configuration nowhere.json is not in it"),
        (docker(&|it| it["Layers"] = json!([])), "has 1 layers, and 0 are there"),
        (docker(&|it| it["Layers"] = json!(["manifest.json"])), "is not the one that the configuration"),
        (docker(&|it| it["RepoTags"] = json!(["Not A Name"])), "\"Not A Name\" is no name of an image"),
        (docker(&|it| it["RepoTags"] = Value::Null), "has no name that a pod could use"),
        (docker(&|it| it["RepoTags"] = json!([foreign("a:1")])), &foreign_name),
        (named(&foreign("a")), &foreign_name),
        (named(&foreign("a:1")), &foreign_name),
        (named(&format!("a@sha512:{}", "0".repeat(128))), "has another digest than what it stands for"),
        (
            docker(&|it| it["Config"] = json!("../../etc/passwd")),
            "configuration ../../etc/passwd is not in it",
        ),
    ];
    for (files, reason) in rows {
        let said = refused(&files);
        assert!(said.contains(reason), "{said}, not {reason}");
    }
}

#[test]
fn an_image_may_be_named_by_its_own_digest() {
    let mut files = Files::default();
    let manifest = platform_image(&mut files, &amd64(), b"one");
    let index = files.nested_index(&[&manifest]);
    files.index(&[(&index, Some(&format!("a:1@{}", index.digest)))]);
    let names = read(&files.tar()).unwrap().images.remove(0).names;
    assert_eq!(names, [format!("docker.io/library/a@{}", index.digest)]);
    // The name stands for the index, not for what is in it.
    files.index(&[(&index, Some(&format!("a@{}", manifest.digest)))]);
    assert!(refused(&files).contains("has another digest than what it stands for"));
}

#[test]
fn what_names_itself_again_and_again_is_followed_to_a_bound() {
    let mut files = Files::default();
    let mut one = platform_image(&mut files, &amd64(), b"one");
    one.platform = Some(Platform::new("linux", "s390x"));
    for _ in 0..4 {
        one = files.nested_index(&vec![&one; 40]);
    }
    files.index(&vec![(&one, Some("a:1")); 40]);
    let archive = files.tar();
    assert!(archive.len() < 64 * 1024, "{}", archive.len());
    assert_eq!(refused(&files), "its indexes and manifests lead to more than 50000 descriptors");

    // Many images that share a manifest of very many layers.
    let mut files = Files::default();
    let (shared, all) = layered(&mut files, 5_000);
    files.index(&all.iter().map(|(name, index)| (index, Some(name.as_str()))).collect::<Vec<_>>());
    assert_eq!(refused(&files), "its indexes and manifests lead to more than 50000 descriptors");
    files.index(&[(&shared, Some("a:1"))]);
    assert_eq!(read(&files.tar()).unwrap().images[0].blobs.len(), 3);

    // And one whose few manifests are large, and read often.
    let mut files = Files::default();
    let large = files
        .blob(media_type::OCI_INDEX, format!("{{\"schemaVersion\":2}}{}", " ".repeat(3 << 20)).as_bytes());
    files.index(&vec![(&large, Some("a:1")); 40]);
    assert!(refused(&files).contains("are larger than 67108864 bytes"), "{}", refused(&files));

    let mut files = Files::default();
    let mut image = saved(&mut files, "first", &["a"], &[b"base"]);
    image["Layers"] = json!(vec!["first/0/layer.tar"; 50_000]);
    files.put(MANIFEST, json!([image]).to_string());
    assert_eq!(refused(&files), "its indexes and manifests lead to more than 50000 descriptors");
}

#[test]
fn of_many_other_platforms_some_are_told() {
    let mut files = Files::default();
    let image = platform_image(&mut files, &amd64(), b"one");
    let others = (0..1000).map(|number| {
        let mut other = image.clone();
        other.platform = Some(Platform::new("linux", &format!("p{number}")));
        other
    });
    let others: Vec<Descriptor> = others.collect();
    let index = files.nested_index(&others.iter().collect::<Vec<_>>());
    files.index(&[(&index, Some("a:1"))]);
    let said = refused(&files);
    assert!(said.contains("linux/p0, linux/p1") && said.len() < 500, "{said}");
}

#[test]
fn names_of_files_are_held_to_a_bound() {
    let mut tar = TarWriter::new(Vec::new());
    let long = "n".repeat(60_000);
    let mut archive = Vec::new();
    for number in 0..600 {
        let name = format!("{long}{number}");
        tar.long_name(&name).unwrap();
        tar.file("x", 0, 0o644, std::io::empty()).unwrap();
    }
    archive.extend(tar.finish().unwrap());
    let error = read(&archive).unwrap_err().to_string();
    assert_eq!(error, "its JSON parts and the names of its files are larger than 33554432 bytes");
}

#[test]
fn compressed_archives_read_as_plain_ones_and_cut_ones_not_at_all() {
    let mut files = Files::default();
    let manifest = platform_image(&mut files, &amd64(), &vec![7; 300_000]);
    files.index(&[(&manifest, Some("a:1"))]);
    let plain = files.tar();
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd =
        |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let (front, back) = plain.split_at(plain.len() / 2);
    // As parallel compressors write it: several frames, with one to be skipped between.
    let skipped = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let frames = [zstd(front), skipped.to_vec(), zstd(back)].concat();
    let expected = read(&plain).unwrap();
    for (what, archive) in [("gzip", gzip), ("zstd", zstd(&plain)), ("several frames", frames)] {
        assert_eq!(read(&archive).unwrap(), expected, "{what}");
        for part in 1..10 {
            assert!(read(&archive[..archive.len() * part / 10]).is_err(), "{part} tenths of {what}");
        }
    }
}

#[test]
fn what_is_wanted_is_handed_over_whole_and_once() {
    let mut files = Files::default();
    let manifest = platform_image(&mut files, &amd64(), b"one");
    files.index(&[(&manifest, Some("a:1"))]);
    let image = read(&files.tar()).unwrap().images.remove(0);
    let wanted: BTreeSet<String> = (image.blobs.iter())
        .filter_map(|blob| match &blob.source {
            Source::Entry(path) => Some(path.clone()),
            Source::Bytes(_) => None,
        })
        .collect();
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut now = String::new();
    stream(files.tar().as_slice(), wanted.clone(), |piece| {
        match piece {
            Piece::Begin { path } => path.clone_into(&mut now),
            Piece::Data(bytes) => found.entry(now.clone()).or_default().extend_from_slice(bytes),
            Piece::End => {}
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    for (path, bytes) in &found {
        assert!(path.ends_with(&Digest::of(bytes).digits()), "{path}");
    }
    let missing = [wanted, ["nowhere".to_owned()].into()].concat_sets();
    let error = stream(files.tar().as_slice(), missing, |_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "file nowhere is not in it");
}

trait ConcatSets {
    fn concat_sets(self) -> BTreeSet<String>;
}

impl ConcatSets for [BTreeSet<String>; 2] {
    fn concat_sets(self) -> BTreeSet<String> {
        self.into_iter().flatten().collect()
    }
}
