//! One document after another: recognise, decode, default, validate, and sort what comes out.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::problems::Reporter;
use super::recognise::{Claim, recognise};
use super::{Reading, SetAside};
use crate::manifest::decode::{Finding, decode};
use crate::manifest::path::FieldPath;
use crate::manifest::tree::{Node, Value};
use crate::manifest::yaml::{Document, SyntaxError};
use crate::manifest::{Kind, Object, ObjectKey, Origin, Problem, Severity, Stored, defaults, validate};

/// So many problems of one file are told; whoever has more has another kind of file.
const MAX_PROBLEMS: usize = 1000;
/// So many kinds of one file are told as set aside.
const MAX_KINDS: usize = 200;
/// So many values one object may hold. A large ConfigMap has thousands; beyond it the rules would take too long to check.
const MAX_VALUES: usize = 50_000;
/// With more values of the wrong type, what the rest of the object breaks is not looked at.
const MAX_FAULTS: usize = 100;

/// Gathers what the documents of one file say.
pub(super) struct Collector {
    file: Arc<Path>,
    reading: Reading,
    /// Problems beyond those that are told.
    untold: usize,
    /// Objects set aside beyond the kinds that are told.
    further: usize,
}

impl Collector {
    pub(super) fn new(file: Arc<Path>) -> Self {
        Collector { file, reading: Reading::default(), untold: 0, further: 0 }
    }

    pub(super) fn into_reading(mut self) -> Reading {
        for SetAside { kind, api_version, count, line } in &self.reading.set_aside {
            let many = if *count == 1 { String::new() } else { format!(" ({count} of them)") };
            let message = format!("{kind} {api_version} set aside{many}: daemonlet has no use for this kind");
            self.reading.problems.push(self.of_file(Severity::Notice, *line, message));
        }
        if self.further > 0 {
            let message = format!("{} objects of further kinds set aside", self.further);
            self.reading.problems.push(self.of_file(Severity::Notice, 0, message));
        }
        if self.untold > 0 {
            let message = format!("{} more problems in this file are not listed", self.untold);
            self.reading.problems.push(self.of_file(Severity::Error, 0, message));
        }
        self.reading
    }

    fn of_file(&self, severity: Severity, line: u32, message: String) -> Problem {
        Problem { severity, file: self.file.clone(), line, field: String::new(), message, object: None }
    }

