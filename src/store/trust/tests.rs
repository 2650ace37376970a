use std::collections::BTreeMap;

use proptest::prelude::*;

use super::list::{ListError, parse};
use super::rule::judge;
use super::*;
use crate::archive::Digest;

fn digests(files: &[(&str, &str)]) -> Digests {
    files.iter().map(|(path, content)| ((*path).to_owned(), Digest::of(content.as_bytes()))).collect()
}

/// A store, and what is said of it. Contents stand for their digests.
#[derive(Default)]
struct Case {
    there: BTreeMap<String, Found>,
    also_named: BTreeMap<String, String>,
    list: Option<SignedList>,
    newest: Option<u64>,
    older_is_meant: bool,
    bundles: Vec<Digests>,
}

impl Case {
    fn there(files: &[(&str, &str)]) -> Self {
        let found = |(path, digest)| (path, Found::Read(digest));
        Case { there: digests(files).into_iter().map(found).collect(), ..Case::default() }
    }

    fn listed(self, files: &[(&str, &str)]) -> Self {
        self.listed_at(100, files)
    }

    fn listed_at(self, at: u64, files: &[(&str, &str)]) -> Self {
        Case { list: Some(SignedList { digests: digests(files), at }), ..self }
    }

    fn bundled(mut self, files: &[(&str, &str)]) -> Self {
        self.bundles.push(digests(files));
        self
    }

    fn judged(&self) -> Result<Grounds, Vec<Finding>> {
        judge(&Evidence {
            manifests: &self.there,
            also_named: &self.also_named,
            list: self.list.as_ref().ok_or("there is none"),
            newest: self.newest,
            older_is_meant: self.older_is_meant,
            bundles: &self.bundles.iter().collect::<Vec<_>>(),
        })
    }

    /// Each file that is at fault, with the beginning of what is said of it.
    #[track_caller]
    fn refused(&self, expected: &[(&str, &str)]) {
        let findings = self.judged().expect_err("it is trusted");
        let said: Vec<String> = findings.iter().map(|it| format!("{}: {}", it.path, it.fault)).collect();
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for ((path, fault), said) in expected.iter().zip(&said) {
            assert!(said.starts_with(&format!("{path}: {fault}")), "{said} and not {path}: {fault}");
        }
    }

    #[track_caller]
    fn trusted(&self, signed: Option<u64>) {
        assert_eq!(self.judged(), Ok(Grounds { signed }));
    }
}

#[test]
fn a_store_is_trusted_when_it_is_exactly_what_is_listed() {
    let files = [("a.yaml", "a"), ("sub/b.yaml", "b")];
    Case::there(&files).listed(&files).trusted(Some(100));
    Case::there(&[]).listed(&[]).trusted(Some(100));
}

#[test]
fn each_file_is_named_with_what_is_wrong_with_it_in_one_go() {
    let mut case = Case::there(&[("a.yaml", "A"), ("b.yaml", "b"), ("extra.yaml", "x")]).listed(&[
        ("a.yaml", "a"),
        ("b.yaml", "b"),
        ("c/gone.yaml", "c"),
        ("half.yaml", "h"),
        ("locked.yaml", "l"),
    ]);
    case.there.insert("half.yaml".into(), Found::Unfinished);
    case.there.insert("locked.yaml".into(), Found::Unreadable("no permission".into()));
    case.refused(&[
        ("a.yaml", "is not what SHA256SUMS says"),
        ("c/gone.yaml", "is in SHA256SUMS and not in the store"),
        ("extra.yaml", "is not in SHA256SUMS"),
        ("half.yaml", "is being written"),
        ("locked.yaml", "can't be compared: no permission"),
    ]);
}

#[test]
fn without_a_list_or_a_bundle_nothing_is_trusted_not_even_nothing() {
    Case::there(&[("a.yaml", "a")]).refused(&[("SHA256SUMS", "there is none")]);
    Case::there(&[]).refused(&[("SHA256SUMS", "there is none")]);
    Case { older_is_meant: true, ..Case::there(&[]) }.refused(&[("SHA256SUMS", "there is none")]);
}

