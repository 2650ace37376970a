//! A pod's whole life, one worker at a time, on a runtime that runs nothing and in time that passes at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::pedantic, reason = "a test is written for what it says, and small costs are none")]

mod agent_restart;
mod crash;
mod events;
mod failed;
mod image;
mod missing;
mod outage;
mod probes;
mod recorded;
mod rig;
mod sandbox;
mod stop;
mod stop_midway;
