#!/usr/bin/env bash
# Shows daemonlet at work on this machine, and leaves the machine as it was: `make demo`.
#
# Everything lives below one temporary directory: a containerd of its own, its images, the agent, manifests and logs. A
# containerd that already runs is not touched. What is made outside of it (a bridge, cgroups) has the demo's name, is
# removed at the end, also after Ctrl-C, and looked for once more.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
DEADLINE=60 # seconds that any one step may take

# Kept for the end: Ctrl-C may come while a command's output goes elsewhere.
exec 3>&1 4>&2
if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' cyan='' plain=''
fi
step() { printf '\n%s%s%s\n' "$bold$cyan" "$*" "$plain"; }
note() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }
fail() { printf '%s%s%s\n' "$red" "$*" "$plain" >&2; exit 1; }
# run WORDS...: shows a command as one would type it, and runs it.
run() {
    printf '%s$ %s%s\n' "$dim" "$*" "$plain"
    "$@"
}

# --- what is needed -------------------------------------------------------------------------------------------------------

[ "$(uname -s)" = Linux ] || fail "containers need Linux; this is $(uname -s)"
if [ -z "${DEMO_BINARY:-}" ]; then
    step "Building daemonlet"
    assignments=$("$here/examples/requirements.sh" build run) || exit 1
    eval "$assignments"
    (cd "$here" && cargo build --release --locked --quiet --bin daemonlet)
    export DEMO_BINARY=$target/release/daemonlet
    note "$DEMO_BINARY, $(($(stat -c %s "$DEMO_BINARY") / 1024)) KiB"
fi
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "running pods needs root: run make demo as root"
    note "Running pods needs root: going on with sudo."
    exec sudo env PATH="$PATH" DEMO_BINARY="$DEMO_BINARY" CARGO_TARGET_DIR="$target" \
        CNI_BIN="$CNI_BIN" STATIC_BUSYBOX="$STATIC_BUSYBOX" "$0" "$@"
fi
if [ -z "${CNI_BIN:-}" ]; then
    assignments=$("$here/examples/requirements.sh" run) || exit 1
    eval "$assignments"
fi
began=$SECONDS

# --- the demo's own place -------------------------------------------------------------------------------------------------

