#!/usr/bin/env bash
# Three nodes bring up a three-member etcd with nothing but containerd and daemonlet; one is cut off and comes back.
#
#   examples/etcd/run.sh        as root, on any Linux; `make demo-etcd` gets what it needs
#
# The nodes are network namespaces of this machine, each with its own containerd and agent, on a bridge that is in a namespace of its own, too.
# They share one store: a directory. Nothing else of this machine is used, and nothing is left; the steps are those of real machines.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
DEADLINE=${DEADLINE:-90} # seconds that any one step may take
LABEL=node-role.kubernetes.io/etcd

exec 3>&1
step() { printf '\n== %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "containers and network namespaces need root"
if [ -z "${DEMO_BINARY:-}" ]; then
    step "Building daemonlet"
    assignments=$("$here/examples/requirements.sh" build run etcd)
    eval "$assignments"
    (cd "$here" && cargo build --release --locked --quiet --bin daemonlet)
    DEMO_BINARY=$target/release/daemonlet
else
    assignments=$("$here/examples/requirements.sh" run etcd)
    eval "$assignments"
fi

dir=$(mktemp -d /tmp/daemonlet-etcd.XXXXXX)
id=${dir##*.}
name=daemonlet-etcd-$id # of the network namespaces and of the cgroups
export IN_DAEMONLET_ETCD=$dir # by which the example's processes are found again
store=$dir/store
agents=() containerds=()

# --- tearing down ---------------------------------------------------------------------------------------------------------

mark=IN_DAEMONLET_ETCD
started() { echo "${agents[*]} ${containerds[*]}"; }
# shellcheck source=examples/leftovers.sh
. "$here/examples/leftovers.sh"

teardown() {
    local status=$? node pid shims left
    exec >&3
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    if [ $status != 0 ]; then
        for node in 1 2 3; do
            printf '\n== The last words of the agent on node-%s\n' $node
            tail -n 15 "$dir/node-$node/agent.log"
            tail -n 5 "$dir/node-$node"/logs/*/etcd/*.log
        done 2>/dev/null
    fi
    step "Cleaning up"
    shims=$(sockets)
    [ ${#agents[@]} = 0 ] || kill -TERM "${agents[@]}" 2>/dev/null
    for node in 1 2 3; do
        for pid in $(on_containerd $node tasks list -q 2>/dev/null); do on_containerd $node tasks delete --force "$pid"; done
    done >/dev/null 2>&1
    [ ${#containerds[@]} = 0 ] || kill -TERM "${containerds[@]}" 2>/dev/null
    end_processes 1
    # shellcheck disable=SC2086
    [ -z "$shims" ] || rm -f $shims
    for node in lab 1 2 3; do ip netns delete "$(namespace $node)" 2>/dev/null; done
    remove_leftovers
    left=$(leftovers; ip netns list | grep "$name")
    if [ -n "$left" ]; then
        printf 'left behind:\n%s\n' "$left" >&2
        status=1
    fi
    exit $status
}

# --- nodes ----------------------------------------------------------------------------------------------------------------

namespace() { echo "$name-$1"; }
# on NODE COMMAND...: on that node's network, and on this machine's files.
on() {
    local node=$1
    shift
    nsenter --net="/run/netns/$(namespace "$node")" -- "$@"
}
on_containerd() {
    local node=$1
    shift
    ctr --address "$dir/node-$node/containerd.sock" --namespace k8s.io "$@"
}
# daemonlet NODE WORDS...: as an operator of that node would type it.
daemonlet() {
    local node=$1
    shift
    DAEMONLET_SOCKET=$dir/node-$node/api.sock "$DEMO_BINARY" "$@"
}
etcdctl() {
    local node=$1
    shift
    ETCDCTL_API=3 on "$node" etcdctl --endpoints="http://198.18.7.$node:2379" --command-timeout=3s "$@"
}
until_true() {
    local end=$((SECONDS + DEADLINE))
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            "$@" || fail "waited $DEADLINE s in vain: $*"
            return
        fi
        sleep 0.1
    done
}
pod() { daemonlet "$1" get pods -n kube-system -l app=etcd -o json; }
is_ready() { daemonlet "$1" get pods -n kube-system -l app=etcd | grep -q ' 1/1 '; }
container() { pod "$1" | grep -o '"containerID": *"[^"]*"'; }
is_not_ready() { ! is_ready "$1"; }

make_network() {
    local node
    ip netns add "$(namespace lab)"
    ip -n "$(namespace lab)" link add switch type bridge
    ip -n "$(namespace lab)" link set switch up
    for node in 1 2 3; do
        ip netns add "$(namespace $node)"
        ip -n "$(namespace lab)" link add port$node type veth peer name eth0 netns "$(namespace $node)"
        ip -n "$(namespace lab)" link set port$node master switch up
        ip -n "$(namespace $node)" link set lo up
        ip -n "$(namespace $node)" address add 198.18.7.$node/24 dev eth0
        ip -n "$(namespace $node)" link set eth0 up
    done
}

start_containerd() {
    local node=$1 own=$dir/node-$1 snapshotter=overlayfs
    mkdir -p "$own"
    # An overlay can't be laid over another.
    [ "$(stat -f -c %T "$own")" != overlayfs ] || snapshotter=native
    cat >"$own/containerd.toml" <<TOML
version = 2
root = "$own/lib"
state = "$own/run"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "$own/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/daemonlet/pause:1"
  disable_tcp_service = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$own/cni"
    conf_dir = "$own/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$own/runc"
TOML
    on "$node" containerd --config "$own/containerd.toml" >"$own/containerd.log" 2>&1 &
    containerds+=($!)
    until_true on_containerd "$node" version
    on_containerd "$node" images import "$target/images/pause.tar" >/dev/null
    on_containerd "$node" images import "$target/images/etcd.tar" >/dev/null
}

start_agent() {
    local node=$1 own=$dir/node-$1
    cat >"$own/config.yaml" <<YAML
nodeName: node-$node
nodeIPs: [198.18.7.$node]
nodeFile: $own/node.yaml
rootDir: $own/state
store: {path: $store}
containerRuntimeEndpoint: unix://$own/containerd.sock
apiSocket: $own/api.sock
podLogsDir: $own/logs
containerLogsDir: $own/links
holdsDir: $own/holds
cgroupDriver: cgroupfs
cgroupRoot: /daemonlet-etcd-$id-$node
evictionHard: {memory.available: 1Mi}
logging: {format: text}
YAML
    on "$node" "$DEMO_BINARY" agent --config "$own/config.yaml" >>"$own/agent.log" 2>&1 &
    agents[node - 1]=$!
    until_true daemonlet "$node" get nodes
}

# --- what happens ---------------------------------------------------------------------------------------------------------

trap teardown EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$target/images"
# Tests build the same images, one at a time.
[ -e "$target/images/etcd.tar" ] || flock "$target/images/lock" "$here/examples/images.sh" "$target/images" >/dev/null
mkdir -p "$store"

step "Three nodes, each with containerd and daemonlet, and one store for all"
make_network
for node in 1 2 3; do start_containerd $node; done
for node in 1 2 3; do start_agent $node; done
run daemonlet 1 get nodes -o wide
echo "(NotReady: there is no pod network yet. Pods on the node's own network need none.)"

step "The store gets a DaemonSet; no node has its label yet"
sed "s|/var/lib/etcd-of-daemonlet|$dir/data|" "$here/examples/etcd/etcd.yaml" >"$dir/.etcd.yaml"
mv "$dir/.etcd.yaml" "$store/etcd.yaml"
until_true daemonlet 1 get ds etcd -n kube-system
run daemonlet 1 explain ds/etcd -n kube-system

step "The three become members"
for node in 1 2 3; do run daemonlet $node label node node-$node $LABEL=; done
for node in 1 2 3; do until_true is_ready $node; done
for node in 1 2 3; do daemonlet $node get pods -n kube-system -o wide; done
run etcdctl 1 member list
run etcdctl 1 put before "the cut"

step "node-3 is cut off; the other two go on, and its pod is left in peace"
container=$(container 3)
run ip -n "$(namespace lab)" link set port3 down
until_true is_not_ready 3
until_true etcdctl 1 put during "the cut" # if node-3 has led, they elect another first
run etcdctl 1 get during
! etcdctl 3 put alone "too few" >/dev/null 2>&1 || fail "a member without a majority took a write"
disown "${agents[2]}"
kill -KILL "${agents[2]}"
start_agent 3 # An agent that starts on a node that is cut off takes up its pod as it was.
until_true pod 3
[ "$(container 3)" = "$container" ] || fail "the pod of the node that is cut off was restarted"

step "node-3 comes back"
run ip -n "$(namespace lab)" link set port3 up
until_true is_ready 3
[ "$(container 3)" = "$container" ] || fail "the pod was restarted on the way"
# What this one member has on its own disk, with nobody else asked.
for key in before during; do
    [ "$(etcdctl 3 get $key --print-value-only --consistency=s)" = "the cut" ] || fail "node-3 has lost the key $key"
    run etcdctl 3 get $key --consistency=s
done

step "An update, one member after the other"
is_new() { [ "$(container "$1")" != "$container" ] && is_ready "$1"; }
for node in 1 2 3; do run daemonlet $node hold ds/etcd -n kube-system --reason "one after the other"; done
sed -i 's/^\( *\)terminationGracePeriodSeconds: 10/\1terminationGracePeriodSeconds: 9/' "$store/etcd.yaml"
for node in 1 2 3; do
    container=$(container $node)
    run daemonlet $node release ds/etcd -n kube-system
    until_true is_new $node
    run etcdctl $node get before
    [ "$(etcdctl $node get before --print-value-only)" = "the cut" ] || fail "the key is gone"
done

step "Done: three members, no control plane, no key lost"
