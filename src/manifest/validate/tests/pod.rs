use super::{beside_container, of_container, table, told};

#[test]
fn probes_and_hooks() {
    table(
        of_container,
        &[
            ("livenessProbe: {httpGet: {port: 80}}, readinessProbe: {grpc: {port: 1}}", &[]),
            ("livenessProbe: {}", &["livenessProbe: Required value: must specify a handler type"]),
            (
                "livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}",
                &["livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
            ),
            ("livenessProbe: {exec: {}}", &["livenessProbe.exec.command: Required value"]),
            (
                "livenessProbe: {httpGet: {port: 0, scheme: http}}",
                &[
                    "livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "livenessProbe.httpGet.scheme: Unsupported value: \"http\": supported values: \"HTTP\", \"HTTPS\"",
                ],
            ),
            (
                "livenessProbe: {tcpSocket: {port: '80'}}",
                &["livenessProbe.tcpSocket.port: Invalid value: \"80\": must contain at least one letter"],
            ),
            (
                "livenessProbe: {exec: {command: [a]}, successThreshold: 2, initialDelaySeconds: -1}",
                &[
                    "livenessProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0",
                    "livenessProbe.successThreshold: Invalid value: 2: must be 1",
                ],
            ),
            (
                "readinessProbe: {exec: {command: [a]}, successThreshold: 2, terminationGracePeriodSeconds: 3}",
                &[
                    "readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: must not be set for readinessProbes",
                ],
            ),
            (
                "startupProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 0}",
                &["startupProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"],
            ),
            ("lifecycle: {preStop: {sleep: {seconds: 30}}, postStart: {httpGet: {port: web}}}", &[]),
            (
                "lifecycle: {preStop: {sleep: {seconds: 31}}}",
                &[
                    "lifecycle.preStop.sleep.seconds: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
                ],
            ),
            ("lifecycle: {stopSignal: SIGUSR1}", &[]),
            ("lifecycle: {stopSignal: SIGRTMIN+15}", &[]),
            (
                "lifecycle: {stopSignal: SIGRTMAX-15}",
                &["lifecycle.stopSignal: Unsupported value: \"SIGRTMAX-15\""],
            ),
            ("lifecycle: {stopSignal: USR1}", &["lifecycle.stopSignal: Unsupported value: \"USR1\""]),
        ],
    );
}

#[test]
fn security() {
    let conflict = "securityContext: Invalid value: {";
    table(
        of_container,
        &[
            (
                "securityContext: {runAsUser: 0, runAsGroup: 2147483647, seccompProfile: {type: RuntimeDefault}}",
                &[],
            ),
            (
                "securityContext: {runAsUser: -1}",
                &[
                    "securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                ],
            ),
            ("securityContext: {allowPrivilegeEscalation: false, privileged: true}", &[conflict]),
            (
                "securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [CAP_SYS_ADMIN]}}",
                &[conflict],
            ),
            ("securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}}", &[]),
            (
                "securityContext: {seccompProfile: {type: Localhost}}",
                &[
                    "securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
                ],
            ),
            (
                "securityContext: {seccompProfile: {}}",
                &[
                    "securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set",
                ],
            ),
            (
                "securityContext: {appArmorProfile: {type: Unconfined, localhostProfile: p}}",
                &[
                    "securityContext.appArmorProfile.localhostProfile: Invalid value: \"p\": can only be set when AppArmor type is Localhost",
                ],
            ),
            (
                "securityContext: {procMount: Unmasked}",
                &[
                    "securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
                ],
            ),
        ],
    );
    table(
        beside_container,
        &[
            (
                "hostPID: true, shareProcessNamespace: true",
                &[
                    "securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
                ],
            ),
            (
                "hostUsers: false, hostNetwork: true",
                &["securityContext.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"],
            ),
            (
                "securityContext: {fsGroup: -1, supplementalGroups: [1, -2], fsGroupChangePolicy: X}",
                &[
                    "securityContext.fsGroup: Invalid value: -1",
                    "securityContext.supplementalGroups[1]: Invalid value: -2",
                    "securityContext.fsGroupChangePolicy: Unsupported value: \"X\": supported values: \"Always\", \"OnRootMismatch\"",
                ],
            ),
            (
                "hostNetwork: true, hostIPC: true, securityContext: {sysctls: [{name: net.a, value: x}, {name: kernel.sem, value: x}, {name: kernel.sem, value: x}, {name: A}]}",
                &[
                    "securityContext.sysctls[0].name: Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true",
                    "securityContext.sysctls[1].name: Invalid value: \"kernel.sem\": may not be specified when 'hostIPC' is true",
                    "securityContext.sysctls[2].name: Duplicate value: \"kernel.sem\"",
                    "securityContext.sysctls[2].name: Invalid value: \"kernel.sem\"",
                    "securityContext.sysctls[3].name: Invalid value: \"A\": must have at most 253 characters and match regex",
                ],
            ),
        ],
    );
}

#[test]
fn the_rest_of_the_pod() {
    table(
        beside_container,
        &[
            (
                "dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.1]}, hostAliases: [{ip: '::1', hostnames: [a.b]}]",
                &[],
            ),
            (
                "dnsPolicy: Cluster",
                &[
                    "dnsPolicy: Unsupported value: \"Cluster\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
                ],
            ),
            (
                "dnsPolicy: None, dnsConfig: {}",
                &[
                    "dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
                ],
            ),
            (
                "dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, x], options: [{value: a}], searches: [A]}",
                &[
                    "dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"x\"]: must not have more than 3 nameservers",
                    "dnsConfig.nameservers[3]: Invalid value: \"x\": must be a valid IP address",
                    "dnsConfig.searches[0]: Invalid value: \"A\"",
                    "dnsConfig.options[0]: Required value: must not be empty",
                ],
            ),
            (
                "hostAliases: [{ip: x, hostnames: [A]}]",
                &["hostAliases[0].ip: Invalid", "hostAliases[0].hostnames[0]: Invalid"],
            ),
            (
                "restartPolicy: OnFailure",
                &["restartPolicy: Unsupported value: \"OnFailure\": supported values: \"Always\""],
            ),
            (
                "activeDeadlineSeconds: 5",
                &["activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported"],
            ),
            (
                "hostname: A, nodeName: B",
                &["nodeName: Invalid value: \"B\"", "hostname: Invalid value: \"A\""],
            ),
            (
                "ephemeralContainers: [{name: e, image: i}]",
                &["ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
            ),
            (
                "nodeSelector: {a b: c d}",
                &["nodeSelector: Invalid value: \"a b\"", "nodeSelector: Invalid value: \"c d\""],
            ),
        ],
    );
}

#[test]
fn spreading() {
    table(
        beside_container,
        &[
            (
                "topologySpreadConstraints: [{maxSkew: 0, topologyKey: '', whenUnsatisfiable: Now, minDomains: 0}]",
                &[
                    "topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                    "topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
                    "topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Now\"",
                    "topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero",
                    "topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not Now",
                ],
            ),
            (
                "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a b, whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Never, labelSelector: {matchLabels: {a: b}}, matchLabelKeys: [a]}]",
                &[
                    "topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: \"Never\": supported values: \"Honor\", \"Ignore\"",
                    "topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector",
                ],
            ),
            (
                "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}, {maxSkew: 2, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]",
                &[
                    "topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{a, ScheduleAnyway}\"",
                ],
            ),
            ("runtimeClassName: ''", &["runtimeClassName: Invalid value: \"\""]),
        ],
    );
}

#[test]
fn apparmor_by_annotation() {
    let of = |annotations: &str, context: &str| {
        told(&format!(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: a}}\nspec:\n  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata:\n      labels: {{app: a}}\n      annotations: {{container.apparmor.security.beta.kubernetes.io/{annotations}}}\n    spec: {{containers: [{{name: c, image: i, securityContext: {{{context}}}}}]}}\n"
        ))
    };
    assert_eq!(
        of("c: localhost/mine", "appArmorProfile: {type: Localhost, localhostProfile: mine}"),
        [""; 0]
    );
    for (annotation, context, expected) in [
        (
            "x: unconfined",
            "",
            "[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: \"x\": container not found",
        ),
        ("c: mine", "", "Invalid value: \"mine\": invalid AppArmor profile name: \"mine\""),
        (
            "c: unconfined",
            "appArmorProfile: {type: RuntimeDefault}",
            "containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match",
        ),
        (
            "c: localhost/mine",
            "appArmorProfile: {type: Localhost, localhostProfile: other}",
            "appArmorProfile.localhostProfile: Forbidden: apparmor profile in annotation and field must match",
        ),
    ] {
        let told = of(annotation, context);
        assert!(matches!(&told[..], [one] if one.contains(expected)), "{annotation}: {told:#?}");
    }
}
