//! The host name a pod sees, and the domain it belongs to.
//!
//! Rules: `GeneratePodHostNameAndDomain` and `GetNodenameForKernel` in the kubelet (`pkg/kubelet/kubelet_pods.go`,
//! `pkg/kubelet/util/util.go`).

use super::error::TranslateError;
use super::view::PodView;

/// The kernel's limit for `sethostname(2)`.
const KERNEL_LIMIT: usize = 64;
/// One DNS label.
const LABEL_LIMIT: usize = 63;
/// A whole DNS name.
const SUBDOMAIN_LIMIT: usize = 253;

/// A pod's short host name and its domain; `/etc/hosts` always has this pair, whatever the kernel is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodHostname {
    /// At most 63 bytes; may hold dots, since a pod's name may.
    pub host: String,
    /// `<subdomain>.<namespace>.svc.<cluster domain>`; empty if the pod has no subdomain.
    pub domain: String,
}

impl PodHostname {
    pub(super) fn of(pod: &PodView<'_>, cluster_domain: &str) -> Result<Self, TranslateError> {
        let spec = pod.spec;
        if let Some(name) = &spec.hostname_override {
            if let Some(problem) = subdomain_problem(name) {
                return Err(TranslateError::HostnameOverride { name: name.clone(), problem });
            }
            return Ok(Self { host: truncate(pod.name, name)?, domain: String::new() });
        }
        let base = match spec.hostname.as_deref() {
            Some(name) if !name.is_empty() => label_problem(name).map_or(Ok(name), |problem| {
                Err(TranslateError::Hostname { name: name.to_owned(), problem })
            })?,
            _ => pod.name,
        };
        let host = truncate(pod.name, base)?;
        let domain = match spec.subdomain.as_deref() {
            Some(name) if !name.is_empty() => {
                if let Some(problem) = label_problem(name) {
                    return Err(TranslateError::Subdomain { name: name.to_owned(), problem });
                }
                format!("{name}.{}.svc.{cluster_domain}", pod.namespace)
            }
            _ => String::new(),
        };
        Ok(Self { host, domain })
    }

    /// The name the kernel is told: the short one, or with `setHostnameAsFQDN` the whole one.
    ///
    /// # Errors
    /// The whole name is longer than the kernel takes.
    pub fn for_kernel(&self, as_fqdn: bool) -> Result<String, TranslateError> {
        if !as_fqdn || self.domain.is_empty() {
            return Ok(self.host.clone());
        }
        let fqdn = format!("{}.{}", self.host, self.domain);
        if fqdn.len() > KERNEL_LIMIT {
            return Err(TranslateError::FqdnTooLong { limit: KERNEL_LIMIT, length: fqdn.len(), fqdn });
        }
        Ok(fqdn)
    }
}