dir=$(mktemp -d /tmp/daemonlet-demo.XXXXXX)
id=${dir##*.}
name=daemonlet-demo-$id # of the CNI network and of the cgroup
bridge=dldemo$id
export IN_DAEMONLET_DEMO=$dir # by which the demo's processes are found again
export DAEMONLET_SOCKET=$dir/daemonlet.sock
state=$dir/run
manifests=$dir/manifests
agent_pid=
containerd_pid=
sandboxes=

# Directories that containerd, runc and CNI make outside, if they are not there yet.
outside=(/run/containerd/s /run/containerd/fifo /run/containerd/runc/k8s.io /run/containerd/runc /run/containerd
    /var/lib/cni/results /var/lib/cni/networks /var/lib/cni /run/netns /var/lib/docker/containers /var/lib/docker)
made_outside=()
for directory in "${outside[@]}"; do [ -e "$directory" ] || made_outside+=("$directory"); done

daemonlet() { "$DEMO_BINARY" "$@"; }
ctr() { command ctr --address "$dir/containerd.sock" --namespace k8s.io "$@"; }

# --- tearing down ---------------------------------------------------------------------------------------------------------

mark=IN_DAEMONLET_DEMO
started() { echo "$containerd_pid $agent_pid"; }
# shellcheck source=examples/leftovers.sh
. "$here/examples/leftovers.sh"
# What CNI remembers of the demo's sandboxes, which it does in one place for everybody.
results() {
    local sandbox
    find /var/lib/cni/results -name "$name-*" 2>/dev/null || true
    for sandbox in $sandboxes; do find /var/lib/cni/results -name "*-$sandbox-*" 2>/dev/null || true; done
}

# until_true COMMAND...: waits until it succeeds.
until_true() {
    local end=$((SECONDS + DEADLINE))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
has_ended() { ! kill -0 "$1" 2>/dev/null; }
end_process() {
    [ -n "$1" ] || return 0
    kill -TERM "$1" 2>/dev/null || return 0
    DEADLINE=10 until_true has_ended "$1" || kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

teardown() {
    local status=$? pid
    exec >&3 2>&4
    cd /
    trap '' INT TERM HUP # a second Ctrl-C must not leave half of it behind
    trap - EXIT
    set +e
    if [ $status != 0 ] && [ $status != 130 ] && [ -s "$dir/agent.log" ]; then
        step "The agent's last words"
        tail -n 20 "$dir/agent.log"
    fi
    step "Cleaning up"
    end_process "$agent_pid"
    if [ -n "$containerd_pid" ] && ! has_ended "$containerd_pid"; then
        for pid in $(ctr tasks list -q 2>/dev/null); do ctr tasks delete --force "$pid"; done >/dev/null 2>&1
        end_process "$containerd_pid"
    fi
    local shims
    sandboxes=$(ls "$dir/lib/io.containerd.grpc.v1.cri/sandboxes" 2>/dev/null)
    shims=$(sockets)
    end_processes 0
    # shellcheck disable=SC2086
    rm -f $shims
    ip link delete "$bridge" 2>/dev/null
    results | xargs -r rm -f
    remove_leftovers
    for directory in "${made_outside[@]}"; do rmdir "$directory" 2>/dev/null; done

    local left
    left=$(
        leftovers
        ip -o link show "$bridge" 2>/dev/null | sed 's/^/link /'
        results | sed 's/^/file /'
        for directory in "${made_outside[@]}" $shims; do
            [ ! -e "$directory" ] || echo "file $directory"
        done
    )
    if [ -n "$left" ]; then
        printf '%sThis is left behind:\n%s%s\n' "$red" "$left" "$plain"
        exit 1
    fi
    printf '%sNothing is left: no process, mount, cgroup, network or file.%s\n' "$green" "$plain"
    exit $status
}
trap teardown EXIT
trap 'exit 130' INT TERM HUP

# --- a containerd of its own ----------------------------------------------------------------------------------------------

step "Starting a containerd of our own in $dir"
images=$target/images
if [ ! -e "$images/fluentd.tar" ] || [ "$here/examples/images.sh" -nt "$images/fluentd.tar" ]; then
    "$here/examples/images.sh" "$images"
fi
mkdir -p "$dir/cni" "$manifests"
cd "$dir" # so that what is typed below is short

# A network that this machine has no route of its own to, out of those set aside for benchmarks.
subnet=
for third in $(shuf -i 0-255 -n 32); do
    subnet=198.18.$third.0/24
    ip route show to match "$subnet" | grep -qv '^default' || break
done
cat >"$dir/cni/10-demo.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$name", "plugins": [
  {"type": "bridge", "bridge": "$bridge", "isGateway": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$subnet"}]], "dataDir": "$dir/cni-data"}}]}
JSON
# An overlay can't be laid over another.
case $(stat -f -c %T "$dir") in
overlay*) snapshotter=native ;;
*) snapshotter=overlayfs ;;
esac
cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$dir/lib"
state = "$state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/daemonlet/pause:1"
  disable_tcp_service = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$CNI_BIN"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$dir/runc"
TOML
# In sessions of their own, so that Ctrl-C reaches this script only, which ends them in order.
setsid containerd --config "$dir/containerd.toml" >"$dir/containerd.log" 2>&1 </dev/null 3>&- 4>&- &
containerd_pid=$!
until_true ctr version >/dev/null 2>&1 || { tail -n 20 "$dir/containerd.log" >&2; fail "containerd does not answer"; }
for image in "$images"/*.tar; do ctr images import --snapshotter "$snapshotter" "$image" >/dev/null; done
note "$(containerd --version), with images: $(ctr images list -q | grep -v sha256 | tr '\n' ' ')"

# --- the agent ------------------------------------------------------------------------------------------------------------

step "Starting the agent on a folder of manifests"
cp "$here"/examples/manifests/*.yaml "$manifests"
cp "$here/examples/node.yaml" "$dir/node.yaml"
port=9100
if [ -n "$(ss -Hltn "sport = :$port" 2>/dev/null)" ]; then
    port=19100
    note "Port 9100 is taken on this machine: node-exporter gets $port."
    sed -i -e "s/9100/$port/" -e "/--path.sysfs/a\\        - --web.listen-address=:$port" "$manifests/node-exporter.yaml"
fi
cat >"$dir/config.yaml" <<YAML
nodeName: demo
nodeFile: $dir/node.yaml
rootDir: $dir/state
store:
  path: $manifests
  emptyHold: 1s
containerRuntimeEndpoint: unix://$dir/containerd.sock
apiSocket: $DAEMONLET_SOCKET
podLogsDir: $dir/pod-logs
containerLogsDir: $dir/container-logs
cgroupDriver: cgroupfs
cgroupRoot: /$name
# A machine whose disk is nearly full is no reason not to show what daemonlet does.
evictionHard: {memory.available: 1Mi}
imageGCHighThresholdPercent: 100
YAML
DAEMONLET_CONFIG=$dir/config.yaml setsid "$DEMO_BINARY" agent >"$dir/agent.log" 2>&1 </dev/null 3>&- 4>&- &
agent_pid=$!
ls "$manifests"

# lines_of DAEMONSET...: name, DESIRED, CURRENT, READY, UP-TO-DATE of DaemonSets.
lines_of() { daemonlet get ds -A --no-headers 2>/dev/null | awk '{print $2, $3, $4, $5, $6}' | sort; }
all_ready() {
    has_ended "$agent_pid" && fail "the agent has ended"
    [ "$(lines_of | awk '$2 != $4 || $2 != $5 {exit 1} $2 > 0 {ready++} END {print ready + 0}')" = "$1" ]
}
until_true all_ready 3 || { daemonlet get pods -A -o wide || true; daemonlet get events -A || true; fail "the pods don't become ready"; }
note "ready after $((SECONDS - began)) s, containerd's start included"

step "Three of five run here"
run daemonlet get ds -A
run daemonlet get pods -A -o wide
step "Two stay away, and say why"
run daemonlet explain ds/gpu-monitor -n monitoring || true
run daemonlet explain ds/ingress-proxy -n ingress || true

step "The real node exporter reads this machine's /proc and /sys"
printf '%s$ curl http://127.0.0.1:%s/metrics%s\n' "$dim" "$port" "$plain"
curl -sf "http://127.0.0.1:$port/metrics" >"$dir/metrics" || fail "node-exporter does not answer"
grep -E '^node_(memory_MemTotal_bytes|boot_time_seconds|load1|uname_info)' "$dir/metrics"
note "$(grep -c '^node_' "$dir/metrics") values in all"

pod_of() { daemonlet get pods -n "$1" -l "$2" --no-headers 2>/dev/null | awk '{print $1}'; }
step "Logs, at the kubelet's paths"
run daemonlet logs ds/log-collector -n kube-system --tail=1
run ls pod-logs

step "An edit takes effect: fluentd-elasticsearch gets more memory"
before=$(pod_of kube-system name=fluentd-elasticsearch)
run sed -i 's/200Mi/300Mi/' "manifests/fluentd-elasticsearch.yaml"
has_successor() { local now; now=$(pod_of kube-system name=fluentd-elasticsearch) && [ -n "$now" ] && [ "$now" != "$before" ]; }
until_true has_successor || fail "the edit has no effect"
until_true all_ready 3 || fail "the edited pod does not become ready"
run daemonlet get pods -n kube-system
note "It was $before. What the kernel enforces now, in bytes:"
cat /sys/fs/cgroup{,/memory}/"$name"/kubepods/burstable/pod*/memory{.max,.limit_in_bytes} 2>/dev/null || true

step "What is deleted goes"
run rm "manifests/log-collector.yaml"
is_gone() { [ -z "$(pod_of kube-system app=log-collector)" ]; }
until_true is_gone || fail "the pod stays"
run daemonlet get ds -A
run rm manifests/*.yaml
is_empty() { [ -z "$(daemonlet get pods -A --no-headers 2>/dev/null)" ]; }
until_true is_empty || fail "pods stay without manifests"
run daemonlet get pods -A
note "The agent has used $(awk '/^Pss:/ {print $2}' "/proc/$agent_pid/smaps_rollup") KiB of memory (PSS) at the end."
printf '%sDone in %s s.%s\n' "$bold" "$((SECONDS - began))" "$plain"
