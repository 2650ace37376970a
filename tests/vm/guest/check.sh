#!/usr/bin/env bash
# What holds on a whole machine. Runs at every boot; the number of the boot is on disk, and says what is checked.
set -uo pipefail

dir=/var/lib/check
mkdir -p $dir
boot=$(($(cat $dir/boot 2>/dev/null || echo 0) + 1))
echo $boot >$dir/boot
sync
POWER_CUTS=3
failed=0
# shellcheck disable=SC1091
. /opt/check/settings

say() { echo "$*"; }
# check WORDS -- COMMAND: one line, whether the command succeeds.
check() {
    local what=$1
    shift
    local output
    if output=$("$@" 2>&1); then
        say "ok boot $boot: $what"
    else
        failed=$((failed + 1))
        say "not ok boot $boot: $what"
        printf '%s\n' "$output" | sed 's/^/    /' | head -20
    fi
}
# within SECONDS COMMAND: repeats the command until it succeeds. The seconds are a real machine's; this one is emulated, and others work beside it.
within() {
    local deadline=$((SECONDS + $1 * 3))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            "$@"
            return
        fi
        sleep 0.5
    done
}
is() { [ "$1" = "$2" ] || { echo "is $1, not $2"; return 1; }; }

daemonlet() { /usr/bin/daemonlet "$@"; }
pods() { daemonlet get pods -A -o json; }
ready() {
    local number
    number=$(pods | jq '[.items[] | select(.status.conditions[]? | select(.type == "Ready" and .status == "True"))] | length')
    is "$number pods ready" "$1 pods ready"
}
# As many pods as that are ready, and none is on its way out, is sacrificed or has failed. One that is evicted runs, and is ready, until it has ended.
settled() {
    ready "$1" && is "$(pods | jq '[.items[] | select(.metadata.deletionTimestamp or .status.phase != "Running"
        or any(.status.conditions[]?; .type == "DisruptionTarget"))] | length') others" "0 others"
}
uid() { pods | jq -r ".items[] | select(.metadata.labels.app == \"$1\") | .metadata.uid"; }
uids() { pods | jq -r '.items[].metadata.uid' | sort; }
restarts() { pods | jq '[.items[].status.containerStatuses[].restartCount] | add'; }
tasks() { ctr -n k8s.io tasks ls | awk 'NR > 1 {print $1, $2}' | sort; }
slices() { find /sys/fs/cgroup/kubepods.slice -name '*-pod*.slice' | wc -l; }
limit() { is "$(cat "/sys/fs/cgroup/kubepods.slice/$1")" "$2"; }
served() { is "$(curl_pod)" hello; }
curl_pod() {
    local ip
    ip=$(pods | jq -r '.items[] | select(.metadata.labels.app == "web") | .status.podIP')
    exec 9<>"/dev/tcp/$ip/8080" && printf 'GET /index.html HTTP/1.0\r\n\r\n' >&9 && tail -n 1 <&9
}
# The pod's slice, as its directory below kubepods.slice.
slice() {
    local class=$1 uid
    uid=$(uid "$2")
    uid=${uid//-/_}
    case $class in
    '') echo "kubepods-pod$uid.slice" ;;
    *) echo "kubepods-$class.slice/kubepods-$class-pod$uid.slice" ;;
    esac
}
nothing_lost() {
    check "a sandbox and a container run for every pod, and nothing else" \
        is "$(tasks | wc -l)" "$(($(uids | wc -l) * 2))"
    check "as many slices of pods as pods" is "$(slices)" "$(uids | wc -l)"
    check "as many directories of pods as pods" is "$(find /var/lib/daemonlet/pods -mindepth 1 -maxdepth 1 | wc -l)" "$(uids | wc -l)"
}
unchanged() {
    check "$1: the same pods" is "$(uids)" "$uids"
    check "$1: the same tasks" is "$(tasks)" "$tasks"
}
agent_answers() { daemonlet status; }
# All that there is to say when pods are not as they should be.
evidence() {
    {
        daemonlet get pods -A -o wide
        daemonlet get events -A | tail -20
        journalctl -u daemonlet -b --no-pager -o cat | tail -20
        journalctl -u containerd -b --no-pager -o cat | grep -E 'level=(error|warn)' | tail -10
    } 2>&1 | cut -c1-400 | sed 's/^/    /'
}

