use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::archive::Digest;

type Manifests = BTreeMap<String, Vec<u8>>;

/// A bundle whose one manifest says its serial number.
fn manifests(serial: u64) -> Manifests {
    [(format!("apps/{serial}.yaml"), serial.to_string().into_bytes()), ("same.yaml".into(), b"same".to_vec())]
        .into()
}

fn applied(serial: u64) -> Applied {
    Applied {
        serial,
        digest: Digest::of(&serial.to_le_bytes()),
        images: vec![format!("r.example/{serial}:1"), "r.example/same:1".to_owned()],
        manifests: manifests(serial).iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect(),
        verified: true,
    }
}

/// How far a changeover gets before the power goes.
const STEPS: std::ops::RangeInclusive<usize> = 0..=5;

struct Bed {
    dir: TempDir,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        Self { dir }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn record(&self) -> PathBuf {
        self.dir.path().join("bundle.json")
    }

    fn begin(&self) -> Changeover {
        Changeover::begin(&self.store(), &self.record()).unwrap()
    }

    /// Applies a bundle, step by step, until `steps` are done.
    fn apply(&self, serial: u64, steps: usize) {
        let mut changeover = self.begin();
        let staged = Staged::write(&self.store(), &manifests(serial)).unwrap();
        if steps == 0 {
            return;
        }
        changeover.announce(applied(serial)).unwrap();
        self.check_looks();
        match steps {
            1 => return,
            // Within `exchange`: the manifests have their place, and those before are not put away; or the ones before them are half gone.
            2 | 3 => {
                staged.exchange().unwrap();
                if steps == 3 {
                    let goes =
                        if changeover.is_same() { ".bundle.new/apps" } else { ".bundle.previous/apps" };
                    let _ = fs::remove_dir_all(self.store().join(goes));
                }
                return;
            }
            _ => changeover.exchange(&staged).unwrap(),
        }
        self.check_looks();
        if steps > 4 {
            changeover.conclude().unwrap();
        }
    }

    fn roll_back(&self, steps: usize) {
        let mut changeover = self.begin();
        let previous = changeover.way_back().unwrap();
        if steps > 0 {
            changeover.announce(previous).unwrap();
        }
        if steps > 1 {
            changeover.exchange_back().unwrap();
        }
        if steps > 2 {
            changeover.conclude().unwrap();
        }
    }

    /// An agent that looks now accepts what it finds. Returns which bundle that is; 0: none yet.
    #[track_caller]
    fn check_looks(&self) -> u64 {
        let state = State::read(&self.record()).unwrap();
        let there = install::in_store(&self.store()).unwrap_or_default();
        assert!(state.vouched().any(|digests| *digests == there), "{there:?} is vouched for by {state:?}");
        let Some(name) = there.keys().next() else { return 0 };
        name["apps/".len()..name.len() - ".yaml".len()].parse().unwrap()
    }
}

#[test]
fn wherever_the_power_goes_what_is_in_the_store_is_vouched_for_and_the_next_bundle_comes() {
    for steps in STEPS {
        let bed = Bed::new();
        bed.apply(1, 5);
        bed.apply(2, 5);
        bed.apply(3, steps);
        let there = bed.check_looks();
        assert_eq!(there, if steps < 2 { 2 } else { 3 }, "after {steps} steps");

        // What was broken off is ended or forgotten; the way back leads where it should.
        let state = bed.begin().state().clone();
        let serials = |state: &State| [&state.current, &state.previous].map(|it| it.as_ref().unwrap().serial);
        assert_eq!(serials(&state), [there, there - 1], "after {steps} steps");
        assert_eq!(
            (state.coming, state.highest),
            (None, if steps == 0 { 2 } else { 3 }),
            "after {steps} steps"
        );
        bed.roll_back(3);
        assert_eq!(bed.check_looks(), there - 1, "after {steps} steps");
        bed.apply(4, 5);
        assert_eq!(bed.check_looks(), 4);
        bed.roll_back(3);
        assert_eq!(bed.check_looks(), there - 1, "after {steps} steps");
    }
}

#[test]
fn a_first_bundle_that_is_broken_off_leaves_a_store_that_is_vouched_for() {
    for steps in STEPS {
        let bed = Bed::new();
        bed.apply(1, steps);
        if steps > 0 {
            assert_eq!(bed.check_looks(), u64::from(steps > 1), "after {steps} steps");
        }
        bed.apply(2, 5);
        assert_eq!(bed.check_looks(), 2);
    }
}

