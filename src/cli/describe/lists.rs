//! Labels, annotations, tolerations and taints: one a line, sorted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::description::Description;

/// How long an annotation may be to stand on the line of its key.
const MAX_ANNOTATION_LINE: usize = 140;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub(super) fn labels(
    description: &mut Description,
    level: usize,
    name: &str,
    labels: Option<&BTreeMap<String, String>>,
) {
    description.values(
        level,
        name,
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")),
    );
}

pub(super) fn annotations(
    description: &mut Description,
    level: usize,
    annotations: Option<&BTreeMap<String, String>>,
) {
    let shown = annotations.into_iter().flatten().filter(|(key, _)| *key != LAST_APPLIED);
    let lines = shown.flat_map(|(key, value)| {
        let value = value.strip_suffix('\n').unwrap_or(value);
        if key.len() + value.len() + 2 <= MAX_ANNOTATION_LINE && !value.contains('\n') {
            return vec![format!("{key}: {value}")];
        }
        let lines = value.split('\n').map(|line| format!("  {}", shortened(line)));
        std::iter::once(format!("{key}:")).chain(lines).collect()
    });
    description.values(level, "Annotations", lines);
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(MAX_ANNOTATION_LINE - 2) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

pub(super) fn tolerations(
    description: &mut Description,
    level: usize,
    tolerations: Option<&Vec<Toleration>>,
) {
    let mut sorted: Vec<&Toleration> = tolerations.into_iter().flatten().collect();
    sorted.sort_by_key(|toleration| toleration.key.as_deref().unwrap_or_default());
    description.values(level, "Tolerations", sorted.into_iter().map(toleration));
}

fn toleration(toleration: &Toleration) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (value, effect) = (text(&toleration.value), text(&toleration.effect));
    let led_by =
        |mark: &str, text: &str| if text.is_empty() { String::new() } else { format!("{mark}{text}") };
    let mut out = text(&toleration.key) + &led_by("=", &value) + &led_by(":", &effect);
    if toleration.operator.as_deref() == Some("Exists") && value.is_empty() {
        out += if out.is_empty() { "op=Exists" } else { " op=Exists" };
    }
    let seconds = toleration.toleration_seconds.map(|seconds| format!(" for {seconds}s"));
    out + seconds.as_deref().unwrap_or_default()
}

pub(super) fn taints(description: &mut Description, taints: Option<&Vec<Taint>>) {
    let mut sorted: Vec<&Taint> = taints.into_iter().flatten().collect();
    sorted.sort_by_key(|taint| (&taint.effect, &taint.key));
    description.values(
        0,
        "Taints",
        sorted.into_iter().map(|taint| match taint.value.as_deref() {
            None | Some("") => format!("{}:{}", taint.key, taint.effect),
            Some(value) => format!("{}={value}:{}", taint.key, taint.effect),
        }),
    );
}