#[test]
fn who_deletes_the_list_with_its_manifests_deletes_nothing() {
    let case =
        Case { newest: Some(100), ..Case::there(&[("bundle/b.yaml", "b")]) }.bundled(&[("b.yaml", "b")]);
    case.refused(&[("SHA256SUMS", "there is none")]);
    Case { older_is_meant: true, ..case }.trusted(None);
    let both = Case::there(&[("a.yaml", "a")]).listed(&[("a.yaml", "a")]).bundled(&[("b.yaml", "b")]);
    both.refused(&[("bundle/b.yaml", "the bundle has put it there and it is gone")]);
}

#[test]
fn an_older_list_is_refused_until_it_is_said_to_be_meant() {
    let files = [("a.yaml", "a")];
    let case = Case { newest: Some(101), ..Case::there(&files) }.listed_at(100, &files);
    case.refused(&[("SHA256SUMS", "it was signed at 1970-01-01T00:01:40Z, before the one")]);
    Case { older_is_meant: true, ..case }.trusted(Some(100));
    Case { newest: Some(100), ..Case::there(&files) }.listed_at(100, &files).trusted(Some(100));
    // One without a time is older than any that has one, and as new as another without.
    let untimed = Case { newest: Some(1), ..Case::there(&files) }.listed_at(0, &files);
    untimed.refused(&[("SHA256SUMS", "it was signed at no known time")]);
    Case { newest: Some(0), ..Case::there(&files) }.listed_at(0, &files).trusted(Some(0));
}

#[test]
fn a_bundles_directory_is_as_the_bundle_has_left_it_and_alone_needs_no_list() {
    let there = [("bundle/a.yaml", "a"), ("bundle/sub/b.yaml", "b")];
    let bundle = [("a.yaml", "a"), ("sub/b.yaml", "b")];
    Case::there(&there).bundled(&bundle).trusted(None);
    // While one takes the place of another, either may be there, but not some of each.
    Case::there(&there).bundled(&[("old.yaml", "o")]).bundled(&bundle).trusted(None);
    Case::there(&there)
        .bundled(&[("a.yaml", "a")])
        .bundled(&[("sub/b.yaml", "b")])
        .refused(&[("bundle/sub/b.yaml", "no bundle has put it there")]);
    Case::there(&[("bundle/a.yaml", "A"), ("bundle/x.yaml", "x")]).bundled(&bundle).refused(&[
        ("bundle/a.yaml", "is not what the bundle has put there: apply the bundle again"),
        ("bundle/sub/b.yaml", "the bundle has put it there and it is gone"),
        ("bundle/x.yaml", "no bundle has put it there: remove it"),
    ]);
    // No bundle is on record: a directory of that name is as any other.
    Case::there(&there).refused(&[("SHA256SUMS", "there is none")]);
    Case::there(&there).listed(&[("bundle/a.yaml", "a"), ("bundle/sub/b.yaml", "b")]).trusted(Some(100));
    Case::there(&[("bundles/a.yaml", "a")])
        .bundled(&[])
        .refused(&[("SHA256SUMS", "there is none"), ("bundles/a.yaml", "is not in SHA256SUMS")]);
}

#[test]
fn a_list_and_a_bundle_vouch_side_by_side() {
    let there = [("a.yaml", "a"), ("bundle/b.yaml", "b")];
    let case = || Case::there(&there).bundled(&[("b.yaml", "b")]);
    case().listed(&[("a.yaml", "a")]).trusted(Some(100));
    // The list was made when the bundle before was there.
    case().listed(&[("a.yaml", "a"), ("bundle/b.yaml", "before")]).trusted(Some(100));
    case().refused(&[("SHA256SUMS", "there is none"), ("a.yaml", "is not in SHA256SUMS")]);
    // What a list says of the directory, it may say instead of the bundle.
    Case::there(&there)
        .bundled(&[("b.yaml", "other")])
        .listed(&[("a.yaml", "a"), ("bundle/b.yaml", "b")])
        .trusted(Some(100));
}

