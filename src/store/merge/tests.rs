use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;

use super::*;
use crate::manifest::{Kind, Object};

fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: Kind::ConfigMap, namespace: "default".to_owned(), name: name.to_owned() }
}

fn stored(file: &str, line: u32, name: &str, value: u8) -> Arc<Stored> {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("default".to_owned()),
        ..ObjectMeta::default()
    };
    let data = Some(BTreeMap::from([("value".to_owned(), value.to_string())]));
    let object = Object::ConfigMap(ConfigMap { metadata, data, ..ConfigMap::default() });
    Arc::new(Stored { origin: Origin { file: Arc::from(Path::new(file)), line }, object })
}

fn problem(file: &str, message: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        file: Arc::from(Path::new(file)),
        line: 0,
        field: String::new(),
        message: message.to_owned(),
        object: None,
    }
}

/// `x=1` is a good object of that value, `x!` a refused one, `?` an unidentifiable one, `#` an unreadable file, `…` a pending one.
fn state(file: &str, text: &str) -> FileState {
    let mut reading = FileReading::default();
    for (line, word) in (1..).zip(text.split_whitespace()) {
        match word {
            "#" => return FileState::Unreadable(problem(file, "unreadable")),
            "…" => return FileState::Pending,
            "?" => reading.refused_unidentified = true,
            _ => match word.split_once('=') {
                Some((name, value)) => reading.objects.push(stored(file, line, name, value.parse().unwrap())),
                None => reading.refused.push(key(word.trim_end_matches('!'))),
            },
        }
    }
    FileState::Read(Arc::new(reading))
}

fn files(texts: &[(&str, &str)]) -> Files {
    texts.iter().map(|(file, text)| (Arc::from(Path::new(file)), state(file, text))).collect()
}

/// The objects as `name=value@file`.
fn told(objects: &Objects) -> String {
    let told = |stored: &Arc<Stored>| match &stored.object {
        Object::ConfigMap(found) => {
            let value = &found.data.as_ref().unwrap()["value"];
            format!("{}={value}@{}", stored.object.key().name, stored.origin.file.display())
        }
        _ => unreachable!(),
    };
    objects.0.values().map(told).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_runs_next_follows_from_what_ran_and_what_the_files_say() {
    type Texts = &'static [(&'static str, &'static str)];
    // before; now; removals believed?; what runs next; how many conflicts are told
    let cases: &[(&str, Texts, Texts, bool, &str, usize)] = &[
        ("new objects are used", &[], &[("a", "x=1 y=2")], true, "x=1@a y=2@a", 0),
        ("changed objects are used", &[("a", "x=1")], &[("a", "x=2")], true, "x=2@a", 0),
        ("a gone object goes", &[("a", "x=1 y=1")], &[("a", "x=1")], true, "x=1@a", 0),
        ("a gone file's objects go", &[("a", "x=1"), ("b", "y=1")], &[("a", "x=1")], true, "x=1@a", 0),
        (
            "an untrusted listing removes nothing",
            &[("a", "x=1 y=1"), ("b", "z=1")],
            &[("a", "x=2")],
            false,
            "x=2@a y=1@a z=1@b",
            0,
        ),
        ("a refused object stays as it was", &[("a", "x=1 y=1")], &[("a", "x! y=2")], true, "x=1@a y=2@a", 0),
        ("a refused object that never ran is not used", &[], &[("a", "x! y=2")], true, "y=2@a", 0),
        ("beside a refused object others go", &[("a", "x=1 y=1")], &[("a", "x!")], true, "x=1@a", 0),
        (
            "an unidentifiable document keeps all of its file",
            &[("a", "x=1 y=1"), ("b", "z=1")],
            &[("a", "? y=2"), ("b", "")],
            true,
            "x=1@a y=2@a",
            0,
        ),
        ("an unreadable file keeps its objects", &[("a", "x=1")], &[("a", "#")], true, "x=1@a", 0),
        ("a pending file keeps its objects", &[("a", "x=1")], &[("a", "…")], true, "x=1@a", 0),
        ("an object moves to another file", &[("a", "x=1")], &[("a", ""), ("b", "x=2")], true, "x=2@b", 0),
        ("an object moves from a gone file", &[("a", "x=1")], &[("b", "x=2")], false, "x=2@b", 0),
        (
            "an object moves from an unreadable file",
            &[("a", "x=1")],
            &[("a", "#"), ("b", "x=2")],
            true,
            "x=2@b",
            0,
        ),
        ("an object moves and breaks at once", &[("a", "x=1")], &[("b", "x!")], true, "x=1@a", 0),
        ("of two that never ran none is used", &[], &[("a", "x=1 y=1"), ("b", "x=2")], true, "y=1@a", 2),
        ("of two the one that ran wins", &[("b", "x=1")], &[("a", "x=2"), ("b", "x=3")], true, "x=3@b", 2),
        (
            "of two strangers none replaces what ran",
            &[("c", "x=1")],
            &[("a", "x=2"), ("b", "x=3")],
            true,
            "x=1@c",
            2,
        ),
        ("a refused owner still owns", &[("a", "x=1")], &[("a", "x!"), ("b", "x=2")], true, "x=1@a", 1),
        (
            "a refused stranger disturbs nothing",
            &[("a", "x=1")],
            &[("a", "x=2"), ("b", "x!")],
            true,
            "x=2@a",
            1,
        ),
        ("twice in the file that owns it, it stays", &[("a", "x=1")], &[("a", "x=2 x=3")], true, "x=1@a", 2),
        ("three are all told", &[], &[("a", "x=1"), ("b", "x=1"), ("c", "x=1")], true, "", 3),
    ];
    for (what, before, now, believed, expected, conflicts) in cases {
        let previous = merge(&Objects::default(), &files(before), Removals::Believed).objects;
        let removals = if *believed { Removals::Believed } else { Removals::Held };
        let merged = merge(&previous, &files(now), removals);
        assert_eq!(told(&merged.objects), *expected, "{what}");
        let found = merged.problems.iter().filter(|problem| problem.object.is_some()).count();
        assert_eq!(found, *conflicts, "{what}: {:?}", merged.problems);
    }
}

#[test]
fn a_conflict_names_the_other_place_and_the_remedy() {
    let previous = merge(&Objects::default(), &files(&[("a", "x=1")]), Removals::Believed).objects;
    let merged = merge(&previous, &files(&[("a", "x=1"), ("b", "y=1 x=1")]), Removals::Believed);
    let told: Vec<_> = merged.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "a:1: ConfigMap default/x is also in b:2: what came from a stays in use; remove the others",
            "b:2: ConfigMap default/x is also in a:1: what came from a stays in use; remove the others",
        ]
    );
}

