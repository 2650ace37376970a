//! Kubernetes objects as users write them: read, defaulted, validated, and every problem told with its file and line.
//!
//! This room turns bytes into typed `k8s-openapi` objects exactly as the API server would (decode, default, validate). It does no
//! I/O: the `store` room brings the bytes, the CLI's `validate` does too.

pub(crate) mod decode;
pub mod defaults;
mod key;
mod object;
mod path;
mod problem;
mod quantity;
mod read;
mod scalar;
mod split;
pub(crate) mod tree;
pub mod validate;
pub(crate) mod yaml;

pub use key::{DaemonSetKey, Kind, ObjectKey};
pub use object::{Object, Objects, Origin, Stored};
pub use path::{FieldPath, Segment};
pub use problem::{Problem, Severity};
pub use quantity::{Quantity, QuantityError};
pub use read::{Lines, MAX_FILE_BYTES, Reading, Refused, SetAside, read};
