# Sourced by the examples that run containers: what they have left, and how it goes. Whatever happens, nothing of an example stays on the machine.
#
# The example says, before it starts anything:
#   dir        a directory of its own, below which everything of it is
#   name       what the paths of its cgroups have in them, and no others
#   mark       the name of a variable that it exports with $dir for its value: its processes have it in their environment
#   started    a function that prints the ids of the processes that it has started and does not wait for
# shellcheck shell=bash

# Its processes: those that have its mark in their environment or run in its cgroups.
processes() {
    local process
    for process in /proc/[0-9]*; do
        [ "${process#/proc/}" != $$ ] && [ "${process#/proc/}" != "$BASHPID" ] || continue
        if grep -qs "/$name" "$process/cgroup" ||
            { grep -qsz "^$mark=$dir\$" "$process/environ" && ! is_ours "${process#/proc/}"; }; then
            echo "${process#/proc/}"
        fi
    done 2>/dev/null
}
# Whether a process is the example's script, or something that it runs right now and waits for.
is_ours() {
    local pid=$1 known
    while [ "${pid:-0}" -gt 1 ]; do
        for known in $(started); do [ "$pid" != "$known" ] || return 1; done
        [ "$pid" != $$ ] || return 0
        pid=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status" 2>/dev/null)
    done
    return 1
}
# Its mounts, the innermost last.
mounts() { awk -v below="$dir/" 'index($5, below) == 1 {print $5}' /proc/self/mountinfo; }
cgroups() { find /sys/fs/cgroup -depth -type d -path "*/$name*" 2>/dev/null; }
# The sockets of its shims, which are not below its directory.
sockets() {
    cat "$dir"{,/*}/run/io.containerd.runtime.v2.task/k8s.io/*/address 2>/dev/null | sed 's|unix://|\n|g'
}

# end_processes SECONDS: gives them so long to end by themselves, and then they are killed.
end_processes() {
    local round pids
    for round in $(seq $(($1 * 10 + 40))); do
        pids=$(processes)
        [ -n "$pids" ] || return 0
        # shellcheck disable=SC2086
        [ "$round" -le $(($1 * 10)) ] || kill -KILL $pids 2>/dev/null
        sleep 0.1
    done
}
# Removes what is left once no process is.
remove_leftovers() {
    local mount
    while mount=$(mounts | tail -n 1) && [ -n "$mount" ]; do
        umount --lazy "$mount" || break
    done
    for _ in 1 2 3 4 5; do cgroups | xargs -r rmdir 2>/dev/null && break || sleep 0.1; done
    # With a mount left, what is below would be somebody else's.
    [ -n "$(mounts)" ] || rm -rf "$dir"
}
# Prints what is still there, one line each.
leftovers() {
    local pid
    for pid in $(processes); do echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"; done
    mounts | sed 's/^/mount /'
    cgroups | sed 's/^/cgroup /'
    [ ! -e "$dir" ] || echo "file $dir"
}
