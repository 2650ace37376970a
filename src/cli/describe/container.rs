//! The containers of a pod, with their states, or of a template, without.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, ContainerState, ContainerStatus, EnvVar, Pod, Probe,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::description::{Description, time, truth};
use super::resources;

/// Containers with what is known of them. In a template there is no pod and no status.
pub(super) fn describe(
    description: &mut Description,
    level: usize,
    title: &str,
    containers: &[Container],
    statuses: &[ContainerStatus],
    pod: Option<&Pod>,
) {
    let none = if containers.is_empty() { " <none>" } else { "" };
    description.line(level, format_args!("{title}:{none}"));
    for container in containers {
        let status = statuses.iter().find(|status| status.name == container.name);
        description.line(1, format_args!("{}{}:", if level > 0 { " " } else { "" }, container.name));
        identity(description, container, status);
        words(description, "Command", container.command.as_ref());
        words(description, "Args", container.args.as_ref());
        if let Some(status) = status {
            state(description, status);
        }
        if let Some(resources) = &container.resources {
            amounts(description, "Limits", resources.limits.as_ref());
            amounts(description, "Requests", resources.requests.as_ref());
        }
        for (name, probe) in [
            ("Liveness", &container.liveness_probe),
            ("Readiness", &container.readiness_probe),
            ("Startup", &container.startup_probe),
        ] {
            if let Some(probe) = probe {
                description.field(2, name, probe_line(probe));
            }
        }
        environment(description, container, pod);
        mounts(description, container);
    }
}