const NAMES: [&str; 4] = ["w", "x", "y", "z"];
const FILES: [&str; 3] = ["a", "b", "c"];

fn any_word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..4_usize, 0..3_u8).prop_map(|(name, value)| format!("{}={value}", NAMES[name])),
        2 => (0..4_usize).prop_map(|name| format!("{}!", NAMES[name])),
        1 => Just("?".to_owned()),
    ]
}

fn any_file() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        6 => prop::collection::vec(any_word(), 0..4).prop_map(|words| Some(words.join(" "))),
        1 => Just(Some("#".to_owned())),
        1 => Just(Some("…".to_owned())),
        2 => Just(None),
    ]
}

fn any_step() -> impl Strategy<Value = (Vec<Option<String>>, bool)> {
    (prop::collection::vec(any_file(), FILES.len()), any::<bool>())
}

proptest! {
    /// Whatever happens, an object goes only when a trusted listing proves that nothing provides or means it.
    #[test]
    fn nothing_goes_without_proof(history in prop::collection::vec(any_step(), 1..12)) {
        let mut running = Objects::default();
        for (texts, believed) in history {
            let present: Vec<_> =
                FILES.iter().zip(&texts).filter_map(|(file, text)| Some((*file, text.as_deref()?))).collect();
            let listed = files(&present);
            let removals = if believed { Removals::Believed } else { Removals::Held };
            let next = merge(&running, &listed, removals).objects;
            for name in NAMES {
                let good = format!("{name}=");
                let bad = format!("{name}!");
                let claims: Vec<_> = present
                    .iter()
                    .flat_map(|(file, text)| text.split_whitespace().map(move |word| (*file, word)))
                    .filter(|(_, word)| word.starts_with(&good) || *word == bad)
                    .collect();
                let before = running.0.get(&key(name));
                let after = next.0.get(&key(name));
                if let (Some(before), None) = (before, after) {
                    prop_assert!(believed, "removed on an untrusted listing");
                    prop_assert!(claims.is_empty(), "removed although claimed");
                    let own = before.origin.file.to_str().unwrap();
                    let text = present.iter().find(|(file, _)| *file == own).map_or("", |(_, text)| text);
                    prop_assert!(!text.contains(['?', '#', '…']), "removed although its file may mean it");
                }
                if let [(file, word)] = claims[..] && word.starts_with(&good) {
                    let after = after.expect("an undisputed object is used");
                    prop_assert_eq!(after.origin.file.to_str(), Some(file));
                }
                if claims.is_empty() || claims.len() > 1 {
                    // Nothing undisputed: nothing may appear that did not run before.
                    prop_assert!(before.is_some() || after.is_none());
                }
                if let (Some(before), Some(after)) = (before, after) && claims.len() > 1 {
                    prop_assert_eq!(&before.origin.file, &after.origin.file, "the owner changed in a dispute");
                }
            }
            running = next;
        }
    }

    /// Looking twice at the same files changes nothing.
    #[test]
    fn a_second_look_changes_nothing(first in any_step(), second in any_step()) {
        let listed = |texts: &[Option<String>]| {
            let present: Vec<_> =
                FILES.iter().zip(texts).filter_map(|(file, text)| Some((*file, text.as_deref()?))).collect();
            files(&present)
        };
        let running = merge(&Objects::default(), &listed(&first.0), Removals::Believed).objects;
        let once = merge(&running, &listed(&second.0), Removals::Believed);
        let twice = merge(&once.objects, &listed(&second.0), Removals::Believed);
        prop_assert_eq!(told(&once.objects), told(&twice.objects));
        prop_assert!(twice.absent.is_empty());
    }
}
