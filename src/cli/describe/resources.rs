//! What pods ask for, added up, and what of it a container is told by its environment. Rules: `PodRequests` and `PodLimits` in
//! component-helpers' `resource/helpers.go`; `ExtractContainerResourceValue` in kubectl's `pkg/util/resource`.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::manifest::Quantity;

/// An amount that can be added up, shown with the family of suffixes it was written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    milli: i128,
    is_binary: bool,
}

impl Amount {
    /// The amount of a quantity; nothing if it is none.
    pub(super) fn of(quantity: &str) -> Self {
        let milli = match quantity.parse::<Quantity>() {
            // Thousandths of what is whole may be more than a quantity's own thousandths can say.
            Ok(quantity) if quantity.is_whole() => i128::from(quantity.value()) * 1000,
            Ok(quantity) => i128::from(quantity.milli_value()),
            Err(_) => 0,
        };
        Self { milli, is_binary: quantity.ends_with('i') }
    }

    /// The share of `whole` that this is, in whole percent; 0 of nothing.
    pub(super) fn percent_of(&self, whole: &Self) -> i128 {
        if whole.milli == 0 { 0 } else { self.milli * 100 / whole.milli }
    }

    fn plus(self, other: Self) -> Self {
        let is_binary = if self.milli == 0 { other.is_binary } else { self.is_binary };
        Self { milli: self.milli + other.milli, is_binary }
    }

    fn max(self, other: Self) -> Self {
        if other.milli > self.milli { other } else { self }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let (step, suffixes) = if self.is_binary {
            (1024, ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
        } else {
            (1000, ["k", "M", "G", "T", "P", "E"])
        };
        let (mut value, mut suffix) = (self.milli / 1000, "");
        for next in suffixes {
            if value == 0 || value % step != 0 {
                break;
            }
            (value, suffix) = (value / step, next);
        }
        write!(f, "{value}{suffix}")
    }
}

type Amounts = BTreeMap<String, Amount>;

/// What one pod, or several, ask for.
#[derive(Debug, Default)]
pub(super) struct PodAmounts {
    requests: Amounts,
    limits: Amounts,
}

impl PodAmounts {
    /// What a pod asks for: all that runs at once at its height, and the runtime's own overhead.
    pub(super) fn of(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let overhead = amounts(spec.overhead.as_ref());
        let at_height = |list: fn(&ResourceRequirements) -> Option<&BTreeMap<String, ApiQuantity>>| {
            let of = |container: &Container| amounts(container.resources.as_ref().and_then(list));
            let mut running = Amounts::new();
            spec.containers.iter().for_each(|container| add(&mut running, &of(container)));
            let mut sidecars = Amounts::new();
            let mut highest = Amounts::new();
            for init in spec.init_containers.iter().flatten() {
                let mut while_it_runs = sidecars.clone();
                add(&mut while_it_runs, &of(init));
                for (name, amount) in &while_it_runs {
                    let known = highest.entry(name.clone()).or_default();
                    *known = known.max(*amount);
                }
                if init.restart_policy.as_deref() == Some("Always") {
                    add(&mut sidecars, &of(init));
                }
            }
            add(&mut running, &sidecars);
            for (name, amount) in highest {
                let known = running.entry(name).or_default();
                *known = known.max(amount);
            }
            running
        };
        let mut pod = Self {
            requests: at_height(|resources| resources.requests.as_ref()),
            limits: at_height(|resources| resources.limits.as_ref()),
        };
        add(&mut pod.requests, &overhead);
        for (name, amount) in overhead {
            // Overhead is added to a limit, but makes none.
            if let Some(limit) = pod.limits.get_mut(&name) {
                *limit = limit.plus(amount);
            }
        }
        pod
    }

    pub(super) fn add(&mut self, other: &Self) {
        add(&mut self.requests, &other.requests);
        add(&mut self.limits, &other.limits);
    }

    pub(super) fn request(&self, name: &str) -> Amount {
        self.requests.get(name).copied().unwrap_or_default()
    }

