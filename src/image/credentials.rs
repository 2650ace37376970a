//! Registry credentials: read from docker's formats, and which of them go with an image.
//!
//! Pure: pull secrets and the node's credentials file are brought as bytes. Passwords show in no `Debug` text and no error.
//! Rule: `pkg/credentialprovider/{config,keyring}.go`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::ImageName;
use super::glob;

const DEFAULT_REGISTRY: &str = "index.docker.io";

/// Which of docker's two formats a secret is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFormat {
    /// `kubernetes.io/dockerconfigjson`, and a node's `config.json`: registries under `auths`.
    DockerConfigJson,
    /// `kubernetes.io/dockercfg`, and a node's `.dockercfg`: registries at the top.
    Dockercfg,
}

impl SecretFormat {
    /// The format of a Secret of this `type`; `None` when it is no pull secret.
    pub fn of_secret_type(secret_type: &str) -> Option<Self> {
        match secret_type {
            "kubernetes.io/dockerconfigjson" => Some(Self::DockerConfigJson),
            "kubernetes.io/dockercfg" => Some(Self::Dockercfg),
            _ => None,
        }
    }

    /// The key of the Secret's `data` that holds the credentials.
    pub const fn data_key(self) -> &'static str {
        match self {
            Self::DockerConfigJson => ".dockerconfigjson",
            Self::Dockercfg => ".dockercfg",
        }
    }
}

/// A user name and a password for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub username: String,
    /// The password or token; never shown.
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).field("password", &"…").finish()
    }
}

/// Why credentials can't be read. Says where, never what was found there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The document does not have docker's shape.
    #[error("not valid registry credentials: line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// `auth` is no base64 text.
    #[error("the auth field of registry {0:?} is not base64")]
    AuthNotBase64(String),
    /// `auth` decodes to something without a colon.
    #[error("unable to parse auth field of registry {0:?}, must be formatted as base64(username:password)")]
    AuthWithoutColon(String),
}

#[derive(Deserialize)]
struct DockerConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

impl Entry {
    fn credential(self, registry: &str) -> Result<Credential, CredentialsError> {
        if self.auth.is_empty() {
            return Ok(Credential { username: self.username, password: self.password });
        }
        let text: String = self.auth.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let engine = if text.trim_end().ends_with('=') { STANDARD } else { STANDARD_NO_PAD };
        let not_base64 = || CredentialsError::AuthNotBase64(registry.to_owned());
        let decoded = engine.decode(text.trim_end()).map_err(|_| not_base64())?;
        let decoded = String::from_utf8(decoded).map_err(|_| not_base64())?;
        let (username, password) =
            decoded.split_once(':').ok_or_else(|| CredentialsError::AuthWithoutColon(registry.to_owned()))?;
        Ok(Credential { username: username.to_owned(), password: password.to_owned() })
    }
}

/// The credentials of one pod, or of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyring {
    /// In reverse order of the registry's text, so that the more specific comes first.
    by_registry: BTreeMap<std::cmp::Reverse<Location>, Vec<Credential>>,
}

impl Keyring {
    /// Adds the credentials of one document.
    ///
    /// # Errors
    /// When the document can't be read; nothing of it is added then.
    pub fn add(&mut self, format: SecretFormat, document: &[u8]) -> Result<(), CredentialsError> {
        let read = match format {
            SecretFormat::DockerConfigJson => {
                serde_json::from_slice::<DockerConfigJson>(document).map(|config| config.auths)
            }
            SecretFormat::Dockercfg => serde_json::from_slice(document),
        };
        // serde's own text may quote the value it stumbled over.
        let entries: BTreeMap<String, Entry> =
            read.map_err(|error| CredentialsError::Json { line: error.line(), column: error.column() })?;
        let credentials = entries
            .into_iter()
            .map(|(registry, entry)| Ok((Location::of_config_key(&registry), entry.credential(&registry)?)))
            .collect::<Result<Vec<_>, _>>()?;
        for (location, credential) in credentials {
            self.by_registry.entry(std::cmp::Reverse(location)).or_default().push(credential);
        }
        Ok(())
    }

    /// Every credential that goes with the image, in the order to try them. None: pull once without.
    pub fn lookup(&self, image: &ImageName) -> Vec<&Credential> {
        let target = Location::split(image.repository());
        let matching: Vec<_> = self
            .by_registry
            .iter()
            .filter(|(location, _)| location.0.covers(&target))
            .flat_map(|(_, credentials)| credentials)
            .collect();
        if !matching.is_empty() || target.host != "docker.io" {
            return matching;
        }
        self.by_registry
            .get(&std::cmp::Reverse(Location::split(DEFAULT_REGISTRY)))
            .into_iter()
            .flatten()
            .collect()
    }
}

/// A registry and a path in it. The text orders it, as Kubernetes sorts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Location {
    text: String,
    host: String,
    port: String,
    path: String,
}

impl Location {
    /// A key of docker's configuration: a scheme and docker's API version in it mean nothing.
    fn of_config_key(key: &str) -> Self {
        let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let key = key.split(['?', '#']).next().unwrap_or(key);
        let (host, path) = key.find('/').map_or((key, ""), |slash| key.split_at(slash));
        let path = match path.get(..4) {
            Some("/v1/" | "/v2/") => &path[3..],
            _ => path,
        };
        Self::split(&if path == "/" { host.to_owned() } else { format!("{host}{path}") })
    }