#[test]
fn a_link_to_a_manifest_may_be_listed_under_both_names_and_not_as_something_else() {
    let case = |digest_of_link: &'static str| Case {
        also_named: BTreeMap::from([("link.yaml".into(), "a.yaml".into())]),
        ..Case::there(&[("a.yaml", "a")]).listed(&[("a.yaml", "a"), ("link.yaml", digest_of_link)])
    };
    case("a").trusted(Some(100));
    case("was a file of its own").refused(&[("link.yaml", "is not what SHA256SUMS says")]);
}

proptest! {
    /// Whatever is changed in a store that is trusted, it is refused, and the file is named.
    #[test]
    fn any_change_of_any_file_is_seen_and_named(
        files in prop::collection::btree_map("(bundle/)?[a-c]{1,2}(/[a-c])?\\.yaml", "[xy]{0,3}", 1..8),
        at in any::<prop::sample::Index>(),
        change in 0..3,
        by_bundle in any::<bool>(),
    ) {
        let plain: Vec<(&str, &str)> = files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
        let is_bundles = |path: &str| by_bundle && path.starts_with("bundle/");
        let listed: Vec<_> = plain.iter().copied().filter(|(path, _)| !is_bundles(path)).collect();
        let bundled: Vec<_> = plain.iter().filter(|(path, _)| is_bundles(path)).map(|(path, content)| (&path["bundle/".len()..], *content)).collect();
        let mut case = Case::there(&plain).listed(&listed);
        if by_bundle {
            case = case.bundled(&bundled);
        }
        prop_assert_eq!(case.judged(), Ok(Grounds { signed: Some(100) }));
        let path = plain[at.index(plain.len())].0.to_owned();
        let path = match change {
            0 => { case.there.remove(&path); path }
            1 => { case.there.insert(path.clone(), Found::Read(Digest::of(b"something else"))); path }
            _ => { let extra = format!("{path}.json"); case.there.insert(extra.clone(), Found::Read(Digest::of(b"x"))); extra }
        };
        let findings = case.judged().unwrap_err();
        prop_assert_eq!(findings.into_iter().map(|it| it.path).collect::<Vec<_>>(), vec![path]);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_list_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }
}

const DIGITS: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

#[test]
fn a_list_is_read_as_sha256sum_writes_it() {
    let text = format!(
        "{DIGITS}  ./a.yaml\n{DIGITS} *sub//b.json\n\n{}  c c.yml\n\\{DIGITS}  with\\\\slash\\nline.yaml\n{DIGITS}  README\n{DIGITS}  ./.github/x.yaml\n{DIGITS}  SHA256SUMS\n{DIGITS}  ./a.yaml\n",
        DIGITS.to_uppercase(),
    );
    let read = parse(text.as_bytes()).unwrap();
    assert_eq!(
        read.keys().collect::<Vec<_>>(),
        ["a.yaml", "c c.yml", "sub/b.json", "with\\slash\nline.yaml"]
    );
    assert!(read.values().all(|digest| *digest == Digest::of(b"a")));
    assert_eq!(parse(b""), Ok(Digests::new()));
}

#[test]
fn a_list_that_is_not_understood_whole_is_not_used_at_all() {
    let line = |text: &str| parse(format!("{DIGITS}  a.yaml\n{text}\n").as_bytes()).unwrap_err();
    for text in [
        "hello",
        &format!("{DIGITS} a.yaml"),
        &format!("{}  b.yaml", &DIGITS[1..]),
        &format!("g{}  b.yaml", &DIGITS[1..]),
        &format!("\\{DIGITS}  b\\x.yaml"),
        &format!("{DIGITS}  "),
        &format!("SHA256 (b.yaml) = {DIGITS}"),
    ] {
        assert_eq!(line(text), ListError::Line(2), "{text}");
    }
    for path in ["/etc/b.yaml", "../b.yaml", "x/../../b.yaml", "."] {
        assert_eq!(
            line(&format!("{DIGITS}  {path}")),
            ListError::Outside { line: 2, path: path.to_owned() },
            "{path}"
        );
    }
    assert_eq!(line(&format!("{}  a.yaml", DIGITS.replace('c', "d"))), ListError::Twice("a.yaml".into()));
    assert_eq!(parse(b"\xff"), Err(ListError::Encoding));
}
