//! Huge pages: the names of resources and those of cgroup files.
//!
//! Rules: `HugePageSizeFromResourceName` and `HugePageUnitSizeFromByteSize` in Kubernetes' `pkg/apis/core/v1/helper`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::amount::whole_of;

const PREFIX: &str = "hugepages-";

/// The page size that a resource such as `hugepages-2Mi` names, as cgroup files write it: `2MB`.
pub(super) fn page_size(resource: &str) -> Option<String> {
    let bytes = whole_of(&Quantity(resource.strip_prefix(PREFIX)?.to_owned()));
    (bytes > 0).then(|| unit_size(bytes))
}

fn unit_size(mut bytes: i64) -> String {
    let mut units = ["KB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = "B";
    while bytes >= 1024 && bytes % 1024 == 0 {
        let Some(next) = units.next() else { break };
        unit = next;
        bytes /= 1024;
    }
    format!("{bytes}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_name_their_page_size() {
        for (resource, size) in [
            ("hugepages-2Mi", Some("2MB")),
            ("hugepages-2048Ki", Some("2MB")),
            ("hugepages-1Gi", Some("1GB")),
            ("hugepages-64Ki", Some("64KB")),
            ("memory", None),
            ("hugepages-", None),
        ] {
            assert_eq!(page_size(resource).as_deref(), size, "{resource}");
        }
    }
}
