//! What the fake runtime was told to do of its own accord: end containers, be slow, fail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tonic::Status;

use crate::cri::{ExecOutput, Method};

/// The orders in force.
#[derive(Debug)]
pub(super) struct Script {
    autoexit: BTreeMap<String, Autoexit>,
    pub(super) delays: BTreeMap<Method, Duration>,
    failures: BTreeMap<Method, (u32, Status)>,
    pub(super) exec: ExecOutput,
    /// Containers that ignore the stop signal.
    pub(super) stubborn: BTreeSet<String>,
}

#[derive(Debug)]
struct Autoexit {
    after: Duration,
    codes: Vec<i32>,
    starts: usize,
}

impl Script {
    pub(super) fn new() -> Self {
        Self {
            autoexit: BTreeMap::new(),
            delays: BTreeMap::new(),
            failures: BTreeMap::new(),
            exec: ExecOutput { exit_code: 0, stdout: Vec::new(), stderr: Vec::new() },
            stubborn: BTreeSet::new(),
        }
    }

    pub(super) fn autoexit(&mut self, name: &str, after: Duration, codes: &[i32]) {
        self.autoexit.insert(name.to_owned(), Autoexit { after, codes: codes.to_vec(), starts: 0 });
    }

    /// When and how the container that starts now will end by itself.
    pub(super) fn ending(&mut self, name: &str) -> Option<(Duration, i32)> {
        let order = self.autoexit.get_mut(name)?;
        let code = order.codes.get(order.starts).or(order.codes.last()).copied().unwrap_or(0);
        order.starts += 1;
        Some((order.after, code))
    }

    pub(super) fn fail(&mut self, method: Method, times: u32, status: Status) {
        self.failures.insert(method, (times, status));
    }

    /// Takes one of the failures that are left for a method.
    pub(super) fn failure(&mut self, method: Method) -> Option<Status> {
        let (times, status) = self.failures.get_mut(&method)?;
        *times = times.checked_sub(1)?;
        Some(status.clone())
    }
}

/// An order in the words of the recorded life cycles (`fail PullImage 3 no such image`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Autoexit { name: String, after: Duration, codes: Vec<i32> },
    Exit { name: String, code: i32 },
    ExecCode(i32),
    Delay(Method, Duration),
    Fail { method: Method, times: u32, message: String },
    StopSandboxes,
}

/// A text that is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no step of a fake runtime's script")]
pub struct UnknownStep(String);

impl std::str::FromStr for Step {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        parse(text).ok_or_else(|| UnknownStep(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Step> {
    let mut words = text.splitn(4, ' ');
    Some(match (words.next()?, words.next(), words.next(), words.next()) {
        ("autoexit", Some(name), Some(after), Some(codes)) => Step::Autoexit {
            name: name.to_owned(),
            after: seconds(after)?,
            codes: codes.split(',').map(str::parse).collect::<Result<_, _>>().ok()?,
        },
        ("exit", Some(name), Some(code), None) => {
            Step::Exit { name: name.to_owned(), code: code.parse().ok()? }
        }
        ("execcode", Some(code), None, None) => Step::ExecCode(code.parse().ok()?),
        ("delay", Some(name), Some(time), None) => Step::Delay(method(name)?, seconds(time)?),
        ("fail", Some(name), Some(times), Some(message)) => {
            Step::Fail { method: method(name)?, times: times.parse().ok()?, message: message.to_owned() }
        }
        ("sbstop", None, None, None) => Step::StopSandboxes,
        _ => return None,
    })
}

fn method(name: &str) -> Option<Method> {
    Method::ALL.iter().copied().find(|method| method.name() == name)
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_recorded_life_cycles_are_understood() {
        let secs = Duration::from_secs;
        let cases = [
            (
                "autoexit main 2 1,0",
                Step::Autoexit { name: "main".into(), after: secs(2), codes: vec![1, 0] },
            ),
            ("exit main 137", Step::Exit { name: "main".into(), code: 137 }),
            ("execcode 1", Step::ExecCode(1)),
            ("delay ExecSync 0.5", Step::Delay(Method::ExecSync, Duration::from_millis(500))),
            (
                "fail PullImage 3 no such image",
                Step::Fail { method: Method::PullImage, times: 3, message: "no such image".into() },
            ),
            ("sbstop", Step::StopSandboxes),
        ];
        for (text, step) in cases {
            assert_eq!(text.parse(), Ok(step), "{text}");
        }
        for text in ["", "remove", "exit main", "fail Nothing 1 x", "delay ExecSync soon", "autoexit a 1 x"] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_exit_code_repeats_and_failures_run_out() {
        let mut script = Script::new();
        script.autoexit("a", Duration::from_secs(1), &[3, 0]);
        let codes: Vec<_> = (0..3).filter_map(|_| script.ending("a")).map(|(_, code)| code).collect();
        assert_eq!(codes, [3, 0, 0]);
        assert!(script.ending("b").is_none());

        script.fail(Method::PullImage, 2, Status::unknown("x"));
        let failures = (0..4).filter_map(|_| script.failure(Method::PullImage)).count();
        assert_eq!(failures, 2);
    }
}