#[test]
fn wherever_a_way_back_is_broken_off_it_can_be_gone_again() {
    for steps in 0..=3 {
        let bed = Bed::new();
        bed.apply(1, 5);
        bed.apply(2, 5);
        bed.roll_back(steps);
        let there = bed.check_looks();
        assert_eq!(there, if steps < 2 { 2 } else { 1 }, "after {steps} steps");
        bed.roll_back(3);
        assert_eq!(bed.check_looks(), 3 - there, "after {steps} steps");
        bed.roll_back(3);
        assert_eq!(bed.check_looks(), there, "after {steps} steps");
        assert_eq!(State::read(&bed.record()).unwrap().highest, 2);
    }
}

#[test]
fn the_same_bundle_again_puts_right_what_somebody_changed_and_keeps_the_way_back() {
    for steps in STEPS {
        let bed = Bed::new();
        bed.apply(1, 5);
        bed.apply(2, 5);
        fs::write(bed.store().join("bundle/same.yaml"), "edited").unwrap();
        let state = State::read(&bed.record()).unwrap();
        let there = install::in_store(&bed.store()).unwrap();
        assert!(!state.vouched().any(|digests| *digests == there), "nobody vouches for what was edited");
        let mut changeover = bed.begin();
        let staged = Staged::write(&bed.store(), &manifests(2)).unwrap();
        changeover.announce(applied(2)).unwrap();
        changeover.exchange(&staged).unwrap();
        changeover.conclude().unwrap();
        bed.apply(2, steps);
        assert_eq!(bed.check_looks(), 2);
        bed.roll_back(3);
        assert_eq!(bed.check_looks(), 1, "after {steps} steps");
    }
}

#[test]
fn what_was_edited_is_no_way_back() {
    let bed = Bed::new();
    assert!(matches!(bed.begin().way_back(), Err(ChangeoverError::NothingBefore)));
    bed.apply(1, 5);
    fs::write(bed.store().join("bundle/same.yaml"), "edited").unwrap();
    let mut changeover = bed.begin();
    let staged = Staged::write(&bed.store(), &manifests(2)).unwrap();
    changeover.announce(applied(2)).unwrap();
    changeover.exchange(&staged).unwrap();
    changeover.conclude().unwrap();
    assert!(matches!(bed.begin().way_back(), Err(ChangeoverError::Edited(1))));
}

#[test]
fn what_is_not_found_signed_vouches_for_nothing() {
    let bed = Bed::new();
    let mut changeover = bed.begin();
    let staged = Staged::write(&bed.store(), &manifests(1)).unwrap();
    changeover.announce(Applied { verified: false, ..applied(1) }).unwrap();
    changeover.exchange(&staged).unwrap();
    let state = changeover.conclude().unwrap();
    assert_eq!(state.vouched().count(), 0);
}

#[test]
fn what_no_bundle_has_any_more_stays_on_record_until_it_is_unpinned() {
    let leaving = |bed: &Bed| State::read(&bed.record()).unwrap().leaving;
    let names = |serials: &[u64]| serials.iter().map(|it| format!("r.example/{it}:1")).collect();
    let bed = Bed::new();
    bed.apply(1, 5);
    bed.apply(2, 5);
    assert_eq!(leaving(&bed), names(&[]), "there is a way back to the first");
    bed.apply(3, 5);
    assert_eq!(leaving(&bed), names(&[1]));
    // One that says that it is coming may have given names; nobody unpins them meanwhile.
    bed.apply(4, 1);
    let mut state = State::read(&bed.record()).unwrap();
    assert!(state.pinned().contains("r.example/4:1") && state.pinned().contains("r.example/3:1"));
    assert_eq!(state.left_to_unpin(&BTreeSet::new()), ["r.example/1:1"]);
    assert!(state.left_to_unpin(&["r.example/1:1".to_owned()].into()).is_empty(), "an archive has it");

    let mut begun = bed.begin();
    assert!(begun.is_broken_off());
    assert_eq!(begun.state().leaving, names(&[1, 4]));
    assert!(bed.begin().is_broken_off(), "until somebody says that it is settled");
    begun.settled().unwrap();
    assert!(!bed.begin().is_broken_off());
    assert_eq!(leaving(&bed), names(&[1, 4]));
    bed.apply(4, 5);
    assert_eq!(
        bed.begin().state().clone().left_to_unpin(&BTreeSet::new()),
        ["r.example/1:1", "r.example/2:1"]
    );
    bed.apply(5, 3);
    assert!(bed.begin().is_broken_off());
    let left = bed.begin().state().clone().left_to_unpin(&BTreeSet::new());
    assert_eq!(left, ["r.example/1:1", "r.example/2:1", "r.example/3:1"]);
}
