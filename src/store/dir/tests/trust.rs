//! A store that has to be trusted.

use std::collections::BTreeMap;
use std::path::Path;

use minisign::KeyPair;

use super::*;
use crate::archive::Digest;
use crate::bundle::changeover::Changeover;
use crate::bundle::install::Staged;
use crate::bundle::state::Applied;
use crate::store::{TrustSettings, verify};

/// A store, and who may sign its list.
struct Signed {
    bed: Bed,
    key: KeyPair,
    trust: TrustSettings,
}

impl Signed {
    fn new() -> Self {
        let mut bed = Bed::new();
        let key = KeyPair::generate_unencrypted_keypair().unwrap();
        let state = bed.directory.path().join("state");
        let trust = TrustSettings { trust_file: state.join("trust.pub"), bundles: state.join("bundle.json") };
        fs::write(&trust.trust_file, key.pk.to_box().unwrap().to_string()).unwrap();
        bed.settings.trust = Some(trust.clone());
        Self { bed, key, trust }
    }

    /// Lists what there is, and signs the list.
    fn sign(&self, at: u64) {
        self.write_list();
        self.sign_list(&self.key, at);
    }

    fn write_list(&self) {
        let mut list = String::new();
        for entry in fs::read_dir(&self.bed.root).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let digest = Digest::of(&fs::read(&path).unwrap()).digits();
                list.push_str(&format!("{digest}  ./{}\n", path.file_name().unwrap().to_str().unwrap()));
            }
        }
        fs::write(self.list(), list).unwrap();
    }

    fn sign_list(&self, key: &KeyPair, at: u64) {
        let comment = format!("timestamp:{at}\tfile:SHA256SUMS\thashed");
        let list = fs::File::open(self.list()).unwrap();
        let signature = minisign::sign(Some(&key.pk), &key.sk, list, Some(&comment), None).unwrap();
        place(&self.list().with_extension("minisig"), &signature.to_string());
    }

    fn list(&self) -> PathBuf {
        self.bed.root.join("SHA256SUMS")
    }

    async fn until_refused(&self, text: &str) -> Arc<Snapshot> {
        let has = |snapshot: &Snapshot| snapshot.refused.is_some() && says(snapshot, text);
        self.bed.until(text, has).await
    }

    async fn until_image(&self, name: &str, wanted: &str) -> Arc<Snapshot> {
        let is_so = |snapshot: &Snapshot| {
            image(snapshot, name).as_deref() == Some(wanted) && snapshot.freshness == Freshness::Current
        };
        self.bed.until(wanted, is_so).await
    }
}

fn place(path: &Path, text: &str) {
    let part = path.with_file_name(".part");
    fs::write(&part, text).unwrap();
    fs::rename(part, path).unwrap();
}

#[tokio::test]
async fn an_unsigned_store_starts_nothing_and_says_why_and_a_signed_one_is_taken() {
    let mut signed = Signed::new();
    signed.bed.write("a.yaml", &daemon_set("a", "i:1"));
    signed.bed.start();
    let refused = signed.until_refused("SHA256SUMS: there is none, and nothing else vouches").await;
    assert_eq!((names(&refused).len(), &refused.freshness), (0, &Freshness::Unknown));
    signed.write_list();
    signed.until_refused("it is not signed: there is no").await;
    signed.sign_list(&KeyPair::generate_unencrypted_keypair().unwrap(), 100);
    signed.until_refused("it is signed with a key that the trust file does not have").await;
    signed.sign(100);
    let trusted = signed.until_image("a", "i:1").await;
    assert_eq!((&trusted.refused, trusted.problems.len()), (&None, 0));
    assert_eq!(trusted.ignored, [], "the list is no stray file");
}

