use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::merge::FileState;

const MINUTE: Duration = Duration::from_secs(60);

fn at(boot: &str, minutes: u32) -> BootTime {
    BootTime { boot: boot.to_owned(), uptime: MINUTE * minutes }
}

fn place(boot: &str, directories: &[(&str, u64, u64)]) -> Place {
    let directory = |&(path, device, inode): &(&str, u64, u64)| {
        (PathBuf::from(path), DirectoryId { device, inode, file_system: 0xEF53 })
    };
    Place { boot: boot.to_owned(), directories: directories.iter().map(directory).collect() }
}

fn daemon_sets(count: usize) -> BTreeSet<ObjectKey> {
    let key = |number| ObjectKey { kind: Kind::DaemonSet, namespace: "n".into(), name: format!("d{number}") };
    (0..count).map(key).collect()
}

fn files(paths: &[&str]) -> Files {
    paths.iter().map(|path| (Arc::from(std::path::Path::new(path)), FileState::Pending)).collect()
}

fn cause(verdict: Verdict) -> Option<Cause> {
    match verdict {
        Verdict::Believe => None,
        Verdict::Hold { hold } => Some(hold.cause),
    }
}

/// What; the boot, the place and the files now; DaemonSets before and vanishing; the cause.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, u64, u64)], &'a [&'a str], usize, usize, Option<Cause>);

#[test]
fn only_what_looks_like_an_accident_is_held() {
    let unmounted = |path: &str| Some(Cause::Unmounted(path.into()));
    let moved = |path: &str| Some(Cause::Moved(path.into()));
    let same: &[(&str, u64, u64)] = &[("/s", 1, 10)];
    let rest: &[&str] = &["/s/a.yaml"];
    let cases: &[Case<'_>] = &[
        ("nothing vanishes", "b", same, rest, 5, 0, None),
        ("nothing vanishes on another device", "b", &[("/s", 2, 2)], rest, 5, 0, None),
        ("one of many", "b", same, rest, 5, 1, None),
        ("two of two, not emptied", "b", same, rest, 2, 2, None),
        ("half of six", "b", same, rest, 6, 3, None),
        ("three of five", "b", same, rest, 5, 3, Some(Cause::Many(3, 5))),
        ("all of three", "b", same, rest, 3, 3, Some(Cause::Many(3, 3))),
        ("the last one", "b", same, &[], 1, 1, None),
        ("the last two at once", "b", same, &[], 2, 2, Some(Cause::Emptied)),
        ("the last one with its directory replaced", "b", &[("/s", 1, 11)], &[], 1, 1, Some(Cause::Emptied)),
        ("one with the directory replaced and full", "b", &[("/s", 1, 11)], rest, 5, 1, None),
        ("unmounted", "b", &[("/s", 2, 2)], &[], 1, 1, unmounted("/s")),
        ("unmounted at boot", "other", &[("/s", 1, 2)], &[], 1, 1, unmounted("/s")),
        ("another device number at boot", "other", &[("/s", 7, 10)], rest, 5, 1, None),
        ("another directory at boot, with files", "other", &[("/s", 1, 11)], rest, 5, 1, None),
        ("another device with less", "b", &[("/s", 2, 2)], rest, 5, 1, moved("/s")),
    ];
    let before = place("b", same);
    for (what, boot, directories, paths, total, vanishing, expected) in cases {
        let evidence = Evidence {
            before: *total,
            vanishing: &daemon_sets(*vanishing),
            files: &files(paths),
            place_before: Some(&before),
            place: &place(boot, directories),
            forgotten: false,
        };
        let verdict = judge(&evidence, None, &at(boot, 1), &Thresholds::default());
        assert_eq!(cause(verdict), *expected, "{what}");
    }
}

#[test]
fn a_mount_below_the_root_is_missed_like_the_root() {
    let before = place("b", &[("/s", 1, 10), ("/s/m", 2, 2)]);
    let evidence = Evidence {
        before: 9,
        vanishing: &daemon_sets(1),
        files: &files(&["/s/a.yaml"]),
        place_before: Some(&before),
        place: &place("b", &[("/s", 1, 10)]),
        forgotten: false,
    };
    let verdict = judge(&evidence, None, &at("b", 1), &Thresholds::default());
    assert_eq!(cause(verdict), Some(Cause::Unmounted("/s/m".into())));
}

