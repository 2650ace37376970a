//! The test kit: a real containerd, real images and a real agent for each test, and nothing of them left afterwards.
//!
//! [`Node`] is what most tests need: it has all of it. [`Containerd`] is without the agent. Tests run in parallel and with those of
//! other checkouts, so whatever has a name beyond a test's own directory (bridge, subnet, ports, cgroups) is named after the
//! test's [`Slot`]. Whatever a killed test left behind is removed by the next one that gets its slot.
//!
//! A test that can't run here is skipped loudly, and fails where `CI` is set.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each crate that includes the kit uses the part that it needs")]

mod agent;
mod api;
mod chance;
mod containerd;
mod exact;
mod images;
mod leaks;
mod node;
mod objects;
mod registry;
mod relay;
mod requirements;
mod slot;

use std::time::{Duration, Instant};

pub(crate) use self::agent::Agent;
pub(crate) use self::api::Api;
pub(crate) use self::chance::Chance;
pub(crate) use self::containerd::{Containerd, Setup};
pub(crate) use self::images::{busybox_with, file as image_file};
pub(crate) use self::node::Node;
pub(crate) use self::objects::{container_ids, daemon_set, is_ready, pod_of};
pub(crate) use self::registry::Registry;
pub(crate) use self::relay::Relay;
pub(crate) use self::requirements::faketime_library;
pub(crate) use self::slot::Slot;

/// How long anything may take before it counts as never happening. Generous: machines that test are busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for what tells nobody when it happens.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(is_so_in_time(is_so), "waited {DEADLINE:?} in vain: {what}");
}

/// Whether something that tells nobody when it happens does so before the deadline.
pub(crate) fn is_so_in_time(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > DEADLINE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
