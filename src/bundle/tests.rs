use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Cursor};
use std::path::Path;

use minisign::KeyPair;
use proptest::prelude::*;

use super::install::{Staged, put_away, roll_back};
use super::signature::{SignatureError, Trust, beside};
use super::state::{Applied, Replay, State};
use super::*;
use crate::archive::{Manifest, media_type};
use crate::error_chain::error_chain;

fn manifests() -> BTreeMap<String, Vec<u8>> {
    [("a.yaml", "kind: A"), ("sub/b.yaml", "kind: B"), ("sub/same.yml", "kind: A")]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into()
}

fn site() -> Site {
    Site { serial: 7, platforms: vec![Platform::new("linux", "amd64")] }
}

/// A bundle with an image of one layer.
fn bundle() -> Vec<u8> {
    let layer = b"no real layer".to_vec();
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(&layer)
    );
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: String::new(),
        config: Descriptor::of(media_type::OCI_CONFIG, config.as_bytes()),
        layers: vec![Descriptor::of(media_type::OCI_LAYER, &layer)],
        annotations: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let name = "docker.io/library/a:1".to_owned();
    let images = [(name, Descriptor::of(media_type::OCI_MANIFEST, &manifest))].into();
    let mut writer = Writer::begin(Vec::new(), &site(), &manifests(), &images).unwrap();
    writer.blob(&manifest).unwrap();
    writer.blob(config.as_bytes()).unwrap();
    writer.begin_blob(Digest::of(&layer), layer.len() as u64).unwrap();
    layer.chunks(5).for_each(|piece| writer.piece(piece).unwrap());
    writer.end_blob(layer.len() as u64).unwrap();
    writer.finish().unwrap().1
}

fn read(bytes: &[u8]) -> Result<Bundle, BundleError> {
    Bundle::read(bytes, bytes.len() as u64, |_| {})
}

#[test]
fn a_bundle_reads_as_it_was_written_and_is_an_image_archive() {
    let bytes = bundle();
    assert_eq!(bundle(), bytes, "the same every time");
    let found = read(&bytes).unwrap();
    assert_eq!(found.site, site());
    assert_eq!(found.images, ["docker.io/library/a:1".to_owned()].into());
    assert_eq!(found.read_manifests(BufReader::new(Cursor::new(&bytes))).unwrap(), manifests());
    let contents = found.contents(&Platform::new("linux", "amd64")).unwrap();
    assert_eq!(contents.images.len(), 1);
    let plain = crate::archive::survey(bytes.as_slice(), &Platform::new("linux", "amd64")).unwrap();
    assert_eq!(plain, contents, "any reader of OCI layouts finds the same");
    let arm = found.contents(&Platform::new("linux", "arm64")).unwrap_err();
    assert!(error_chain(&arm).contains("nothing for linux/arm64"), "{}", error_chain(&arm));
}

#[test]
fn a_bundle_without_images_is_one() {
    let writer = Writer::begin(Vec::new(), &site(), &manifests(), &BTreeMap::new()).unwrap();
    let (digest, bytes) = writer.finish().unwrap();
    let found = read(&bytes).unwrap();
    assert_eq!(found.digest, digest);
    assert!(found.contents(&Platform::of_this_node()).unwrap().images.is_empty());
}

#[test]
fn manifests_are_held_to_a_bound_however_little_room_they_take() {
    let one = vec![b' '; 1 << 20];
    let manifests: BTreeMap<_, _> = (0..32).map(|number| (format!("{number}.yaml"), one.clone())).collect();
    let (_, bytes) =
        Writer::begin(Vec::new(), &site(), &manifests, &BTreeMap::new()).unwrap().finish().unwrap();
    assert!(bytes.len() < 2 << 20, "each is in it once");
    assert_eq!(read(&bytes).unwrap().manifests.len(), 32);

    // What no writer of ours makes: the site names one more.
    let entries = [("more.yaml".to_owned(), b" ".to_vec())].into_iter().chain(manifests).collect();
    let refused = Writer::begin(Vec::new(), &site(), &entries, &BTreeMap::new()).err().unwrap();
    assert_eq!(refused.to_string(), "its manifests are larger than 33554432 bytes together");
    let (_, bytes) =
        Writer::unbounded(Vec::new(), &site(), &entries, &BTreeMap::new()).unwrap().finish().unwrap();
    let refused = read(&bytes).unwrap_err();
    assert_eq!(refused.to_string(), "its manifests are larger than 33554432 bytes together");
}

#[test]
fn what_leads_out_of_a_store_is_no_manifest() {
    for path in [
        "",
        "/etc/a.yaml",
        "../a.yaml",
        "a/../../b.yaml",
        ".hidden.yaml",
        "a/.b/c.yaml",
        "a.txt",
        "a//b.yaml",
    ] {
        assert!(!is_manifest_path(path), "{path}");
        let manifests = [(path.to_owned(), Vec::new())].into();
        assert!(Writer::begin(Vec::new(), &site(), &manifests, &BTreeMap::new()).is_err(), "{path}");
    }
    assert!(is_manifest_path("a b/c.d/e.json"));
}

