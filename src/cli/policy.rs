//! What Pod Security makes of the DaemonSets of some files, by the Namespaces among them, as problems to print.
//!
//! The agent's own configuration is not asked: what files say must be true on every node.

use std::sync::Arc;

use crate::manifest::{Object, Objects, Problem, Severity, Stored};
use crate::policy::{Judgement, Policy, Refusal, label_faults};

/// One problem for each standard that a DaemonSet's pod breaks, and for each label that can't be read.
pub(super) fn problems(objects: &Objects) -> Vec<Problem> {
    let policy = Policy::default();
    let mut problems = Vec::new();
    for stored in objects.0.values() {
        match &stored.object {
            Object::Namespace(namespace) => problems.extend(label_faults(namespace).iter().map(|fault| {
                let error = fault.error();
                problem(stored, Severity::Error, error.path.to_string(), error.message())
            })),
            Object::DaemonSet(daemon_set) => {
                problems.extend(told(stored, &policy.judge(daemon_set, objects)))
            }
            _ => {}
        }
    }
    problems
}

fn told(stored: &Arc<Stored>, judgement: &Judgement) -> Vec<Problem> {
    let spec = || "spec.template.spec".to_owned();
    let refusals = judgement.refusals.iter().filter_map(|refusal| match refusal {
        Refusal::PodSecurity(_) => Some(problem(stored, Severity::Error, spec(), refusal.to_string())),
        Refusal::Field(error) => {
            let field = format!("spec.template.{}", error.path);
            Some(problem(stored, Severity::Error, field, error.message()))
        }
        // Told of the Namespace.
        Refusal::Label(_) => None,
    });
    let warning = judgement
        .warning
        .iter()
        .map(|violations| problem(stored, Severity::Warning, spec(), format!("would violate {violations}")));
    refusals.chain(warning).collect()
}

fn problem(stored: &Arc<Stored>, severity: Severity, field: String, message: String) -> Problem {
    let file = Arc::clone(&stored.origin.file);
    Problem { severity, file, line: stored.origin.line, field, message, object: Some(stored.object.key()) }
}
