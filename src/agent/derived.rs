//! What follows from the configuration and from what is known of this host: the other rooms' own settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cgroup::{CgroupError, CgroupManager};
use crate::config::{Poll, Settings};
use crate::cri::translate::Host;
use crate::cri::translate::cgroup_parent::CgroupName;
use crate::cri::translate::host::{Allocatable, Cgroups};
use crate::eviction::measure::Meter;
use crate::manifest::Quantity;
use crate::node::{HostFacts, ResourcePolicy};
use crate::pod::node_credentials::CredentialsFile;
use crate::state_dir::StateEntry;
use crate::store::{DirSettings, PollMode, TrustSettings};

/// Where the node's registry credentials are: where the kubelet would look for them below its root directory, unless configured.
pub(super) fn credentials_file(settings: &Settings) -> CredentialsFile {
    match &settings.image_credentials_file {
        Some(path) => CredentialsFile::Configured(path.clone()),
        None => CredentialsFile::Default(settings.root_dir.join("config.json")),
    }
}

/// Who makes the pods' cgroups.
pub(super) fn cgroups(host: &Host) -> Result<CgroupManager, CgroupError> {
    let Cgroups { version, driver, .. } = host.cgroups;
    let root = CgroupName::all_pods(&host.cgroups).path(driver);
    CgroupManager::new(version, driver, Path::new("/sys/fs/cgroup"), &root)
}

/// Where to look for what the node has left.
pub(super) fn meter(root_dir: &Path, host: &Host, facts: &HostFacts, memory_of_pods: u64) -> Meter {
    Meter {
        proc: PathBuf::from("/proc"),
        cgroups: PathBuf::from("/sys/fs/cgroup"),
        version: host.cgroups.version,
        all_pods: CgroupName::all_pods(&host.cgroups).path(host.cgroups.driver),
        memory_capacity: facts.memory_bytes,
        memory_of_pods,
        root_dir: root_dir.to_owned(),
        image_dir: None,
        layer_dir: None,
    }
}

/// What all pods together may have: everything but what is reserved (`kubepods`, with `enforceNodeAllocatable: [pods]`).
pub(super) fn node_limits(facts: &HostFacts, resources: &ResourcePolicy) -> crate::cgroup::Limits {
    let (system, kube) = (resources.system_reserved, resources.kube_reserved);
    let cpu_millis = (u64::from(facts.cpus) * 1000).saturating_sub(system.cpu_millis + kube.cpu_millis);
    crate::cgroup::Limits {
        cpu_shares: Some((cpu_millis * 1024 / 1000).max(2)),
        memory: Some(facts.memory_bytes.saturating_sub(system.memory_bytes + kube.memory_bytes)),
        ..crate::cgroup::Limits::default()
    }
}

pub(super) fn store_settings(settings: &Settings) -> DirSettings {
    let store = &settings.store;
    DirSettings {
        settle: store.settle,
        poll: match store.poll {
            Poll::Auto => PollMode::Auto,
            Poll::Always => PollMode::Always,
            Poll::Never => PollMode::Never,
        },
        poll_interval: store.poll_interval,
        relist_interval: store.relist_interval,
        empty_hold: store.empty_hold,
        trust: store_trust(settings),
        ..DirSettings::new(&store.path, last_good(settings))
    }
}

/// What vouches for the store; none where nothing has to.
pub(crate) fn store_trust(settings: &Settings) -> Option<TrustSettings> {
    let trust_file = settings.trust_file.clone()?;
    Some(TrustSettings { trust_file, bundles: StateEntry::Bundles.below(&settings.root_dir) })
}

/// Where the last good content of the store is.
pub(crate) fn last_good(settings: &Settings) -> PathBuf {
    StateEntry::Store.below(&settings.root_dir).join("last-good.json")
}

pub(super) fn amounts(
    allocatable: &BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
) -> Allocatable {
    let amount = |name: &str| allocatable.get(name).and_then(|text| text.0.parse::<Quantity>().ok());
    Allocatable {
        cpu_milli: amount("cpu").map_or(0, Quantity::milli_value),
        memory_bytes: amount("memory").map_or(0, Quantity::value),
        ephemeral_storage_bytes: amount("ephemeral-storage").map(Quantity::value),
    }
}