#[test]
fn a_hold_lasts_its_time_in_one_boot_and_begins_again_with_another_or_with_more() {
    let thresholds = Thresholds::default();
    let here = place("b", &[("/s", 1, 10)]);
    let none = files(&[]);
    let ask = |vanishing: usize, held: Option<&Hold>, now: BootTime| {
        let evidence = Evidence {
            before: 9,
            vanishing: &daemon_sets(vanishing),
            files: &none,
            place_before: Some(&here),
            place: &here,
            forgotten: false,
        };
        match judge(&evidence, held, &now, &thresholds) {
            Verdict::Believe => None,
            Verdict::Hold { hold } => Some(hold),
        }
    };
    let hold = ask(4, None, at("b", 10)).unwrap();
    assert_eq!(hold.remaining(&at("b", 10), &thresholds), Some(15 * MINUTE));
    assert_eq!(ask(4, Some(&hold), at("b", 24)), Some(hold.clone()));
    assert_eq!(ask(3, Some(&hold), at("b", 24)), Some(hold.clone()), "some came back: the clock goes on");
    assert_eq!(ask(4, Some(&hold), at("b", 25)), None);
    assert_eq!(ask(5, Some(&hold), at("b", 25)).unwrap().since, at("b", 25), "more vanished");
    assert_eq!(ask(4, Some(&hold), at("c", 500)).unwrap().since, at("c", 500), "another boot");
    assert_eq!(ask(0, Some(&hold), at("b", 11)), None, "all came back");
}

#[test]
fn an_unmounted_store_is_held_for_ever_and_its_time_counts_for_nothing_else() {
    let before = place("b", &[("/s", 1, 10)]);
    let none = files(&[]);
    let ask = |directories: &[(&str, u64, u64)], held: Option<&Hold>, now: BootTime| {
        let evidence = Evidence {
            before: 4,
            vanishing: &daemon_sets(4),
            files: &none,
            place_before: Some(&before),
            place: &place("b", directories),
            forgotten: false,
        };
        judge(&evidence, held, &now, &Thresholds::default())
    };
    let Verdict::Hold { hold } = ask(&[("/s", 2, 2)], None, at("b", 1)) else { panic!("it is held") };
    assert_eq!(ask(&[("/s", 2, 2)], Some(&hold), at("b", 100_000)), Verdict::Hold { hold: hold.clone() });
    let Verdict::Hold { hold: later } = ask(&[("/s", 1, 10)], Some(&hold), at("b", 200)) else {
        panic!("it is mounted again and empty: held anew")
    };
    assert_eq!((later.since, later.cause), (at("b", 200), Cause::Emptied));
}

proptest! {
    /// However the store is emptied, more than the threshold vanishes only after the hold's whole time.
    #[test]
    fn nothing_much_is_lost_before_its_time(
        steps in prop::collection::vec((0..8_usize, 0..10_u32, 0..12_u32), 1..30),
    ) {
        let thresholds = Thresholds::default();
        let here = place("0", &[("/s", 1, 10)]);
        let (mut minutes, mut held, mut first_missing): (u32, Option<Hold>, Option<(u32, u32)>) = (0, None, None);
        let mut boot = 0_u32;
        for (vanishing, pass, reboot) in steps {
            minutes += pass;
            boot += u32::from(reboot == 0);
            let now = at(&boot.to_string(), minutes);
            let evidence = Evidence {
                before: 8,
                vanishing: &daemon_sets(vanishing),
                files: &files(&[]),
                place_before: Some(&here),
                place: &here,
                forgotten: false,
            };
            let big = vanishing > thresholds.emptied;
            match judge(&evidence, held.as_ref(), &now, &thresholds) {
                Verdict::Hold { hold } => {
                    prop_assert!(big);
                    if first_missing.is_none_or(|(in_boot, _)| in_boot != boot) {
                        first_missing = Some((boot, minutes));
                    }
                    held = Some(hold);
                }
                Verdict::Believe => {
                    if big {
                        let (in_boot, since) = first_missing.expect("a hold came first");
                        prop_assert_eq!(in_boot, boot);
                        prop_assert!(MINUTE * (minutes - since) >= thresholds.hold);
                    }
                    (held, first_missing) = (None, None);
                }
            }
        }
    }
}
