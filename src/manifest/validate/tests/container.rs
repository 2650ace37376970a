use super::{beside_container, of_container, of_pod, table};

#[test]
fn containers() {
    table(
        of_pod,
        &[
            ("", &["containers: Required value"]),
            ("containers: [{image: i}]", &["containers[0].name: Required value"]),
            ("containers: [{name: c}]", &["containers[0].image: Required value"]),
            (
                "containers: [{name: c, image: i}, {name: c, image: i}]",
                &["containers[1].name: Duplicate value: \"c\""],
            ),
            (
                "containers: [{name: a.b, image: i}]",
                &["containers[0].name: Invalid value: \"a.b\": must not contain dots"],
            ),
        ],
    );
    table(
        of_container,
        &[
            ("tty: true", &[]),
            (
                "imagePullPolicy: Sometimes",
                &[
                    "imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                ],
            ),
            (
                "terminationMessagePolicy: X",
                &[
                    "terminationMessagePolicy: Unsupported value: \"X\": supported values: \"File\", \"FallbackToLogsOnError\"",
                ],
            ),
            ("restartPolicy: Always", &["restartPolicy: Forbidden: may not be set for non-init containers"]),
        ],
    );
}

#[test]
fn init_containers() {
    fn of_init(fields: &str) -> Vec<String> {
        beside_container(&format!("initContainers: [{{name: i, image: i, {fields}}}]"))
    }
    table(
        of_init,
        &[
            ("restartPolicy: Always, readinessProbe: {exec: {command: [a]}}", &[]),
            (
                "restartPolicy: Never",
                &[
                    "initContainers[0].restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                ],
            ),
            (
                "lifecycle: {preStop: {exec: {command: [a]}}}",
                &[
                    "initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
                ],
            ),
            ("startupProbe: {exec: {command: [a]}}", &["initContainers[0].startupProbe: Forbidden"]),
        ],
    );
    assert_eq!(
        beside_container("initContainers: [{name: c, image: i}]"),
        ["initContainers[0].name: Duplicate value: \"c\""]
    );
}

#[test]
fn ports() {
    table(
        of_container,
        &[
            ("ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP}]", &[]),
            ("ports: [{name: http}]", &["ports[0].containerPort: Required value"]),
            (
                "ports: [{containerPort: 65536}]",
                &["ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive"],
            ),
            ("ports: [{containerPort: 80, hostPort: -1}]", &["ports[0].hostPort: Invalid value: -1"]),
            (
                "ports: [{containerPort: 80, protocol: tcp}]",
                &[
                    "ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
                ],
            ),
            (
                "ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 80}]",
                &["ports[1].hostPort: Duplicate value: \"TCP//80\""],
            ),
            ("ports: [{containerPort: 80, hostIP: here}]", &[]),
        ],
    );
    table(
        of_pod,
        &[
            (
                "hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 81}, {containerPort: 82}]}]",
                &[
                    "containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
                ],
            ),
            (
                "hostNetwork: true, containers: [{name: c, image: i}], initContainers: [{name: s, image: i, ports: [{containerPort: 80, hostPort: 81}]}]",
                &[],
            ),
            (
                "containers: [{name: a, image: i, ports: [{containerPort: 1, hostPort: 9}]}, {name: b, image: i, ports: [{containerPort: 2, hostPort: 9}]}]",
                &["containers[1].ports[0].hostPort: Duplicate value: \"TCP//9\""],
            ),
        ],
    );
}

#[test]
fn environment() {
    let field = |path: &str| format!("env: [{{name: A, valueFrom: {{fieldRef: {{fieldPath: {path}}}}}}}]");
    table(
        of_container,
        &[
            ("env: [{name: A, value: b}, {name: a.b-c}]", &[]),
            ("env: [{value: b}]", &["env[0].name: Required value"]),
            (
                "env: [{name: 'a=b'}]",
                &["env[0].name: Invalid value: \"a=b\": a valid environment variable name must"],
            ),
            (
                "env: [{name: A, valueFrom: {}}]",
                &[
                    "env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
                ],
            ),
            (
                "env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]",
                &["env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"],
            ),
            (
                "env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}, configMapKeyRef: {name: s, key: k}}}]",
                &[
                    "env[0].valueFrom: Invalid value: \"\": may not have more than one field specified at a time",
                ],
            ),
            (
                "env: [{name: A, valueFrom: {secretKeyRef: {}}}]",
                &[
                    "env[0].valueFrom.secretKeyRef.name: Required",
                    "env[0].valueFrom.secretKeyRef.key: Required",
                ],
            ),
            (&field("status.podIP"), &[]),
            (
                "env: [{name: A, valueFrom: {fieldRef: {apiVersion: v2, fieldPath: metadata.name}}}]",
                &[
                    "env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name\": error converting fieldPath: unsupported pod version: v2",
                ],
            ),
            (&field("\"metadata.labels['a']\""), &[]),
            (
                &field("\"metadata.labels['a b']\""),
                &["env[0].valueFrom.fieldRef: Invalid value: \"a b\": name part must consist"],
            ),
            (
                &field("status.phase"),
                &["env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\""],
            ),
            (
                &field("spec.nothing"),
                &[
                    "env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.nothing\": error converting fieldPath: field label not supported: spec.nothing",
                ],
            ),
            (
                "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.gpu}}}]",
                &["env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\""],
            ),
            (
                "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 2m}}}]",
                &[
                    "env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"2m\": only divisor's values 1m and 1 are supported with the cpu resource",
                ],
            ),
            ("envFrom: [{prefix: P_, configMapRef: {name: a}}]", &[]),
            (
                "envFrom: [{prefix: P_}]",
                &["envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
            ),
        ],
    );
}

#[test]
fn resources() {
    table(
        of_container,
        &[
            (
                "resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 2Gi, hugepages-2Mi: 4Mi}}",
                &[],
            ),
            (
                "resources: {requests: {cpu: 2}, limits: {cpu: 1}}",
                &["resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
            ),
            (
                "resources: {limits: {cpu: -1}}",
                &["resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
            ),
            (
                "resources: {limits: {gpu: 1}}",
                &[
                    "resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
                    "resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
                ],
            ),
            (
                "resources: {limits: {pods: 1}}",
                &[
                    "resources.limits[pods]: Invalid value: \"pods\": must be a standard resource for containers",
                ],
            ),
            (
                "resources: {limits: {example.com/gpu: 1.5}}",
                &["resources.limits[example.com/gpu]: Invalid value: \"1500m\": must be an integer"],
            ),
            (
                "resources: {requests: {example.com/gpu: 1}}",
                &["resources.limits: Required value: Limit must be set for non overcommitable resources"],
            ),
            (
                "resources: {requests: {example.com/gpu: 1}, limits: {example.com/gpu: 2}}",
                &["resources.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2"],
            ),
            (
                "resources: {limits: {hugepages-2Mi: 2Mi}}",
                &["resources: Forbidden: HugePages require cpu or memory"],
            ),
            (
                "resources: {limits: {cpu: 1, hugepages-2Mi: 3Mi}}",
                &[
                    "resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                ],
            ),
        ],
    );
}
