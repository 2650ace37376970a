//! What Pod Security makes of the DaemonSets of some files, by the Namespaces among them, as problems to print.
//!
//! The agent's own configuration is not asked: what files say must be true on every node.

use std::sync::Arc;

use super::file_lines::FileLines;
use crate::manifest::{FieldPath, Object, Objects, Problem, Severity, Stored};
use crate::policy::{Judgement, Policy, Refusal, label_faults};

/// One problem for each standard that a DaemonSet's pod breaks, and for each label that can't be read.
pub(super) fn problems(objects: &Objects, lines: &FileLines) -> Vec<Problem> {
    let policy = Policy::default();
    let mut problems = Vec::new();
    for stored in objects.0.values() {
        match &stored.object {
            Object::Namespace(namespace) => problems.extend(label_faults(namespace).iter().map(|fault| {
                let error = fault.error();
                problem(stored, Severity::Error, &error.path, error.message(), lines)
            })),
            Object::DaemonSet(daemon_set) => {
                problems.extend(told(stored, &policy.judge(daemon_set, objects), lines));
            }
            _ => {}
        }
    }
    problems
}

fn told(stored: &Arc<Stored>, judgement: &Judgement, lines: &FileLines) -> Vec<Problem> {
    let spec = FieldPath::new("spec.template.spec");
    let said = |severity, field: &FieldPath, message| problem(stored, severity, field, message, lines);
    let refusals = judgement.refusals.iter().filter_map(|refusal| match refusal {
        Refusal::PodSecurity(_) => Some(said(Severity::Error, &spec, refusal.to_string())),
        Refusal::Field(error) => {
            let template = FieldPath::new("spec.template");
            let field = template.segments().iter().chain(error.path.segments()).cloned().collect();
            Some(said(Severity::Error, &field, error.message()))
        }
        // Told of the Namespace.
        Refusal::Label(_) => None,
    });
    let warning = judgement
        .warning
        .iter()
        .map(|violations| said(Severity::Warning, &spec, format!("would violate {violations}")));
    refusals.chain(warning).collect()
}

fn problem(
    stored: &Arc<Stored>,
    severity: Severity,
    field: &FieldPath,
    message: String,
    lines: &FileLines,
) -> Problem {
    Problem {
        severity,
        file: Arc::clone(&stored.origin.file),
        line: lines.line_of(stored, field),
        field: field.to_string(),
        message,
        object: Some(stored.object.key()),
    }
}
