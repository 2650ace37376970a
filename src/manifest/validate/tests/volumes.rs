use super::{beside_container, of_container, table};

#[test]
fn volumes() {
    fn of_volume(source: &str) -> Vec<String> {
        beside_container(&format!("volumes: [{{name: v, {source}}}]"))
    }
    table(
        of_volume,
        &[
            ("emptyDir: {}", &[]),
            (
                "emptyDir: {sizeLimit: -1}",
                &["volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid"],
            ),
            ("hostPath: {path: /a, type: Directory}", &[]),
            ("hostPath: {}", &["volumes[0].hostPath.path: Required value"]),
            (
                "hostPath: {path: /a/../b}",
                &["volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
            ),
            (
                "hostPath: {path: /a, type: Dir}",
                &[
                    "volumes[0].hostPath.type: Unsupported value: \"Dir\": supported values: \"\", \"BlockDevice\"",
                ],
            ),
            (
                "hostPath: {path: /a}, emptyDir: {}",
                &["volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
            ),
            ("secret: {}", &["volumes[0].secret.secretName: Required value"]),
            (
                "configMap: {name: a, defaultMode: 01000}",
                &[
                    "volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
                ],
            ),
            (
                "configMap: {name: a, items: [{key: k, path: /abs}, {key: k, path: ..x}, {path: a/../b}]}",
                &[
                    "volumes[0].configMap.items[0].path: Invalid value: \"/abs\": must be a relative path",
                    "volumes[0].configMap.items[1].path: Invalid value: \"..x\": must not start with '..'",
                    "volumes[0].configMap.items[2].key: Required value",
                    "volumes[0].configMap.items[2].path: Invalid value: \"a/../b\": must not contain '..'",
                ],
            ),
            ("downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}", &[]),
            (
                "downwardAPI: {items: [{path: a}]}",
                &["volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
            ),
            (
                "downwardAPI: {items: [{path: a, resourceFieldRef: {resource: limits.cpu}}]}",
                &["volumes[0].downwardAPI.resourceFieldRef.containerName: Required value"],
            ),
            (
                "projected: {sources: [{secret: {name: a, items: [{key: k, path: p}]}}, {configMap: {name: b, items: [{key: k, path: p}]}}]}",
                &[
                    "volumes[0].projected.sources[1].configMap: Invalid value: \"p\": conflicting duplicate paths",
                ],
            ),
            (
                "projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 599}}]}",
                &[
                    "volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
                ],
            ),
            ("projected: {sources: [{}]}", &[]),
            (
                "projected: {sources: [{secret: {name: a}, configMap: {name: b}}]}",
                &[
                    "volumes[0].projected.sources[0].configMap: Forbidden: may not specify more than 1 volume type per source",
                ],
            ),
        ],
    );
    table(
        beside_container,
        &[
            ("volumes: [{name: v}, {name: v}]", &["volumes[1].name: Duplicate value: \"v\""]),
            ("volumes: [{emptyDir: {}}]", &["volumes[0].name: Required value"]),
        ],
    );
}

#[test]
fn what_a_node_alone_cannot_provide_is_refused_with_a_remedy() {
    table(
        beside_container,
        &[
            (
                "volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]",
                &[
                    "volumes[0].persistentVolumeClaim: Forbidden: persistent volumes need an API server: use hostPath",
                ],
            ),
            (
                "volumes: [{name: v, csi: {driver: d}}]",
                &["volumes[0].csi: Forbidden: CSI volumes need an API server"],
            ),
            (
                "volumes: [{name: v, nfs: {server: s, path: /}}]",
                &["volumes[0].nfs: Forbidden: daemonlet mounts no network"],
            ),
            (
                "volumes: [{name: v, iscsi: {iqn: i, lun: 0, targetPortal: t}}]",
                &["volumes[0].iscsi: Forbidden: daemonlet attaches"],
            ),
            (
                "resourceClaims: [{name: g, resourceClaimName: c}]",
                &["resourceClaims: Forbidden: device claims need"],
            ),
            ("os: {name: windows}", &["os.name: Forbidden: daemonlet runs on Linux"]),
            ("schedulingGates: [{name: g}]", &["schedulingGates: Forbidden: nothing on a node opens"]),
            ("resources: {claims: [{name: g}]}", &["resources.claims: Forbidden: device claims need"]),
            (
                "volumes: [{name: v, projected: {sources: [{podCertificate: {signerName: s/s, keyType: RSA3072}}]}}]",
                &["volumes[0].projected.sources[0].podCertificate: Forbidden: an API server signs"],
            ),
            (
                "volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: b, path: p}}]}}]",
                &["volumes[0].projected.sources[0].clusterTrustBundle: Forbidden: trust bundles come from"],
            ),
            (
                "volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: b, path: p, optional: true}}]}}]",
                &[],
            ),
        ],
    );
    table(
        of_container,
        &[
            (
                "volumeDevices: [{name: v, devicePath: /dev/x}]",
                &["volumeDevices: Forbidden: block devices come from persistent volumes"],
            ),
            ("resources: {claims: [{name: g}]}", &["resources.claims: Forbidden: device claims need"]),
            (
                "restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]",
                &["restartPolicyRules: Forbidden: each container of a DaemonSet is restarted"],
            ),
            (
                "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: p, key: k}}}]",
                &["env[0].valueFrom.fileKeyRef: Forbidden: daemonlet reads no variables from files"],
            ),
        ],
    );
}

#[test]
fn every_volume_that_needs_a_driver_or_an_api_server_is_refused() {
    for source in [
        "awsElasticBlockStore: {volumeID: v}",
        "azureDisk: {diskName: d, diskURI: u}",
        "azureFile: {secretName: s, shareName: t}",
        "cephfs: {monitors: [m]}",
        "cinder: {volumeID: v}",
        "csi: {driver: d}",
        "ephemeral: {volumeClaimTemplate: {spec: {}}}",
        "fc: {wwids: [w]}",
        "flexVolume: {driver: d}",
        "flocker: {datasetName: d}",
        "gcePersistentDisk: {pdName: p}",
        "gitRepo: {repository: r}",
        "glusterfs: {endpoints: e, path: p}",
        "iscsi: {iqn: i, lun: 0, targetPortal: t}",
        "nfs: {server: s, path: /}",
        "persistentVolumeClaim: {claimName: c}",
        "photonPersistentDisk: {pdID: p}",
        "portworxVolume: {volumeID: v}",
        "quobyte: {registry: r, volume: v}",
        "rbd: {image: i, monitors: [m]}",
        "scaleIO: {gateway: g, secretRef: {name: s}, system: s}",
        "storageos: {volumeName: v}",
        "vsphereVolume: {volumePath: p}",
    ] {
        let told = beside_container(&format!("volumes: [{{name: v, {source}}}]"));
        let field = source.split(':').next().unwrap_or_default();
        let [told] = told.as_slice() else { panic!("{source}: {told:?}") };
        assert!(told.starts_with(&format!("volumes[0].{field}: Forbidden: ")), "{told}");
    }
}

#[test]
fn mounts() {
    table(
        of_container,
        &[
            ("volumeMounts: [{name: v, mountPath: /a, subPath: a/b}, {name: v, mountPath: /b}]", &[]),
            ("volumeMounts: [{name: x, mountPath: /a}]", &["volumeMounts[0].name: Not found: \"x\""]),
            ("volumeMounts: [{name: v}]", &["volumeMounts[0].mountPath: Required value"]),
            (
                "volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a}]",
                &["volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique"],
            ),
            (
                "volumeMounts: [{name: v, mountPath: /a, subPath: ../a}]",
                &["volumeMounts.subPath: Invalid value: \"../a\": must not contain '..'"],
            ),
            (
                "volumeMounts: [{name: v, mountPath: /a, subPath: a, subPathExpr: b}]",
                &[
                    "volumeMounts.subPathExpr: Invalid value: \"b\": subPathExpr and subPath are mutually exclusive",
                ],
            ),
            (
                "volumeMounts: [{name: v, mountPath: /a, mountPropagation: Bidirectional}]",
                &[
                    "volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
                ],
            ),
            (
                "securityContext: {privileged: true}, volumeMounts: [{name: v, mountPath: /a, mountPropagation: Bidirectional}]",
                &[],
            ),
            (
                "volumeMounts: [{name: v, mountPath: /a, mountPropagation: Both}]",
                &[
                    "volumeMounts.mountPropagation: Unsupported value: \"Both\": supported values: \"Bidirectional\", \"HostToContainer\", \"None\"",
                ],
            ),
            (
                "volumeMounts: [{name: v, mountPath: /a, recursiveReadOnly: Enabled}]",
                &["volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
            ),
            (
                "volumeMounts: [{name: w, mountPath: /a, subPath: b}]",
                &["volumeMounts.subPath: Invalid value: \"b\": not allowed in image volume sources"],
            ),
        ],
    );
}