    fn split(text: &str) -> Self {
        let (authority, path) = text.find('/').map_or((text, ""), |slash| text.split_at(slash));
        let after_address = authority.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match authority[after_address..].rfind(':') {
            Some(colon) => (&authority[..after_address + colon], &authority[after_address + colon + 1..]),
            None => (authority, ""),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { text: text.to_owned(), host: host.to_owned(), port: port.to_owned(), path: path.to_owned() }
    }

    /// Is `self`, whose host may hold patterns, a registry and path that `target` is in?
    fn covers(&self, target: &Self) -> bool {
        let (labels, target_labels) = (self.host.split('.'), target.host.split('.'));
        self.port == target.port
            && labels.clone().count() == target_labels.clone().count()
            && target.path.starts_with(&self.path)
            && labels.zip(target_labels).all(|(pattern, label)| glob::matches(pattern, label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(registries: &[&str]) -> Keyring {
        let auths: serde_json::Map<_, _> = registries
            .iter()
            .map(|registry| {
                ((*registry).to_owned(), serde_json::json!({"username": registry, "password": "secret"}))
            })
            .collect();
        let mut keyring = Keyring::default();
        keyring
            .add(SecretFormat::DockerConfigJson, serde_json::json!({ "auths": auths }).to_string().as_bytes())
            .unwrap();
        keyring
    }

    fn users<'a>(keyring: &'a Keyring, image: &str) -> Vec<&'a str> {
        keyring.lookup(&ImageName::parse(image).unwrap()).iter().map(|c| c.username.as_str()).collect()
    }

    #[test]
    fn a_registry_matches_by_label_port_and_path() {
        for (registry, image, matches) in [
            ("r.example", "r.example/a:1", true),
            ("https://r.example", "r.example/a", true),
            ("http://r.example/v1/", "r.example/a", true),
            ("https://r.example/v2/", "r.example/a", true),
            ("r.example/a", "r.example/a/b", true),
            ("r.example/a", "r.example/b", false),
            ("r.example/v2/a", "r.example/a/b", true),
            ("*.example", "r.example/a", true),
            ("*.*.example", "r.example/a", false),
            ("*.example", "a.r.example/a", false),
            ("r*.example", "registry.example/a", true),
            ("r.example:5000", "r.example:5000/a", true),
            ("r.example:5000", "r.example/a", false),
            ("r.example", "r.example:5000/a", false),
            ("[fd00::1]:5000", "[fd00::1]:5000/a", true),
            ("docker.io", "busybox", true),
            ("https://index.docker.io/v1/", "busybox", true),
            ("https://index.docker.io/v1/", "docker.io/prom/x", true),
            ("https://index.docker.io/v1/", "r.example/x", false),
        ] {
            let keyring = keyring(&[registry]);
            assert_eq!(!users(&keyring, image).is_empty(), matches, "{registry} {image}");
        }
    }

    #[test]
    fn the_more_specific_credential_is_tried_first() {
        let keyring = keyring(&["r.example", "*.example", "r.example/a/b", "r.example/a"]);
        assert_eq!(
            users(&keyring, "r.example/a/b/c:1"),
            ["r.example/a/b", "r.example/a", "r.example", "*.example"]
        );
        assert_eq!(users(&keyring, "r.example/x"), ["r.example", "*.example"]);
    }

    #[test]
    fn the_default_registrys_credential_is_for_hub_images_that_nothing_else_matches() {
        let keyring = keyring(&["https://index.docker.io/v1/", "docker.io/prom"]);
        assert_eq!(users(&keyring, "prom/x"), ["docker.io/prom"]);
        assert_eq!(users(&keyring, "busybox"), ["https://index.docker.io/v1/"]);
    }

    #[test]
    fn auth_is_a_user_and_a_password_in_base64_padded_or_not() {
        for auth in ["dXNlcjpwYTpzcw==", "dXNlcjpwYTpzcw", "dXNlcjpw\nYTpzcw=="] {
            let mut keyring = Keyring::default();
            let document = serde_json::json!({"r.example": {"auth": auth, "username": "other"}}).to_string();
            keyring.add(SecretFormat::Dockercfg, document.as_bytes()).unwrap();
            let image = ImageName::parse("r.example/a").unwrap();
            assert_eq!(
                keyring.lookup(&image),
                [&Credential { username: "user".into(), password: "pa:ss".into() }]
            );
        }
    }

    #[test]
    fn a_document_that_cant_be_read_adds_nothing_and_gives_no_secret_away() {
        let auth = |auth: &str| serde_json::json!({"auths": {"r.example": {"auth": auth}}}).to_string();
        let format = SecretFormat::DockerConfigJson;
        for (document, error) in [
            (auth("aHVudGVyMg=="), CredentialsError::AuthWithoutColon("r.example".into())),
            (auth("%%%"), CredentialsError::AuthNotBase64("r.example".into())),
            (r#"{"auths": "hunter2"}"#.to_owned(), CredentialsError::Json { line: 1, column: 19 }),
        ] {
            let mut keyring = Keyring::default();
            let found = keyring.add(format, document.as_bytes()).unwrap_err();
            assert_eq!(found, error);
            assert!(!found.to_string().contains("hunter2"));
            assert_eq!(keyring, Keyring::default());
        }
        let credential = Credential { username: "u".into(), password: "hunter2".into() };
        assert!(!format!("{credential:?}").contains("hunter2"));
    }

    #[test]
    fn only_dockers_two_secret_types_are_pull_secrets() {
        for format in [SecretFormat::DockerConfigJson, SecretFormat::Dockercfg] {
            let secret_type = format!("kubernetes.io/{}", &format.data_key()[1..]);
            assert_eq!(SecretFormat::of_secret_type(&secret_type), Some(format));
        }
        assert_eq!(SecretFormat::of_secret_type("Opaque"), None);
    }
}