    pub(super) fn limit(&self, name: &str) -> Amount {
        self.limits.get(name).copied().unwrap_or_default()
    }
}

/// What a container's own limit or request comes to in the units that it is asked for in, rounded up; none where there is no such resource.
pub(super) fn told(field: &ResourceFieldSelector, container: &Container) -> Option<String> {
    let (list, name) = field.resource.split_once('.')?;
    let resources = container.resources.as_ref();
    let list = match list {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return None,
    };
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return None;
    }
    // CPUs are told in thousandths' worth, all else in whole units.
    let counted = |quantity: Quantity| {
        i128::from(if name == "cpu" { quantity.milli_value() } else { quantity.value() })
    };
    let parsed = |quantity: &ApiQuantity| quantity.0.parse::<Quantity>().ok();
    let amount = list.and_then(|list| list.get(name)).and_then(parsed).unwrap_or(Quantity::ZERO);
    let unit = field.divisor.as_ref().and_then(parsed).filter(|unit| !unit.is_zero());
    let (amount, unit) = (counted(amount), counted(unit.unwrap_or(Quantity::from_value(1))));
    Some((amount.div_euclid(unit) + i128::from(amount.rem_euclid(unit) != 0)).to_string())
}

fn amounts(quantities: Option<&BTreeMap<String, ApiQuantity>>) -> Amounts {
    let quantities = quantities.into_iter().flatten();
    quantities.map(|(name, quantity)| (name.clone(), Amount::of(&quantity.0))).collect()
}

fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.plus(*amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_add_up_and_are_shown_in_their_own_suffixes() {
        for (amounts, shown) in [
            (&["100m", "200m"][..], "300m"),
            (&["500m", "0.5"], "1"),
            (&["100Mi", "924Mi"], "1Gi"),
            (&["1Gi", "1"], "1073741825"),
            (&["1G", "500M"], "1500M"),
            (&[], "0"),
            (&["no quantity"], "0"),
        ] {
            let sum = amounts.iter().fold(Amount::default(), |sum, amount| sum.plus(Amount::of(amount)));
            assert_eq!(sum.to_string(), shown, "{amounts:?}");
        }
        assert_eq!(Amount::of("250m").percent_of(&Amount::of("2")), 12);
        assert_eq!(Amount::of("1").percent_of(&Amount::default()), 0);
    }

    #[test]
    fn a_container_is_told_its_own_resources_in_the_units_that_it_asks_for() {
        let container: Container = serde_json::from_value(json!({"name": "c", "resources": {
            "limits": {"cpu": "1500m", "memory": "128Mi", "hugepages-2Mi": "4Mi"}, "requests": {"cpu": "250m"},
        }}))
        .unwrap();
        for (resource, divisor, expected) in [
            ("limits.cpu", None, Some("2")),
            ("limits.cpu", Some("1m"), Some("1500")),
            ("requests.cpu", Some("0"), Some("1")),
            ("limits.memory", None, Some("134217728")),
            ("limits.memory", Some("1Mi"), Some("128")),
            ("limits.memory", Some("1G"), Some("1")),
            ("limits.hugepages-2Mi", Some("1Mi"), Some("4")),
            ("requests.memory", None, Some("0")),
            ("limits.ephemeral-storage", None, Some("0")),
            ("limits.pods", None, None),
            ("overhead.cpu", None, None),
            ("cpu", None, None),
        ] {
            let field = serde_json::from_value(json!({"resource": resource, "divisor": divisor})).unwrap();
            assert_eq!(told(&field, &container).as_deref(), expected, "{resource} / {divisor:?}");
        }
    }

    #[test]
    fn a_pod_asks_for_what_it_needs_at_its_height() {
        let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let sidecar = json!({
            "name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}},
        });
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "overhead": {"cpu": "10m"},
            "initContainers": [sidecar, container("600m")],
            "containers": [container("200m"), container("300m")],
        }}))
        .unwrap();
        let amounts = PodAmounts::of(&pod);
        assert_eq!(amounts.request("cpu").to_string(), "710m");
        assert_eq!(amounts.limit("cpu").to_string(), "0");
    }
}
