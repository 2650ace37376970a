//! The pods of a scenario: between them they have whatever a crash may catch half made.

use crate::kit::daemon_set;

const MAIN: &str = "- name: main
  image: busybox:1
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep infinity & wait']
  env: [{name: REVISION, value: \"REVISION_NUMBER\"}]
";

/// Volumes that are mounts and files.
const PLAIN: &str = "  volumeMounts:
  - {name: memory, mountPath: /memory}
  - {name: about, mountPath: /about}
volumes:
- name: memory
  emptyDir: {medium: Memory}
- name: about
  downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}
";

/// Its main container waits for another and leans on a third.
const INIT: &str = "initContainers:
- name: first
  image: busybox:1
  command: [sleep, '0.2']
- name: sidecar
  image: busybox:1
  restartPolicy: Always
  command: [sh, -c, 'trap \"exit 0\" TERM; sleep infinity & wait']
";

const HOOKED: &str = "  lifecycle:
    postStart: {exec: {command: [sleep, '0.1']}}
    preStop: {exec: {command: [sleep, '0.2']}}
  readinessProbe: {exec: {command: ['true']}, periodSeconds: 1}
- name: side
  image: busybox:1
  command: [sleep, infinity]
";

/// The manifest of one of the scenario's DaemonSets in a revision.
pub(super) fn manifest(name: &str, revision: u64) -> String {
    let main = MAIN.replace("REVISION_NUMBER", &revision.to_string());
    let containers = format!("containers:\n{main}");
    let spec = match name {
        "plain" => containers + PLAIN,
        "host" => format!("hostNetwork: true\n{containers}"),
        "init" => format!("{INIT}{containers}"),
        // A first process without a handler doesn't hear SIGTERM.
        "stubborn" => containers.replace("trap \"exit 0\" TERM; ", ""),
        _ => containers + HOOKED,
    };
    daemon_set(name, &format!("terminationGracePeriodSeconds: 1\n{spec}"))
}