#[tokio::test]
async fn what_is_altered_added_or_gone_is_refused_as_a_whole_and_the_last_good_goes_on_also_after_a_restart()
{
    let mut signed = Signed::new();
    let altered = signed.bed.write("a.yaml", &daemon_set("a", "i:1"));
    let gone = signed.bed.write("b.yaml", &daemon_set("b", "i:1"));
    signed.sign(100);
    signed.bed.start();
    signed.until_image("a", "i:1").await;
    signed.bed.saved("i:1").await;

    place(&altered, &daemon_set("a", "i:evil"));
    fs::remove_file(gone).unwrap();
    signed.bed.write("extra.yaml", &daemon_set("extra", "i:evil"));
    let is_whole = |snapshot: &Snapshot| {
        ["a.yaml: is not what", "b.yaml: is in SHA256SUMS and not", "extra.yaml: is not in"]
            .iter()
            .all(|fault| says(snapshot, fault))
    };
    let untouched =
        |snapshot: &Snapshot| names(snapshot) == ["a", "b"] && image(snapshot, "a").as_deref() == Some("i:1");
    let refused = signed.bed.always(untouched, signed.bed.until("all are named", is_whole)).await;
    assert!(matches!(refused.freshness, Freshness::LastGood { .. }), "{:?}", refused.freshness);

    signed.bed.stop();
    signed.bed.start();
    let refused = signed.bed.until("all are named", is_whole).await;
    assert!(untouched(&refused) && refused.refused.is_some());

    // Signed, all of it counts.
    signed.sign(101);
    let trusted = signed.until_image("a", "i:evil").await;
    assert!(has(&trusted, "extra"));
}

#[tokio::test]
async fn keys_count_as_soon_as_they_are_written() {
    let mut signed = Signed::new();
    signed.bed.write("a.yaml", &daemon_set("a", "i:1"));
    signed.sign(100);
    signed.bed.start();
    signed.until_image("a", "i:1").await;

    let own = fs::read_to_string(&signed.trust.trust_file).unwrap();
    let other = KeyPair::generate_unencrypted_keypair().unwrap().pk.to_box().unwrap().to_string();
    fs::write(&signed.trust.trust_file, &other).unwrap();
    signed.until_refused("it is signed with a key that the trust file does not have").await;
    place(&signed.trust.trust_file, &format!("{other}\n{own}"));
    signed.until_image("a", "i:1").await;
    fs::remove_file(&signed.trust.trust_file).unwrap();
    signed.until_refused("trust.pub").await;
}

#[tokio::test]
async fn an_older_list_is_refused_also_after_a_restart_until_it_is_allowed_for_good() {
    let mut signed = Signed::new();
    let path = signed.bed.write("a.yaml", &daemon_set("a", "i:1"));
    signed.sign(200);
    signed.bed.start();
    signed.until_image("a", "i:1").await;
    signed.bed.saved("200").await;
    place(&path, &daemon_set("a", "i:old"));
    signed.sign(199);
    signed.until_refused("run `daemonlet store allow-older`").await;
    signed.bed.stop();
    signed.bed.start();
    let refused = signed.until_refused("run `daemonlet store allow-older`").await;
    assert_eq!(image(&refused, "a").as_deref(), Some("i:1"));
    let found = verify(&signed.bed.root, &signed.trust, &signed.bed.settings.state_file);
    assert!(found.problems.len() == 1 && found.problems[0].contains("it was signed at"), "{found:?}");

    signed.bed.handle.as_ref().unwrap().allow_older();
    signed.until_image("a", "i:old").await;
    signed.bed.saved("199").await;
    signed.bed.stop();
    signed.bed.start();
    signed.until_image("a", "i:old").await;
    let found = verify(&signed.bed.root, &signed.trust, &signed.bed.settings.state_file);
    assert_eq!((found.manifests, found.signed, found.problems), (1, Some(199), vec![]));
}

