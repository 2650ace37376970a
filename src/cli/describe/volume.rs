//! The volumes of a pod or of a template.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeSource, ProjectedVolumeSource, Volume};

use super::description::Description;

pub(super) fn describe(description: &mut Description, level: usize, volumes: Option<&Vec<Volume>>) {
    let volumes = volumes.map(Vec::as_slice).unwrap_or_default();
    if volumes.is_empty() {
        description.field(level, "Volumes", "<none>");
        return;
    }
    description.line(level, "Volumes:");
    for volume in volumes {
        // In a template kubectl indents the name by one blank more, and nothing else.
        description.line(1, format_args!("{}{}:", if level > 0 { " " } else { "" }, volume.name));
        source(description, volume);
    }
}

fn source(description: &mut Description, volume: &Volume) {
    let fields: Vec<(&str, String)> = if let Some(host_path) = &volume.host_path {
        vec![
            ("Type", "HostPath (bare host directory volume)".to_owned()),
            ("Path", host_path.path.clone()),
            ("HostPathType", host_path.type_.clone().unwrap_or_else(|| "<none>".to_owned())),
        ]
    } else if let Some(empty_dir) = &volume.empty_dir {
        let limit = empty_dir.size_limit.as_ref().map(|limit| limit.0.clone()).filter(|limit| limit != "0");
        vec![
            ("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)".to_owned()),
            ("Medium", empty_dir.medium.clone().unwrap_or_default()),
            ("SizeLimit", limit.unwrap_or_else(|| "<unset>".to_owned())),
        ]
    } else if let Some(secret) = &volume.secret {
        vec![
            ("Type", "Secret (a volume populated by a Secret)".to_owned()),
            ("SecretName", secret.secret_name.clone().unwrap_or_default()),
            ("Optional", secret.optional.unwrap_or_default().to_string()),
        ]
    } else if let Some(config_map) = &volume.config_map {
        vec![
            ("Type", "ConfigMap (a volume populated by a ConfigMap)".to_owned()),
            ("Name", config_map.name.clone()),
            ("Optional", config_map.optional.unwrap_or_default().to_string()),
        ]
    } else if let Some(projected) = &volume.projected {
        projected_fields(projected)
    } else if let Some(image) = &volume.image {
        vec![
            ("Type", "Image (a container image or OCI artifact)".to_owned()),
            ("Reference", image.reference.clone().unwrap_or_default()),
            ("PullPolicy", image.pull_policy.clone().unwrap_or_default()),
        ]
    } else if let Some(downward) = &volume.downward_api {
        downward_api(description, downward);
        return;
    } else {
        description.line(1, "<unknown>");
        return;
    };
    for (name, value) in fields {
        description.field(2, name, value);
    }
}

fn projected_fields(projected: &ProjectedVolumeSource) -> Vec<(&'static str, String)> {
    let kind = "Projected (a volume that contains injected data from multiple sources)";
    let mut fields = vec![("Type", kind.to_owned())];
    for source in projected.sources.iter().flatten() {
        let optional = |optional: Option<bool>| ("Optional", optional.unwrap_or_default().to_string());
        if let Some(secret) = &source.secret {
            fields.extend([("SecretName", secret.name.clone()), optional(secret.optional)]);
        } else if source.downward_api.is_some() {
            fields.push(("DownwardAPI", "true".to_owned()));
        } else if let Some(config_map) = &source.config_map {
            fields.extend([("ConfigMapName", config_map.name.clone()), optional(config_map.optional)]);
        } else if let Some(token) = &source.service_account_token {
            let seconds = token.expiration_seconds.unwrap_or_default();
            fields.push(("TokenExpirationSeconds", seconds.to_string()));
        }
    }
    fields
}

fn downward_api(description: &mut Description, downward: &DownwardAPIVolumeSource) {
    description.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
    description.line(2, "Items:");
    for item in downward.items.iter().flatten() {
        let field = item.field_ref.as_ref().map(|field| &field.field_path);
        let resource = item.resource_field_ref.as_ref().map(|field| &field.resource);
        for from in field.into_iter().chain(resource) {
            description.line(3, format_args!("{from} -> {}", item.path));
        }
    }
}
