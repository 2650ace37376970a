use serde_json::json;

use super::*;

const NOW: &str = "2024-01-01T01:00:00Z";

fn from<T: DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn events() -> Vec<Event> {
    from(json!([
        {
            "metadata": {}, "type": "Warning", "reason": "BackOff", "message": "Back-off restarting failed container",
            "involvedObject": {"fieldPath": "spec.containers{main}"}, "source": {"component": "kubelet"},
            "count": 3, "firstTimestamp": "2024-01-01T00:55:00Z", "lastTimestamp": "2024-01-01T00:59:50Z",
        },
        {
            "metadata": {}, "type": "Normal", "reason": "Pulled", "message": "Container image already present\n",
            "involvedObject": {}, "source": {"component": "kubelet"},
            "count": 1, "firstTimestamp": "2024-01-01T00:50:00Z", "lastTimestamp": "2024-01-01T00:50:00Z",
        },
    ]))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one description, whole")]
fn a_pod_is_described_as_kubectl_does() {
    let pod: Pod = from(json!({
        "metadata": {
            "name": "logs-x", "namespace": "kube-system", "uid": "u",
            "labels": {"name": "logs", "tier": "node"},
            "annotations": {"short": "one", "long": "two\nlines"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "logs", "uid": "d", "controller": true},
            ],
        },
        "spec": {
            "priority": 2_000_001_000, "priorityClassName": "system-node-critical", "serviceAccountName": "default",
            "nodeName": "n",
            "initContainers": [{"name": "setup", "image": "setup:1"}],
            "containers": [{
                "name": "main", "image": "logs:1", "command": ["/bin/sh", "-c"], "args": ["echo\nhello"],
                "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}],
                "resources": {"limits": {"memory": "200Mi"}, "requests": {"cpu": "100m", "memory": "200Mi"}},
                "livenessProbe": {
                    "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "initialDelaySeconds": 5,
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                },
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                    {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "cm", "optional": true}}],
                "volumeMounts": [
                    {"name": "varlog", "mountPath": "/var/log"},
                    {"name": "conf", "mountPath": "/etc/conf", "subPath": "a", "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "varlog", "hostPath": {"path": "/var/log", "type": ""}},
                {"name": "conf", "configMap": {"name": "cm"}},
                {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            ],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
                {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule", "tolerationSeconds": 30},
                {"operator": "Exists"},
            ],
        },
        "status": {
            "phase": "Running", "qosClass": "Burstable", "hostIP": "192.168.1.2", "podIP": "10.0.0.5",
            "podIPs": [{"ip": "10.0.0.5"}], "startTime": "2024-01-01T00:50:00Z",
            "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}],
            "containerStatuses": [{
                "name": "main", "image": "logs:1", "imageID": "logs@sha256:1", "containerID": "containerd://c",
                "ready": false, "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}},
                "lastState": {"terminated": {
                    "exitCode": 1, "reason": "Error",
                    "startedAt": "2024-01-01T00:59:00Z", "finishedAt": "2024-01-01T00:59:30Z",
                }},
            }],
        },
    }));
    let expected = "\
Name:                 logs-x
Namespace:            kube-system
Priority:             2000001000
Priority Class Name:  system-node-critical
Service Account:      default
Node:                 n/192.168.1.2
Start Time:           Mon, 01 Jan 2024 00:50:00 +0000
Labels:               name=logs
                      tier=node
Annotations:          long:
                        two
                        lines
                      short: one
Status:               Running
IP:                   10.0.0.5
IPs:
  IP:           10.0.0.5
Controlled By:  DaemonSet/logs
Init Containers:
  setup:
    Image:        setup:1
    Port:         <none>
    Host Port:    <none>
    Environment:  <none>
    Mounts:       <none>
Containers:
  main:
    Container ID:  containerd://c
    Image:         logs:1
    Image ID:      logs@sha256:1
    Port:          80/TCP (http)
    Host Port:     0/TCP (http)
    Command:
      /bin/sh
      -c
    Args:
      echo
      hello
    State:          Waiting
      Reason:       CrashLoopBackOff
      Message:      back-off 20s
    Last State:     Terminated
      Reason:       Error
      Exit Code:    1
      Started:      Mon, 01 Jan 2024 00:59:00 +0000
      Finished:     Mon, 01 Jan 2024 00:59:30 +0000
    Ready:          False
    Restart Count:  2
    Limits:
      memory:  200Mi
    Requests:
      cpu:     100m
      memory:  200Mi
    Liveness:  http-get http://:http/healthz delay=5s timeout=1s period=10s #success=1 #failure=3
    Environment Variables from:
      cm  ConfigMap  Optional: true
    Environment:
      A:       1
      POD:     logs-x (v1:metadata.name)
      MEMORY:  200 (limits.memory)
      CPUS:    node allocatable (limits.cpu)
      KEY:     <set to the key 'k' in secret 's'>  Optional: false
    Mounts:
      /etc/conf from conf (ro,path=\"a\")
      /var/log from varlog (rw)
Conditions:
  Type          Status
  Initialized   True 
  Ready         False 
Volumes:
  varlog:
    Type:          HostPath (bare host directory volume)
    Path:          /var/log
    HostPathType:  
  conf:
    Type:      ConfigMap (a volume populated by a ConfigMap)
    Name:      cm
    Optional:  false
  tmp:
    Type:        EmptyDir (a temporary directory that shares a pod's lifetime)
    Medium:      
    SizeLimit:   1Gi
QoS Class:       Burstable
Node-Selectors:  kubernetes.io/os=linux
Tolerations:     op=Exists
                 gpu=yes:NoSchedule for 30s
                 node.kubernetes.io/not-ready:NoExecute op=Exists
Events:
  Type     Reason   Age               From     Message
  ----     ------   ----              ----     -------
  Normal   Pulled   10m               kubelet  Container image already present
  Warning  BackOff  10s (x3 over 5m)  kubelet  spec.containers{main}: Back-off restarting failed container
";
    assert_eq!(pod::describe(&pod, &events(), NOW.parse().unwrap()), expected);
}

#[test]
fn a_pod_for_which_others_make_room_says_where() {
    let pod: Pod = from(json!({
        "metadata": {"name": "p"}, "status": {"phase": "Pending", "nominatedNodeName": "n"},
    }));
    let text = pod::describe(&pod, &[], NOW.parse().unwrap());
    assert!(text.contains("\nNominatedNodeName:  n\n"), "{text}");
}

#[test]
fn a_pod_that_goes_says_how_long_it_has_been_going() {
    let pod: Pod = from(json!({
        "metadata": {
            "name": "p", "deletionTimestamp": "2024-01-01T00:59:00Z", "deletionGracePeriodSeconds": 30,
        },
        "status": {"phase": "Running"},
    }));
    let text = pod::describe(&pod, &[], NOW.parse().unwrap());
    assert!(text.contains("Status:                    Terminating (lasts 60s)\n"), "{text}");
    assert!(text.contains("Termination Grace Period:  30s\n"), "{text}");
    assert!(text.ends_with("Events:          <none>\n"), "{text}");
}

#[test]
fn a_daemon_set_is_described_with_its_counts_and_template() {
    let daemon_set: DaemonSet = from(json!({
        "metadata": {"name": "logs", "namespace": "kube-system", "labels": {"app": "logs"}},
        "spec": {
            "selector": {"matchLabels": {"name": "logs"}},
            "template": {
                "metadata": {"labels": {"name": "logs"}},
                "spec": {
                    "containers": [{"name": "main", "image": "logs:1", "ports": [
                        {"containerPort": 1, "hostPort": 10}, {"containerPort": 2, "protocol": "UDP"},
                    ]}],
                    "volumes": [{"name": "x", "hostPath": {"path": "/x"}}],
                },
            },
        },
        "status": {
            "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 0,
            "updatedNumberScheduled": 1,
        },
    }));
    let pods: Vec<Pod> = from(json!([{"status": {"phase": "Running"}}, {"status": {"phase": "Pending"}}]));
    let expected = "\
Name:           logs
Namespace:      kube-system
Selector:       name=logs
Node-Selector:  <none>
Labels:         app=logs
Annotations:    <none>
Desired Number of Nodes Scheduled: 1
Current Number of Nodes Scheduled: 1
Number of Nodes Scheduled with Up-to-date Pods: 1
Number of Nodes Scheduled with Available Pods: 0
Number of Nodes Misscheduled: 0
Pods Status:  1 Running / 1 Waiting / 0 Succeeded / 0 Failed
Pod Template:
  Labels:  name=logs
  Containers:
   main:
    Image:        logs:1
    Ports:        1/TCP, 2/UDP
    Host Ports:   10/TCP, 0/UDP
    Environment:  <none>
    Mounts:       <none>
  Volumes:
   x:
    Type:          HostPath (bare host directory volume)
    Path:          /x
    HostPathType:  <none>
  Node-Selectors:  <none>
  Tolerations:     <none>
Events:            <none>
";
    assert_eq!(daemon_set::describe(&daemon_set, &pods, &[], NOW.parse().unwrap()), expected);
}

#[test]
fn a_node_is_described_with_what_its_pods_ask_for() {
    let node: Node = from(json!({
        "metadata": {
            "name": "n", "labels": {"node-role.kubernetes.io/edge": ""}, "creationTimestamp": "2024-01-01T00:00:00Z",
        },
        "spec": {
            "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"],
            "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "R", "message": "m",
                "lastHeartbeatTime": "2024-01-01T00:00:00Z", "lastTransitionTime": "2024-01-01T00:00:00Z"}],
            "addresses": [{"type": "InternalIP", "address": "192.168.1.2"}],
            "capacity": {"cpu": "2", "memory": "4Gi"},
            "allocatable": {"cpu": "2", "memory": "2Gi", "pods": "110", "hugepages-2Mi": "4Mi", "example.com/gpu": "2"},
            "nodeInfo": {
                "kubeletVersion": "v1", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "c",
                "architecture": "amd64", "bootID": "b", "kubeProxyVersion": "", "machineID": "m",
                "operatingSystem": "linux", "systemUUID": "s",
            },
        },
    }));
    let pods: Vec<Pod> = from(json!([{
        "metadata": {"namespace": "default", "name": "p", "creationTimestamp": "2024-01-01T00:30:00Z"},
        "spec": {"containers": [{"name": "c", "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi", "example.com/gpu": "1"},
            "limits": {"memory": "1Gi", "example.com/gpu": "1"},
        }}]},
    }]));
    let expected = "\
Name:               n
Roles:              edge
Labels:             node-role.kubernetes.io/edge=
Annotations:        <none>
CreationTimestamp:  Mon, 01 Jan 2024 00:00:00 +0000
Taints:             a:NoExecute
                    gpu=yes:NoSchedule