#[tokio::test]
async fn a_store_that_is_copied_file_by_file_is_taken_when_it_is_whole() {
    let mut signed = Signed::new();
    for name in ["a", "b", "c"] {
        signed.bed.write(&format!("{name}.yaml"), &daemon_set(name, "i:1"));
    }
    signed.sign(100);
    signed.bed.start();
    signed.until_image("a", "i:1").await;
    // The next one is made elsewhere, and comes in this order.
    let made = Signed { key: signed.key.clone(), ..Signed::new() };
    for name in ["a", "b", "d"] {
        made.bed.write(&format!("{name}.yaml"), &daemon_set(name, "i:2"));
    }
    made.sign(101);
    let all_or_nothing = |snapshot: &Snapshot| {
        let images: Vec<_> = ["a", "b"].iter().map(|name| image(snapshot, name)).collect();
        images[0] == images[1]
    };
    let copy = |name: &str| {
        place(&signed.bed.root.join(name), &fs::read_to_string(made.bed.root.join(name)).unwrap())
    };
    let copying = async {
        copy("SHA256SUMS");
        copy("a.yaml");
        signed.until_refused("SHA256SUMS: its signature does not fit").await;
        copy("SHA256SUMS.minisig");
        signed.until_refused("b.yaml: is not what SHA256SUMS says").await;
        copy("d.yaml");
        fs::remove_file(signed.bed.root.join("c.yaml")).unwrap();
        copy("b.yaml");
        signed.until_image("d", "i:2").await
    };
    let whole = signed.bed.always(all_or_nothing, copying).await;
    assert_eq!(image(&whole, "a").as_deref(), Some("i:2"));
    signed.bed.until("what is not listed is gone", |snapshot| !has(snapshot, "c")).await;
}

#[tokio::test]
async fn keys_that_cannot_be_read_trust_nobody() {
    let mut signed = Signed::new();
    signed.bed.write("a.yaml", &daemon_set("a", "i:1"));
    signed.sign(100);
    fs::remove_file(&signed.trust.trust_file).unwrap();
    signed.bed.start();
    signed.until_refused("read the trust file").await;
}

#[tokio::test]
async fn the_digest_is_that_of_the_bytes_that_were_parsed() {
    let mut signed = Signed::new();
    let path = signed.bed.write("a.yaml", &daemon_set("a", "i:1"));
    signed.sign(100);
    // Read like this, every file is exchanged for the signed one the moment after it was read.
    signed.bed.parse = |file, bytes| {
        let original = file.with_file_name(".original");
        if original.exists() {
            fs::copy(original, file).unwrap();
        }
        reading::read(file, bytes)
    };
    fs::copy(&path, signed.bed.root.join(".original")).unwrap();
    place(&path, &daemon_set("a", "i:evil"));
    signed.bed.start();
    let is_known = |snapshot: &Snapshot| image(snapshot, "a").is_some();
    let found = signed.bed.until("it is read", is_known).await;
    assert_eq!(
        image(&found, "a").as_deref(),
        Some("i:1"),
        "what was parsed before it was exchanged is not used"
    );
}

#[tokio::test]
async fn a_bundle_that_is_exchanged_is_never_refused_and_what_is_edited_afterwards_is() {
    let mut signed = Signed::new();
    let (root, record) = (signed.bed.root.clone(), signed.trust.bundles.clone());
    let apply = |serial: u64| {
        let text = daemon_set("a", &format!("i:{serial}"));
        let manifests: BTreeMap<String, Vec<u8>> = [("app/a.yaml".to_owned(), text.into_bytes())].into();
        let applied = Applied {
            serial,
            digest: Digest::of(&serial.to_le_bytes()),
            images: Vec::new(),
            manifests: manifests.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect(),
            verified: true,
        };
        let mut changeover = Changeover::begin(&root, &record).unwrap();
        let staged = Staged::write(&root, &manifests).unwrap();
        changeover.announce(applied).unwrap();
        changeover.exchange(&staged).unwrap();
        changeover
    };
    apply(1).conclude().unwrap();
    signed.bed.start();
    signed.until_image("a", "i:1").await;
    let trusted = |snapshot: &Snapshot| snapshot.refused.is_none();
    let exchanging = async {
        for serial in 2..6 {
            let changeover = apply(serial);
            if serial % 2 == 0 {
                // The agent sees it before the record says that it has come.
                signed.until_image("a", &format!("i:{serial}")).await;
            }
            changeover.conclude().unwrap();
            signed.until_image("a", &format!("i:{serial}")).await;
        }
    };
    signed.bed.always(trusted, exchanging).await;
    place(&root.join("bundle/app/a.yaml"), &daemon_set("a", "i:evil"));
    let refused = signed.until_refused("is not what the bundle has put there: apply the bundle again").await;
    assert_eq!(image(&refused, "a").as_deref(), Some("i:5"));
    apply(5).conclude().unwrap();
    signed.until_image("a", "i:5").await;
}