fn truncate(pod: &str, name: &str) -> Result<String, TranslateError> {
    if name.len() <= LABEL_LIMIT {
        return Ok(name.to_owned());
    }
    let cut = name.get(..LABEL_LIMIT).unwrap_or_default().trim_end_matches(['-', '.']);
    if cut.is_empty() {
        return Err(TranslateError::EmptyHostname { pod: pod.to_owned(), name: name.to_owned() });
    }
    Ok(cut.to_owned())
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

fn label_problem(name: &str) -> Option<String> {
    let mut problems = Vec::new();
    if name.len() > LABEL_LIMIT {
        problems.push(format!("must be no more than {LABEL_LIMIT} bytes"));
    }
    if !is_label(name) {
        problems.push(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
             and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    (!problems.is_empty()).then(|| problems.join(";"))
}

fn subdomain_problem(name: &str) -> Option<String> {
    let mut problems = Vec::new();
    if name.len() > SUBDOMAIN_LIMIT {
        problems.push(format!("must be no more than {SUBDOMAIN_LIMIT} bytes"));
    }
    if !name.split('.').all(is_label) {
        problems.push(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned(),
        );
    }
    (!problems.is_empty()).then(|| problems.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::PodSpec;
    use proptest::prelude::*;

    fn named(name: &str, spec: &PodSpec) -> Result<PodHostname, TranslateError> {
        PodHostname::of(&PodView::for_tests(name, "ns", spec), "cluster.local")
    }

    fn pair(host: &str, domain: &str) -> PodHostname {
        PodHostname { host: host.to_owned(), domain: domain.to_owned() }
    }

    #[test]
    fn the_name_is_the_pods_unless_the_spec_gives_one() {
        let spec = PodSpec::default();
        assert_eq!(named("ds-abcde", &spec).unwrap(), pair("ds-abcde", ""));
        assert_eq!(named("with.dots", &spec).unwrap(), pair("with.dots", ""));
        let spec = PodSpec { hostname: Some("db".into()), subdomain: Some("s".into()), ..PodSpec::default() };
        assert_eq!(named("p", &spec).unwrap(), pair("db", "s.ns.svc.cluster.local"));
        let spec = PodSpec { subdomain: Some("s".into()), ..PodSpec::default() };
        assert_eq!(
            PodHostname::of(&PodView::for_tests("p", "ns", &spec), "").unwrap(),
            pair("p", "s.ns.svc.")
        );
        let spec = PodSpec { hostname_override: Some("a.b.c".into()), ..spec };
        assert_eq!(named("p", &spec).unwrap(), pair("a.b.c", ""));
    }

    #[test]
    fn a_long_name_is_cut_to_a_label_and_never_ends_in_a_separator() {
        let spec = PodSpec::default();
        assert_eq!(named(&"a".repeat(70), &spec).unwrap().host, "a".repeat(63));
        assert_eq!(
            named(&format!("{}-.-{}", "a".repeat(60), "b".repeat(9)), &spec).unwrap().host,
            "a".repeat(60)
        );
        assert!(matches!(named(&"-".repeat(70), &spec), Err(TranslateError::EmptyHostname { .. })));
    }

    #[test]
    fn a_name_that_is_no_label_is_an_error_in_the_kubelets_words() {
        let spec = PodSpec { hostname: Some("A_b".into()), ..PodSpec::default() };
        let told = named("p", &spec).unwrap_err().to_string();
        assert!(
            told.starts_with("pod Hostname \"A_b\" is not a valid DNS label: a lowercase RFC 1123"),
            "{told}"
        );
        let spec = PodSpec { subdomain: Some("a.b".into()), ..PodSpec::default() };
        assert!(matches!(named("p", &spec), Err(TranslateError::Subdomain { .. })));
    }

    #[test]
    fn the_kernel_gets_the_whole_name_only_when_asked_and_only_up_to_64_bytes() {
        let name = pair("host", "s.ns.svc.cluster.local");
        assert_eq!(name.for_kernel(false).unwrap(), "host");
        assert_eq!(name.for_kernel(true).unwrap(), "host.s.ns.svc.cluster.local");
        assert_eq!(pair("host", "").for_kernel(true).unwrap(), "host");
        let long = pair(&"h".repeat(50), "s.ns.svc.cluster.local");
        assert_eq!(
            long.for_kernel(true).unwrap_err().to_string(),
            format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {}.s.ns.svc.cluster.local is \
                 too long (64 characters is the max, 73 characters requested)",
                "h".repeat(50)
            )
        );
    }

    proptest! {
        #[test]
        fn every_dns_name_yields_a_usable_host_name(name in "[a-z0-9]([-a-z0-9.]{0,120}[a-z0-9])?") {
            let spec = PodSpec::default();
            let host = named(&name, &spec).unwrap().host;
            prop_assert!(!host.is_empty() && host.len() <= 63);
            prop_assert!(name.starts_with(&host));
            prop_assert!(!host.ends_with(['-', '.']));
        }
    }
}