    fn tell(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            if self.reading.problems.len() < MAX_PROBLEMS {
                self.reading.problems.push(problem);
            } else {
                self.untold += 1;
            }
        }
    }

    /// The file as a whole can't be read.
    pub(super) fn whole_file(&mut self, message: String) {
        self.unreadable(0, message);
    }

    /// A document can't be parsed.
    pub(super) fn syntax(&mut self, error: &SyntaxError) {
        self.unreadable(error.line, format!("cannot parse this document: {error}"));
    }

    fn unreadable(&mut self, line: u32, message: String) {
        self.reading.refused.unidentified = true;
        self.tell([self.of_file(Severity::Error, line, message)]);
    }

    pub(super) fn document(&mut self, document: &Document) {
        let reporter = Reporter { file: &self.file, root: &document.root, object: key_of(&document.root) };
        let duplicates = document.duplicates.iter().map(|(path, line)| {
            let message = "duplicate key: the last one counts".to_owned();
            reporter.finding(Severity::Warning, Finding { path: path.clone(), line: *line, message })
        });
        let duplicates: Vec<_> = duplicates.collect();
        self.tell(duplicates);
        self.object(&document.root, None);
    }

    fn object(&mut self, root: &Node, inherited: Option<(&str, &str)>) {
        match &root.value {
            Value::Null => return,
            Value::Map(_) => {}
            other => {
                let kind = other.kind();
                return self
                    .unreadable(root.line, format!("a Kubernetes object is due here, not a lone {kind}"));
            }
        }
        match recognise(root, inherited) {
            Claim::Known(kind) => self.known(kind, root),
            Claim::List(items) => self.list(root, items),
            Claim::Other { kind, api_version } => self.set_aside(kind, api_version, root.line),
            Claim::OldVersion { kind, remedy } => {
                let key = metadata_key(kind, root);
                let reporter = Reporter { file: &self.file, root, object: key.clone() };
                let problem = reporter.at(Severity::Error, &FieldPath::new("apiVersion"), remedy);
                self.refuse(key, vec![problem]);
            }
            Claim::Nothing { field, message } => {
                let reporter = Reporter { file: &self.file, root, object: None };
                let problem = reporter.at(Severity::Error, &FieldPath::new(field), message);
                self.refuse(None, vec![problem]);
            }
        }
    }

    fn list(&mut self, root: &Node, inherited: Option<(&str, &str)>) {
        match root.get("items").map(|items| &items.value) {
            None | Some(Value::Null) => {}
            Some(Value::List(items)) => {
                for item in items {
                    self.object(item, inherited);
                }
            }
            Some(other) => {
                let message = format!("cannot read {} as array", other.kind());
                let reporter = Reporter { file: &self.file, root, object: None };
                let problem = reporter.at(Severity::Error, &FieldPath::new("items"), message);
                self.refuse(None, vec![problem]);
            }
        }
    }

    fn set_aside(&mut self, kind: &str, api_version: &str, line: u32) {
        let known = &mut self.reading.set_aside;
        let again = known.iter_mut().find(|aside| aside.kind == kind && aside.api_version == api_version);
        if let Some(aside) = again {
            aside.count += 1;
        } else if known.len() == MAX_KINDS {
            self.further += 1;
        } else {
            let (kind, api_version) = (kind.to_owned(), api_version.to_owned());
            known.push(SetAside { kind, api_version, count: 1, line });
        }
    }

    fn refuse(&mut self, key: Option<ObjectKey>, problems: Vec<Problem>) {
        self.tell(problems);
        match key {
            Some(key) => self.reading.refused.identified.push(key),
            None => self.reading.refused.unidentified = true,
        }
    }

    fn known(&mut self, kind: Kind, root: &Node) {
        match kind {
            Kind::DaemonSet => self.typed(kind, root, |o| Object::DaemonSet(Box::new(o))),
            Kind::ConfigMap => self.typed(kind, root, Object::ConfigMap),
            Kind::Secret => self.typed(kind, root, Object::Secret),
            Kind::Node => self.typed(kind, root, |o| Object::Node(Box::new(o))),
            Kind::Namespace => self.typed(kind, root, Object::Namespace),
            Kind::PriorityClass => self.typed(kind, root, Object::PriorityClass),
            Kind::RuntimeClass => self.typed(kind, root, Object::RuntimeClass),
            Kind::ControllerRevision => self.typed(kind, root, Object::ControllerRevision),
        }
    }

    fn typed<'de, T: Deserialize<'de>>(&mut self, kind: Kind, root: &'de Node, wrap: impl Fn(T) -> Object) {
        let key = metadata_key(kind, root);
        let reporter = Reporter { file: &self.file, root, object: key.clone() };
        if root.count() > MAX_VALUES {
            let message = format!("more than {MAX_VALUES} values in one object: split it");
            let problem = reporter.at(Severity::Error, &FieldPath::root(), message);
            return self.refuse(key, vec![problem]);
        }
        let (decoded, findings) = decode::<T>(root);
        let warnings = findings.unknown.into_iter().map(|f| reporter.finding(Severity::Warning, f));
        let mut problems: Vec<Problem> = warnings.collect();
        let mut refused = !findings.errors.is_empty();
        let faults: Vec<FieldPath> = findings.errors.iter().map(|finding| finding.path.clone()).collect();
        problems.extend(findings.errors.into_iter().map(|f| reporter.finding(Severity::Error, f)));
        let object = decoded.map(|decoded| {
            let mut object = wrap(decoded);
            defaults::apply(&mut object);
            if faults.len() > MAX_FAULTS {
                return object;
            }
            let mut broken = validate::object(&object, &|path| root.holds(path));
            if let Object::DaemonSet(daemon_set) = &object {
                broken.extend(validate::unsupported(daemon_set));
            }
            // A value that could not be read stands as zero in the object: what that breaks is no news.
            let news = broken.iter().filter(|error| !faults.iter().any(|fault| error.path.concerns(fault)));
            problems.extend(news.map(|error| reporter.broken_rule(error)));
            refused |= !broken.is_empty();
            object
        });
        match object {
            Some(object) if !refused => {
                self.tell(problems);
                let origin = Origin { file: self.file.clone(), line: root.line };
                self.reading.objects.push(Stored { origin, object });
            }
            _ => self.refuse(key, problems),
        }
    }
}

/// The key of an object of a known kind, as far as it can be told without decoding.
pub(super) fn key_of(root: &Node) -> Option<ObjectKey> {
    let kind = root.str("kind")?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    metadata_key(kind, root)
}

fn metadata_key(kind: Kind, root: &Node) -> Option<ObjectKey> {
    let metadata = root.get("metadata")?;
    let name = metadata.str("name").filter(|name| !name.is_empty())?.to_owned();
    let namespace = match metadata.get("namespace").map(|node| &node.value) {
        _ if !kind.is_namespaced() => String::new(),
        None | Some(Value::Null) => "default".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "default".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return None,
    };
    Some(ObjectKey { kind, namespace, name })
}