fn identity(description: &mut Description, container: &Container, status: Option<&ContainerStatus>) {
    if let Some(status) = status {
        description.field(2, "Container ID", status.container_id.as_deref().unwrap_or_default());
    }
    description.field(2, "Image", container.image.as_deref().unwrap_or_default());
    if let Some(status) = status {
        description.field(2, "Image ID", &status.image_id);
    }
    let ports = container.ports.as_deref().unwrap_or_default();
    let list = |port_of: fn(&ContainerPort) -> i32| {
        let shown = ports.iter().map(|port| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let name = port.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{}/{protocol}{name}", port_of(port))
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    for (one, many, text) in [
        ("Port", "Ports", list(|port| port.container_port)),
        ("Host Port", "Host Ports", list(|port| port.host_port.unwrap_or_default())),
    ] {
        let name = if text.contains(',') { many } else { one };
        description.field(2, name, if text.is_empty() { "<none>" } else { &text });
    }
    let seccomp = container.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    if let Some(profile) = seccomp {
        description.field(2, "SeccompProfile", &profile.type_);
        description.some(3, "LocalhostProfile", profile.localhost_profile.as_deref());
    }
}

fn words(description: &mut Description, title: &str, words: Option<&Vec<String>>) {
    let Some(words) = words.filter(|words| !words.is_empty()) else { return };
    description.line(2, format_args!("{title}:"));
    for line in words.iter().flat_map(|word| word.split('\n')) {
        description.line(3, line);
    }
}

fn state(description: &mut Description, status: &ContainerStatus) {
    one_state(description, "State", status.state.as_ref());
    if let Some(last) = status.last_state.as_ref().filter(|last| last.terminated.is_some()) {
        one_state(description, "Last State", Some(last));
    }
    description.field(2, "Ready", truth(status.ready));
    description.field(2, "Restart Count", status.restart_count);
}

fn one_state(description: &mut Description, name: &str, state: Option<&ContainerState>) {
    let (running, terminated, waiting) = state
        .map(|state| (state.running.as_ref(), state.terminated.as_ref(), state.waiting.as_ref()))
        .unwrap_or_default();
    if let Some(running) = running {
        description.field(2, name, "Running");
        description.field(3, "Started", time(running.started_at.as_ref()));
    } else if let Some(terminated) = terminated.filter(|_| waiting.is_none()) {
        description.field(2, name, "Terminated");
        description.some(3, "Reason", terminated.reason.as_deref());
        description.some(3, "Message", terminated.message.as_deref());
        description.field(3, "Exit Code", terminated.exit_code);
        if let Some(signal @ 1..) = terminated.signal {
            description.field(3, "Signal", signal);
        }
        description.field(3, "Started", time(terminated.started_at.as_ref()));
        description.field(3, "Finished", time(terminated.finished_at.as_ref()));
    } else {
        description.field(2, name, "Waiting");
        description.some(3, "Reason", waiting.and_then(|waiting| waiting.reason.as_deref()));
        // kubectl leaves the message to the events; here it is what an operator came for.
        description.some(3, "Message", waiting.and_then(|waiting| waiting.message.as_deref()));
    }
}

fn amounts(description: &mut Description, title: &str, amounts: Option<&BTreeMap<String, Quantity>>) {
    let Some(amounts) = amounts.filter(|amounts| !amounts.is_empty()) else { return };
    description.line(2, format_args!("{title}:"));
    for (name, quantity) in amounts {
        description.field(3, name, &quantity.0);
    }
}

fn probe_line(probe: &Probe) -> String {
    let number = |number: Option<i32>| number.unwrap_or_default();
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number(probe.initial_delay_seconds),
        number(probe.timeout_seconds),
        number(probe.period_seconds),
        number(probe.success_threshold),
        number(probe.failure_threshold),
    );
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    if let Some(exec) = &probe.exec {
        let command = exec.command.as_deref().unwrap_or_default().join(" ");
        format!("exec [{command}] {attributes}")
    } else if let Some(http) = &probe.http_get {
        let scheme = http.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let path = http.path.as_deref().unwrap_or("/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        let host = bracketed(http.host.as_deref().unwrap_or_default());
        format!("http-get {scheme}://{host}:{}{slash}{path} {attributes}", port(&http.port))
    } else if let Some(tcp) = &probe.tcp_socket {
        format!("tcp-socket {}:{} {attributes}", tcp.host.as_deref().unwrap_or_default(), port(&tcp.port))
    } else if let Some(grpc) = &probe.grpc {
        format!("grpc <pod>:{} {} {attributes}", grpc.port, grpc.service.as_deref().unwrap_or_default())
    } else {
        format!("unknown {attributes}")
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn environment(description: &mut Description, container: &Container, pod: Option<&Pod>) {
    if let Some(sources) = container.env_from.as_ref().filter(|sources| !sources.is_empty()) {
        description.line(2, "Environment Variables from:");
        for source in sources {
            let (from, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
                (Some(config_map), _) => ("ConfigMap", config_map.name.as_str(), config_map.optional),
                (None, Some(secret)) => ("Secret", secret.name.as_str(), secret.optional),
                (None, None) => ("", "", None),
            };
            let prefix = match source.prefix.as_deref() {
                None | Some("") => String::new(),
                Some(prefix) => format!(" with prefix '{prefix}'"),
            };
            let optional = optional.unwrap_or_default();
            description.line(3, format_args!("{name}\t{from}{prefix}\tOptional: {optional}"));
        }
    }
    let variables = container.env.as_deref().unwrap_or_default();
    description.line(2, if variables.is_empty() { "Environment:\t<none>" } else { "Environment:" });
    for variable in variables {
        for (index, line) in value_of(variable, container, pod).split('\n').enumerate() {
            let name = if index == 0 { format!("{}:", variable.name) } else { String::new() };
            description.line(3, format_args!("{name}\t{line}"));
        }
    }
}

fn value_of(variable: &EnvVar, container: &Container, pod: Option<&Pod>) -> String {
    let Some(from) = &variable.value_from else { return variable.value.clone().unwrap_or_default() };
    if let Some(field) = &from.field_ref {
        let value = pod.and_then(|pod| field_of(pod, &field.field_path)).unwrap_or_default();
        format!("{value} ({}:{})", field.api_version.as_deref().unwrap_or("v1"), field.field_path)
    } else if let Some(field) = &from.resource_field_ref {
        let value = match resources::told(field, container) {
            // Without a limit of its own a container is told what the node has, which is not known here.
            Some(none)
                if none == "0" && matches!(field.resource.as_str(), "limits.cpu" | "limits.memory") =>
            {
                "node allocatable".to_owned()
            }
            value => value.unwrap_or_default(),
        };
        format!("{value} ({})", field.resource)
    } else if let Some(key) = &from.secret_key_ref {
        let optional = key.optional.unwrap_or_default();
        format!("<set to the key '{}' in secret '{}'>\tOptional: {optional}", key.key, key.name)
    } else if let Some(key) = &from.config_map_key_ref {
        let optional = key.optional.unwrap_or_default();
        format!("<set to the key '{}' of config map '{}'>\tOptional: {optional}", key.key, key.name)
    } else {
        String::new()
    }
}

/// The value of a field by which a container may ask for its pod's own facts, as far as the pod's metadata has it.
fn field_of(pod: &Pod, path: &str) -> Option<String> {
    let metadata = &pod.metadata;
    let keyed = |map: &Option<BTreeMap<String, String>>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        map.as_ref()?.get(key).cloned()
    };
    match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        _ if path.starts_with("metadata.labels[") => keyed(&metadata.labels, "metadata.labels"),
        _ if path.starts_with("metadata.annotations[") => {
            keyed(&metadata.annotations, "metadata.annotations")
        }
        _ => None,
    }
}

fn mounts(description: &mut Description, container: &Container) {
    let mut mounts: Vec<_> = container.volume_mounts.iter().flatten().collect();
    mounts.sort_by_key(|mount| &mount.mount_path);
    description.line(2, if mounts.is_empty() { "Mounts:\t<none>" } else { "Mounts:" });
    for mount in mounts {
        let mode = if mount.read_only == Some(true) { "ro" } else { "rw" };
        let sub_path = match mount.sub_path.as_deref() {
            None | Some("") => String::new(),
            Some(path) => format!(",path={path:?}"),
        };
        description.line(3, format_args!("{} from {} ({mode}{sub_path})", mount.mount_path, mount.name));
    }
}