proptest! {
    #[test]
    fn any_byte_that_is_changed_is_seen(at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let mut bytes = bundle();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(read(&bytes).is_err(), "byte {at} of {}", bytes.len());
    }

    #[test]
    fn any_end_that_is_missing_or_added_is_seen(at in any::<prop::sample::Index>(), more in prop::collection::vec(any::<u8>(), 1..2000)) {
        let bytes = bundle();
        let cut = at.index(bytes.len());
        prop_assert!(read(&bytes[..cut]).is_err(), "{cut} of {} bytes", bytes.len());
        let longer = [bytes, more].concat();
        prop_assert!(read(&longer).is_err());
    }
}

#[test]
fn only_what_a_trusted_key_has_signed_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) =
        (KeyPair::generate_unencrypted_keypair().unwrap(), KeyPair::generate_unencrypted_keypair().unwrap());
    let trust_file = dir.path().join("trust.pub");
    // As minisign writes a key, and more than one.
    let keys = format!("{}\n# ours\n{}\n", other.pk.to_box().unwrap(), own.pk.to_base64());
    fs::write(&trust_file, keys).unwrap();
    let bytes = bundle();
    let file = dir.path().join("site.bundle");
    let verify = |trust_file: &Path, bytes: &[u8]| {
        let trust = Trust::read(trust_file)?;
        let signature = signature::read(&beside(&file))?;
        let mut verifier = trust.verifier(&signature)?;
        let _ = Bundle::read(bytes, bytes.len() as u64, |bytes| verifier.update(bytes));
        verifier.finish()
    };
    let sign = |key: &KeyPair| minisign::sign(Some(&key.pk), &key.sk, bytes.as_slice(), None, None).unwrap();

    assert!(matches!(verify(&trust_file, &bytes), Err(SignatureError::Unsigned(_))));
    fs::write(beside(&file), "hello").unwrap();
    assert!(matches!(verify(&trust_file, &bytes), Err(SignatureError::BadSignature(_))));
    fs::write(beside(&file), sign(&own).to_string()).unwrap();
    verify(&trust_file, &bytes).unwrap();
    let mut altered = bytes.clone();
    altered[600] ^= 1;
    assert!(matches!(verify(&trust_file, &altered), Err(SignatureError::Wrong)));
    let stranger = KeyPair::generate_unencrypted_keypair().unwrap();
    fs::write(beside(&file), sign(&stranger).to_string()).unwrap();
    assert!(matches!(verify(&trust_file, &bytes), Err(SignatureError::UnknownKey)));

    for (text, reason) in [("", "has no minisign key"), ("RWnonsense", "which is no minisign key")] {
        fs::write(&trust_file, text).unwrap();
        let error = verify(&trust_file, &bytes).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn an_older_bundle_is_not_taken_and_the_way_back_does_not_lower_the_number() {
    let applied = |serial, text: &[u8]| Applied {
        serial,
        digest: Digest::of(text),
        images: Vec::new(),
        manifests: BTreeMap::new(),
        verified: false,
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json");
    let mut state = State::read(&path).unwrap();
    assert_eq!(state.admits(1, Digest::of(b"1")), Ok(()));
    state.apply(applied(5, b"5"));
    state.apply(applied(7, b"7"));
    state.write(&path).unwrap();
    let mut state = State::read(&path).unwrap();
    assert_eq!(state.admits(6, Digest::of(b"6")), Err(Replay::Older { serial: 6, highest: 7 }));
    assert_eq!(state.admits(7, Digest::of(b"7")), Ok(()), "the same again");
    assert_eq!(state.admits(7, Digest::of(b"other")), Err(Replay::Other { serial: 7 }));
    assert_eq!(state.admits(8, Digest::of(b"8")), Ok(()));
    state.apply(applied(7, b"7"));
    assert_eq!(state.previous, Some(applied(5, b"5")), "the same again is no new one");
    state.apply(applied(5, b"5"));
    assert_eq!((state.current.clone(), state.highest), (Some(applied(5, b"5")), 7));
    assert!(state.admits(6, Digest::of(b"6")).is_err());
    fs::write(&path, "{").unwrap();
    assert!(State::read(&path).is_err(), "what can't be read is not forgotten");
}

#[test]
fn manifests_take_their_place_all_at_once_and_give_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    let read = |name: &str| fs::read_to_string(store.join("bundle").join(name)).ok();
    let install = |name: &str, text: &str| {
        let manifests = [(name.to_owned(), text.as_bytes().to_vec())].into();
        let staged = Staged::write(&store, &manifests).unwrap();
        assert!(
            staged.path().file_name().unwrap().to_str().unwrap().starts_with('.'),
            "the store doesn't see it"
        );
        let had_some = staged.exchange().unwrap();
        put_away(&store, had_some).unwrap();
    };
    assert!(roll_back(&store).is_err());
    install("a.yaml", "one");
    assert_eq!((read("a.yaml").as_deref(), read("b/c.yaml")), (Some("one"), None));
    assert!(roll_back(&store).is_err());
    install("b/c.yaml", "two");
    assert_eq!((read("a.yaml"), read("b/c.yaml").as_deref()), (None, Some("two")));
    roll_back(&store).unwrap();
    assert_eq!((read("a.yaml").as_deref(), read("b/c.yaml")), (Some("one"), None));
    roll_back(&store).unwrap();
    assert_eq!(read("b/c.yaml").as_deref(), Some("two"));
}

#[test]
fn what_a_newer_release_has_added_to_the_state_is_no_reason_to_forget_the_serial_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.json");
    fs::write(&path, br#"{"highest":7,"fromTheFuture":{"x":1}}"#).unwrap();
    assert_eq!(State::read(&path).unwrap().highest, 7);
}