first_boot() {
    check "cgroup v2" test -e /sys/fs/cgroup/cgroup.controllers
    # No registry, and nothing imported by hand: an archive of one image, and the sandbox image that is built in.
    check "no image is there" is "$(ctr -n k8s.io images ls -q | wc -l)" 0
    cp /opt/check/images/busybox.tar /var/lib/daemonlet/images/
    cp /opt/check/manifests/*.yaml /etc/daemonlet/manifests/
    check "three pods ready" within 120 ready 3
    give_up_if_failed
    say "time from boot to ready: $(cut -d' ' -f1 /proc/uptime) s of uptime"
    check "a pod with its own network serves a ConfigMap" within 30 served
    check "the systemd cgroup driver was found out" test -d /sys/fs/cgroup/kubepods.slice

    local web steady best
    web=$(slice burstable web) steady=$(slice '' steady) best=$(slice besteffort last-words)
    check "web's slice: memory.max" limit "$web/memory.max" 67108864
    check "web's slice: cpu.max" limit "$web/cpu.max" "50000 100000"
    check "web's slice: cpu.weight" limit "$web/cpu.weight" 4
    check "steady's slice: memory.max" limit "$steady/memory.max" 33554432
    check "steady's slice: cpu.max" limit "$steady/cpu.max" "20000 100000"
    check "last-words' slice: cpu.weight" limit "$best/cpu.weight" 1
    check "the Burstable class has its pods' weight" limit kubepods-burstable.slice/cpu.weight 4
    check "the BestEffort class has the least weight" limit kubepods-besteffort.slice/cpu.weight 1
    check "the node's slice has the node's weight" limit cpu.weight 79
    check "the node's slice has the node's memory" \
        limit memory.max "$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) * 1024))"
    check "systemd knows the pod's limit" is \
        "$(systemctl show -p MemoryMax --value "$(basename "$web")")" 67108864
    systemctl daemon-reload
    check "limits outlast systemctl daemon-reload" limit "$web/memory.max" 67108864
    nothing_lost

    uids=$(uids) tasks=$(tasks)
    systemctl restart daemonlet
    check "the agent answers after a restart" within 30 agent_answers
    check "three pods ready after a restart" within 30 ready 3
    unchanged "systemctl restart"
    local agent
    agent=$(systemctl show -p MainPID --value daemonlet)
    check "the package can be upgraded" dpkg --install /opt/check/new.deb
    check "another agent runs after the upgrade" test "$(systemctl show -p MainPID --value daemonlet)" != "$agent"
    check "the agent answers after a package upgrade" within 30 agent_answers
    check "three pods ready after a package upgrade" within 30 ready 3
    unchanged "package upgrade"
    kill -9 "$(systemctl show -p MainPID --value daemonlet)"
    sleep 2
    check "the agent answers after kill -9" within 60 agent_answers
    check "three pods ready after kill -9" within 30 ready 3
    unchanged "kill -9"
    systemctl restart containerd
    check "three pods ready after containerd's restart" within 60 ready 3
    unchanged "restart of containerd"
    kill -STOP "$(systemctl show -p MainPID --value daemonlet)"
    check "the watchdog replaces an agent that hangs" within 200 agent_answers_anew
    check "three pods ready after the watchdog" within 30 ready 3
    unchanged "watchdog"

    # By its name and its words it is a kubelet; on the default socket, unless it has a /run of its own as in a container.
    cp /bin/bash /opt/check/kubelet
    tail -f /dev/null | unshare --mount sh -c 'mount -t tmpfs tmpfs /run && exec /opt/check/kubelet -c "read -r"' &
    local elsewhere=$!
    sleep 1
    tail -f /dev/null | /opt/check/kubelet -c "read -r" &
    local here=$!
    check "a kubelet on the same socket is noticed" within 150 stands_by $here
    check "no agent fights it: takeover waits until it is gone" fails daemonlet takeover
    kill -9 $here $elsewhere
    check "takeover is the way back" within 20 daemonlet takeover
    check "three pods ready after a takeover" within 60 ready 3
    unchanged "a kubelet that came and went"

    rm /etc/daemonlet/manifests/steady.yaml
    check "a deleted DaemonSet's pod goes" within 120 ready 2
    check "a deleted DaemonSet's slice goes" within 30 gone "/sys/fs/cgroup/kubepods.slice/$steady"
    check "systemd forgets the slice" within 10 is \
        "$(systemctl list-units --all --plain --no-legend "$(basename "$steady")" | wc -l)" 0
    cp /opt/check/manifests/steady.yaml /etc/daemonlet/manifests/
    check "it comes back" within 60 ready 3
    say "security: $(systemd-analyze security daemonlet --no-pager 2>/dev/null | tail -1)"
    say "memory of the agent: $(awk '/^Pss:/ {print $2, $3}' "/proc/$(systemctl show -p MainPID --value daemonlet)/smaps_rollup")"
    check "shutdowns wait for pods" within 60 \
        sh -c 'systemd-inhibit --list --no-legend --no-pager | grep -q "daemonlet.*shutdown.*delay"'
    check "logind lets them wait for long enough" is \
        "$(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
            InhibitDelayMaxUSec)" "t 30000000"
    # The kernel is told to kill whom it would kill if there were no memory left: one that asks for it.
    systemd-run --quiet --unit victim -p OOMScoreAdjust=1000 sleep 600
    sleep 1
    echo f >/proc/sysrq-trigger
    check "a process that the kernel has killed for want of memory is told of" within 30 told "SystemOOM.*victim process: sleep"

    uids >$dir/uids
    rm -f $dir/words
    sync
    say "orderly reboot"
    systemctl reboot
}
gone() { [ ! -e "$1" ]; }
stands_by() { daemonlet status | grep "a kubelet (process $1) uses the same container runtime"; }
fails() { ! "$@"; }
agent_answers_anew() { timeout 5 /usr/bin/daemonlet status; }
condition() {
    daemonlet get node node-1 -o json | jq -e ".status.conditions[] | select(.type == \"$1\" and .status == \"$2\")"
}
told() { daemonlet get events -A | grep "$1"; }

# Where pods are not ready, nothing that follows means anything.
give_up_if_failed() {
    [ "$failed" != 0 ] || return 0
    evidence
    say "finished"
    sync
    systemctl poweroff --force --force
    sleep 60
}

later_boot() {
    check "three pods ready after $1" within 120 ready 3
    give_up_if_failed
    say "time from boot to ready: $(cut -d' ' -f1 /proc/uptime) s of uptime"
    [ $boot = 2 ] || check "the same pods after $1" is "$(uids)" "$(cat $dir/uids)"
    check "a pod with its own network serves a ConfigMap" within 30 served
    nothing_lost
    check "limits are there" limit "$(slice burstable web)/memory.max" 67108864
}

# More memory is asked to be free than there is.
memory_pressure() {
    mkdir -p /etc/daemonlet/config.d
    printf 'evictionHard: {memory.available: 99%%}\nevictionPressureTransitionPeriod: 1s\n' >/etc/daemonlet/config.d/pressure.yaml
    systemctl restart daemonlet
    check "a node that is short of memory says so" within 60 condition MemoryPressure True
    check "a pod is evicted" within 60 told "Evicted.*low on resource: memory"
    rm /etc/daemonlet/config.d/pressure.yaml
    systemctl restart daemonlet
    check "it recovers" within 60 condition MemoryPressure False
    check "three pods ready after memory pressure" within 180 settled 3
}

# The package goes: its pods stay until it is purged.
package_goes() {
    tasks=$(tasks)
    check "the package can be removed" dpkg --remove daemonlet
    check "no agent runs after a removal" is "$(systemctl is-active daemonlet)" inactive
    check "a removal leaves the pods" is "$(tasks)" "$tasks"
    check "the package can be purged" dpkg --purge daemonlet
    check "a purge ends the pods" is "$(tasks | wc -l)" 0
    check "a purge leaves no sandbox" is "$(ctr -n k8s.io containers ls -q | wc -l)" 0
    check "a purge leaves no slice of a pod" is "$(slices)" 0
    check "a purge leaves no mount" is "$(grep -c /var/lib/daemonlet /proc/self/mountinfo)" 0
    check "a purge leaves no state" gone /var/lib/daemonlet
    check "a purge leaves the manifests" test -e /etc/daemonlet/manifests/web.yaml
}

trap 'say "stopped by a signal"' TERM
until agent_answers >/dev/null 2>&1 || [ $SECONDS -gt 180 ]; do sleep 0.5; done
case $boot in
1) first_boot ;;
2)
    check "the preStop hook ran before the reboot" is "$(cat $dir/words)" bye
    later_boot "a reboot"
    check "pods that ended for the reboot were replaced" is "$(uids | comm -12 - $dir/uids | wc -l)" 0
    uids >$dir/uids
    # At the next boot the store is not mounted.
    mv /etc/daemonlet/manifests /etc/daemonlet/away
    mkdir /etc/daemonlet/manifests
    sync
    ;;
3)
    check "the agent goes by what it had of a store that is empty" within 30 \
        sh -c '/usr/bin/daemonlet status | grep -q "objects are kept"'
    later_boot "a power cut, with the store away"
    rmdir /etc/daemonlet/manifests
    mv /etc/daemonlet/away /etc/daemonlet/manifests
    sync
    ;;
*) later_boot "a power cut" ;;
esac
[ $boot -gt 1 ] || exit 0
[ "$failed" = 0 ] || evidence
if [ $boot -lt $((POWER_CUTS + 2)) ]; then
    # Work is under way when the power goes.
    [ $boot = 2 ] || cp /opt/check/manifests/web.yaml /etc/daemonlet/manifests/web.yaml
    if [ $((boot % 2)) = 0 ]; then
        say "cut the power" # whoever runs the machine reads this
        sleep 60
    fi
    say "power cut by the kernel's own reset"
    echo b >/proc/sysrq-trigger
    sleep 60
fi
memory_pressure
package_goes
say "finished"
systemctl poweroff --force --force
