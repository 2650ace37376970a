//! A pod's whole life, one worker at a time, on a runtime that runs nothing and in time that passes at once.

mod recorded;
mod rig;
