//! Field paths as the API server writes them: `spec.template.spec.containers[0].resources.limits[cpu]`.
//!
//! A path is kept as its segments, so that the same value names a field in a message and finds its line in a document. The
//! notation is that of `apimachinery/pkg/util/validation/field/path.go`.

use std::borrow::Cow;
use std::fmt;

/// One step from a value to a value inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A named field of an object.
    Field(Cow<'static, str>),
    /// An entry of a list.
    Index(usize),
    /// An entry of a map whose keys the user chooses.
    Key(String),
}

/// The way from an object to one of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The object itself.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path of these nested fields, separated by dots.
    pub fn new(fields: &'static str) -> Self {
        Self::root().child(fields)
    }

    /// A field below this path, or several nested ones separated by dots.
    #[must_use]
    pub fn child(&self, fields: &'static str) -> Self {
        let mut longer = self.clone();
        longer.0.extend(fields.split('.').map(|field| Segment::Field(Cow::Borrowed(field))));
        longer
    }

    /// An entry of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// An entry of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// This path and one more step.
    #[must_use]
    pub fn with(&self, segment: Segment) -> Self {
        let mut longer = self.clone();
        longer.0.push(segment);
        longer
    }

    /// Whether one of the two paths leads through the other.
    pub(crate) fn concerns(&self, other: &FieldPath) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }

    /// The steps from the object inwards.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if position == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_the_api_server_writes_them() {
        let container = FieldPath::new("spec.template.spec").child("containers").index(0);
        assert_eq!(
            container.child("resources.limits").key("cpu").to_string(),
            "spec.template.spec.containers[0].resources.limits[cpu]"
        );
        assert_eq!(FieldPath::root().to_string(), "");
    }
}
