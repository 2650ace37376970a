//! Everything that is decided about an image before and after the runtime is asked: names, pull policy, back-off, messages and
//! credentials.
//!
//! Pure: the pod worker asks the runtime and pulls; this room only says what to do and how Kubernetes words it. Rules:
//! `pkg/kubelet/images/image_manager.go`, `pkg/util/parsers`, `pkg/credentialprovider` and the grammar of
//! `github.com/distribution/reference`.

mod credentials;
pub mod garbage;
mod glob;
mod message;
mod name;
mod policy;
mod progress;

pub use credentials::{Credential, CredentialsError, Keyring, SecretFormat};
pub use message::{
    ImageProblem, ImageReason, PullReport, already_present_event, back_off_event, pull_failed_event,
    pulling_event,
};
pub use name::{ImageName, ImageNameError, InvalidReference};
pub use policy::{Decision, Presence, PullPolicy, UnknownPullPolicy};
pub use progress::{PULLING, PullProgress, Pulling, Received};
