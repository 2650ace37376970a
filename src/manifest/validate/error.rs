//! One broken rule, printed as the API server prints it (`apimachinery/pkg/util/validation/field/errors.go`).

use std::fmt;

use crate::manifest::path::FieldPath;

/// A field that breaks a rule of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field.
    pub path: FieldPath,
    /// The kind of fault, with the value where Kubernetes shows it.
    pub kind: FieldErrorKind,
    /// More words; may be empty.
    pub detail: String,
}

/// The kinds of fault that the API server tells apart. A value is held as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// `FieldValueRequired`
    Required,
    /// `FieldValueInvalid`
    Invalid(String),
    /// `FieldValueDuplicate`
    Duplicate(String),
    /// `FieldValueNotSupported`
    NotSupported(String),
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueNotFound`
    NotFound(String),
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany(usize),
}

/// A value as it is shown in an error: texts in quotes, numbers and booleans plainly.
pub trait Shown {
    /// The printed form.
    fn shown(&self) -> String;
}

impl Shown for str {
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.as_str().shown()
    }
}

macro_rules! shown_plainly {
    ($($kind:ty),*) => {$(
        impl Shown for $kind {
            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

shown_plainly!(bool, i32, i64, usize);

impl Shown for serde_json::Value {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl FieldError {
    /// The field must have a value.
    pub fn required(path: FieldPath, detail: impl Into<String>) -> Self {
        Self { path, kind: FieldErrorKind::Required, detail: detail.into() }
    }

    /// The value breaks a rule.
    pub fn invalid<V: Shown + ?Sized>(path: FieldPath, value: &V, detail: impl Into<String>) -> Self {
        Self { path, kind: FieldErrorKind::Invalid(value.shown()), detail: detail.into() }
    }

    /// The value is taken.
    pub fn duplicate<V: Shown + ?Sized>(path: FieldPath, value: &V) -> Self {
        Self { path, kind: FieldErrorKind::Duplicate(value.shown()), detail: String::new() }
    }

    /// The value is none of the few that there are.
    pub fn not_supported<V: Shown + ?Sized>(path: FieldPath, value: &V, supported: &[&str]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<_> = supported.iter().map(|value| value.shown()).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self { path, kind: FieldErrorKind::NotSupported(value.shown()), detail }
    }

    /// The field must not be set here.
    pub fn forbidden(path: FieldPath, detail: impl Into<String>) -> Self {
        Self { path, kind: FieldErrorKind::Forbidden, detail: detail.into() }
    }

    /// The value names something that does not exist.
    pub fn not_found<V: Shown + ?Sized>(path: FieldPath, value: &V) -> Self {
        Self { path, kind: FieldErrorKind::NotFound(value.shown()), detail: String::new() }
    }

    /// The value has more bytes than it may.
    pub fn too_long(path: FieldPath, max: usize) -> Self {
        let detail = format!("may not be more than {max} bytes");
        Self { path, kind: FieldErrorKind::TooLong, detail }
    }

    /// The list has more items than it may.
    pub fn too_many(path: FieldPath, found: usize, max: usize) -> Self {
        let detail = format!("must have at most {max} items");
        Self { path, kind: FieldErrorKind::TooMany(found), detail }
    }

    /// The error without its path.
    pub fn message(&self) -> String {
        let head = match &self.kind {
            FieldErrorKind::Required => "Required value".to_owned(),
            FieldErrorKind::Invalid(value) => format!("Invalid value: {value}"),
            FieldErrorKind::Duplicate(value) => format!("Duplicate value: {value}"),
            FieldErrorKind::NotSupported(value) => format!("Unsupported value: {value}"),
            FieldErrorKind::Forbidden => "Forbidden".to_owned(),
            FieldErrorKind::NotFound(value) => format!("Not found: {value}"),
            FieldErrorKind::TooLong => "Too long".to_owned(),
            FieldErrorKind::TooMany(found) => format!("Too many: {found}"),
        };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}

/// The broken rules of one object, gathered.
#[derive(Debug, Default)]
pub(super) struct Errors(pub(super) Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, error: FieldError) {
        self.0.push(error);
    }

    pub(super) fn required(&mut self, path: FieldPath, detail: &str) {
        self.add(FieldError::required(path, detail));
    }

    pub(super) fn invalid<V: Shown + ?Sized>(
        &mut self,
        path: FieldPath,
        value: &V,
        detail: impl Into<String>,
    ) {
        self.add(FieldError::invalid(path, value, detail));
    }

    pub(super) fn forbidden(&mut self, path: FieldPath, detail: &str) {
        self.add(FieldError::forbidden(path, detail));
    }

    /// One invalid-value error for each message.
    pub(super) fn format<V: Shown + ?Sized>(&mut self, path: &FieldPath, value: &V, broken: Vec<String>) {
        for message in broken {
            self.invalid(path.clone(), value, message);
        }
    }

    /// The value must be one of a few.
    pub(super) fn one_of(&mut self, path: FieldPath, value: &str, supported: &[&str]) {
        if !supported.contains(&value) {
            self.add(FieldError::not_supported(path, value, supported));
        }
    }

    /// The number must not be negative.
    pub(super) fn not_negative(&mut self, path: FieldPath, value: Option<i64>) {
        if let Some(value) = value.filter(|value| *value < 0) {
            self.invalid(path, &value, "must be greater than or equal to 0");
        }
    }

    /// The text must be there.
    pub(super) fn present(&mut self, path: FieldPath, value: &str) -> bool {
        if value.is_empty() {
            self.required(path, "");
        }
        !value.is_empty()
    }
}