Unschedulable:      false
Conditions:
  Type    Status  LastHeartbeatTime                 LastTransitionTime                Reason  Message
  ----    ------  -----------------                 ------------------                ------  -------
  Ready   True    Mon, 01 Jan 2024 00:00:00 +0000   Mon, 01 Jan 2024 00:00:00 +0000   R       m
Addresses:
  InternalIP:  192.168.1.2
Capacity:
  cpu:     2
  memory:  4Gi
Allocatable:
  cpu:              2
  example.com/gpu:  2
  hugepages-2Mi:    4Mi
  memory:           2Gi
  pods:             110
System Info:
  Machine ID:                 m
  System UUID:                s
  Boot ID:                    b
  Kernel Version:             6.1
  OS Image:                   Debian
  Operating System:           linux
  Architecture:               amd64
  Container Runtime Version:  c
  Kubelet Version:            v1
PodCIDR:                      10.1.0.0/24
PodCIDRs:                     10.1.0.0/24,fd00::/64
Non-terminated Pods:          (1 in total)
  Namespace                   Name    CPU Requests  CPU Limits  Memory Requests  Memory Limits  Age
  ---------                   ----    ------------  ----------  ---------------  -------------  ---
  default                     p       250m (12%)    0 (0%)      512Mi (25%)      1Gi (50%)      30m
Allocated resources:
  (Total limits may be over 100 percent, i.e., overcommitted.)
  Resource           Requests     Limits
  --------           --------     ------
  cpu                250m (12%)   0 (0%)
  memory             512Mi (25%)  1Gi (50%)
  ephemeral-storage  0 (0%)       0 (0%)
  hugepages-2Mi      0 (0%)       0 (0%)
  example.com/gpu    1            1
Events:              <none>
";
    assert_eq!(node::describe(&node, &pods, &[], NOW.parse().unwrap()), expected);
}
