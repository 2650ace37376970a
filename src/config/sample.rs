//! The sample file: every key with its meaning and its default, all commented out.

use super::keys::{KEYS, Key, SECTIONS, Shape};

const WIDTH: usize = 100;

/// The text of a configuration file that says nothing but explains everything.
pub fn sample() -> String {
    let mut lines = vec![
        "# The configuration of daemonlet. What is commented out here is the default.".to_owned(),
        "# `daemonlet check-config` checks this file and those in config.d.".to_owned(),
    ];
    let mut section = None;
    for key in KEYS {
        let (of, name) = match key.path.split_once('.') {
            Some((of, name)) => (Some(of), name),
            None => (None, key.path),
        };
        if of != section || of.is_none() {
            lines.push(String::new());
        }
        if let Some((name, about)) = SECTIONS.iter().find(|(name, _)| of != section && of == Some(*name)) {
            lines.extend(wrapped("# ", about));
            lines.push(format!("#{name}:"));
        }
        section = of;
        let margin = if of.is_some() { "#  " } else { "#" };
        lines.extend(wrapped(if of.is_some() { "#  # " } else { "# " }, key.about));
        lines.extend(setting(key, name).into_iter().map(|line| format!("{margin}{line}")));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn wrapped(margin: &str, about: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in about.split(' ') {
        match lines.last_mut().filter(|line| line.len() + 1 + word.len() <= WIDTH) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(format!("{margin}{word}")),
        }
    }
    lines
}

fn setting(key: &Key, name: &str) -> Vec<String> {
    let is_empty = key.default.is_empty();
    match key.shape {
        Shape::List => vec![format!("{name}: []")],
        Shape::Map if is_empty => vec![format!("{name}: {{}}")],
        Shape::Map => {
            let entries = key.default.split(',').map(|pair| format!("  {}", pair.replacen('=', ": ", 1)));
            [format!("{name}:")].into_iter().chain(entries).collect()
        }
        Shape::Text if is_empty => vec![format!("{name}: \"\"")],
        Shape::Text | Shape::Bare => vec![format!("{name}: {}", key.default)],
    }
}
