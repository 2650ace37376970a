//! The tests that the source has, by their full paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The source, as far as the page speaks of it.
pub(crate) struct Source {
    /// Each test by its path, with its own text and that of the functions beside it that are no tests.
    pub(crate) tests: BTreeMap<String, String>,
    /// All files of `src`, one after the other.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut source = Self { tests: BTreeMap::new(), code: String::new() };
        for top in ["src", "tests"] {
            for file in rust_files(&root.join(top)) {
                let text = fs::read_to_string(&file).unwrap();
                let module = module_of(file.strip_prefix(root.join(top)).unwrap());
                // A module inside a file is the last thing in it.
                let (module, tested) = match text.split_once("\nmod tests {") {
                    Some((_, tested)) => (format!("{module}::tests"), tested),
                    None => (module, text.as_str()),
                };
                let mut shared = shared_with(&file);
                let tests = tests_of(tested, &mut shared);
                for (name, body) in tests {
                    source.tests.insert(format!("{module}::{name}"), format!("{body}\n{shared}"));
                }
                if top == "src" {
                    source.code.push_str(&text);
                }
            }
        }
        source
    }
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn module_of(file: &Path) -> String {
    let path = file.with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    match parts.as_slice() {
        [above @ .., last] if !above.is_empty() && (last == "mod" || last == "main") => above.join("::"),
        all => all.join("::"),
    }
}

/// What the tests of a directory have in common: its `mod.rs`.
fn shared_with(file: &Path) -> String {
    let dir = file.parent().filter(|dir| dir.ends_with("tests") && !file.ends_with("mod.rs"));
    dir.and_then(|dir| fs::read_to_string(dir.join("mod.rs")).ok()).unwrap_or_default()
}

/// The functions that follow a test's attribute, by name, each with its text. All other lines go to `rest`.
fn tests_of<'a>(text: &'a str, rest: &mut String) -> Vec<(&'a str, String)> {
    let mut tests = Vec::new();
    let mut is_test = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let function = line.trim_start();
        is_test |= function.starts_with("#[test]") || function.starts_with("#[tokio::test");
        let function = function.strip_prefix("async fn ").or(function.strip_prefix("fn "));
        if let (true, Some(function)) = (is_test, function) {
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            tests.extend(function.split('(').next().map(|name| (name, body.join("\n"))));
            is_test = false;
        } else {
            rest.push_str(line);
            rest.push('\n');
        }
    }
    tests
}
