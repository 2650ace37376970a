//! What a reader says of what it found: how fresh the snapshot is, what is held, and what is wrong.

use std::sync::Arc;
use std::time::Duration;

use super::Reader;
use crate::boot_time::BootTime;
use crate::go_duration::GoDuration;
use crate::manifest::{Problem, Severity};
use crate::store::guard::{Cause, Hold};
use crate::store::{Freshness, HeldRemovals};

/// So many problems of a store are told of; whoever has more begins with these.
const MOST_PROBLEMS: usize = 1000;

impl Reader {
    pub(super) fn freshness(&self, failures: &[String]) -> Freshness {
        if !self.known {
            return Freshness::Unknown;
        }
        if !failures.is_empty() {
            return Freshness::LastGood { reason: failures.join("; ") };
        }
        match &self.memory.hold {
            Some(hold) => Freshness::LastGood { reason: self.explain(hold) },
            None => Freshness::Current,
        }
    }

    /// What is gone and kept all the same.
    pub(super) fn held(&self, now: &BootTime) -> Option<HeldRemovals> {
        self.memory.hold.as_ref().map(|hold| HeldRemovals {
            cause: hold.cause.to_string(),
            objects: hold.vanishing.len(),
            until: hold.until(now, &self.thresholds),
        })
    }

    fn explain(&self, hold: &Hold) -> String {
        let confirm = "if it is meant, run `daemonlet store confirm`";
        let wait = match self.thresholds.hold {
            Duration::MAX => String::new(),
            time => format!(", or wait: after {} it is believed", GoDuration(time)),
        };
        match &hold.cause {
            cause @ Cause::Forgotten(Some(_)) => {
                format!("{cause}; nothing is removed: put the file right; {confirm}")
            }
            cause @ Cause::Forgotten(None) => {
                format!("{cause}; nothing is removed: mount what belongs there; {confirm}{wait}")
            }
            cause => {
                let remedy = match cause {
                    Cause::Unmounted(_) => format!("mount it again; {confirm}"),
                    _ => format!("put the manifests back; {confirm}{wait}"),
                };
                format!("{cause}; {} objects are kept: {remedy}", hold.vanishing.len())
            }
        }
    }

    pub(super) fn problem(&self, severity: Severity, message: &str) -> Problem {
        let message = format!("store: {message}");
        Problem {
            severity,
            file: Arc::clone(self.lister.root()),
            line: 0,
            field: String::new(),
            message,
            object: None,
        }
    }

    pub(super) fn problems(
        &self,
        of_files: Vec<Problem>,
        of_tree: Vec<Problem>,
        failures: &[String],
        freshness: &Freshness,
    ) -> Vec<Problem> {
        let mut problems = of_files;
        problems.extend(of_tree);
        problems.extend(failures.iter().map(|failure| self.problem(Severity::Error, failure)));
        if let (Freshness::LastGood { reason }, true) = (freshness, failures.is_empty()) {
            problems.push(self.problem(Severity::Warning, reason));
        }
        self.bounded(problems)
    }

    /// The gravest of the problems, by file and line.
    pub(super) fn bounded(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        let surplus = problems.len().saturating_sub(MOST_PROBLEMS);
        if surplus > 0 {
            problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
            problems.truncate(MOST_PROBLEMS);
            let more =
                format!("{surplus} more problems are not listed: `daemonlet validate -f` has them all");
            problems.push(self.problem(Severity::Warning, &more));
        }
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::{Thresholds, reading};

    #[test]
    fn of_too_many_problems_the_gravest_are_told() {
        let reader =
            Reader::new(Arc::from(Path::new("/m")), reading::read, Thresholds::default(), None, None);
        let problem = |number: u32| Problem {
            line: number,
            ..reader
                .problem(if number.is_multiple_of(100) { Severity::Error } else { Severity::Warning }, "x")
        };
        let told = reader.bounded((1..=100_000).map(problem).collect());
        assert_eq!(told.len(), MOST_PROBLEMS + 1);
        assert_eq!(told.iter().filter(|problem| problem.severity == Severity::Error).count(), MOST_PROBLEMS);
        assert!(told.iter().any(|problem| problem.message.contains("99000 more problems")), "{:?}", told[0]);
        assert_eq!(reader.bounded((1..=10).map(problem).collect()).len(), 10);
    }
}
