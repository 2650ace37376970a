#!/usr/bin/env bash
# Builds the images of the examples and tests out of programs at hand, with no registry and no image builder.
#
#   examples/images.sh DIRECTORY      makes DIRECTORY/*.tar as `docker save` would
#
# Import them with `ctr -n k8s.io images import FILE`. What is in them:
#   pause          a sandbox's first process: does nothing until it is told to end
#   busybox        a shell and its tools
#   node-exporter  the Prometheus node exporter of the distribution's package, with the libraries it needs
#   etcd           etcd of the distribution's package, where that is installed
#   cni-plugins    CNI's reference plugins, to be installed on a host, and a shell that does so (examples/cni)
#   fluentd        stands in for fluentd: follows the log files below /var/log and prints their lines
set -euo pipefail
umask 022

[ $# = 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $(uname -m) in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) architecture=$(uname -m) ;;
esac
busybox=${STATIC_BUSYBOX:-/bin/busybox}
node_exporter=$(command -v prometheus-node-exporter)

# root DIRECTORY: what every image has.
root() {
    mkdir -p "$1/bin" "$1/etc" "$1/tmp" "$1/proc" "$1/sys" "$1/dev"
    chmod 1777 "$1/tmp"
    printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnobody:x:65534:\n' >"$1/etc/group"
    cp "$busybox" "$1/bin/busybox"
}

# applets DIRECTORY: every tool that busybox has, by its name.
applets() {
    local name
    for name in $("$busybox" --list); do
        [ "$name" = busybox ] || ln -sf busybox "$1/bin/$name"
    done
}

# libraries PROGRAM DIRECTORY: the shared libraries that a program needs, where it looks for them.
libraries() {
    local file
    for file in $({ ldd "$1" 2>/dev/null || true; } | grep -o '/[^ )]*'); do
        mkdir -p "$2$(dirname "$file")"
        cp -L "$file" "$2$file"
    done
}

# pack NAME CONFIG TAG...: one layer out of $work/NAME, which runs as CONFIG says (the `config` object of an image).
pack() {
    local name=$1 config=$2 tag tags=""
    shift 2
    for tag in "$@"; do tags="$tags${tags:+,}\"$tag\""; done
    local image="$work/$name.image"
    mkdir "$image"
    # The same input makes the same image, whoever builds it and when.
    tar -C "$work/$name" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$image/layer.tar" .
    cat >"$image/config.json" <<JSON
{"architecture":"$architecture","os":"linux","created":"1970-01-01T00:00:00Z","config":$config,
"rootfs":{"type":"layers","diff_ids":["sha256:$(sha256sum <"$image/layer.tar" | cut -d' ' -f1)"]}}
JSON
    printf '[{"Config":"config.json","RepoTags":[%s],"Layers":["layer.tar"]}]\n' "$tags" >"$image/manifest.json"
    tar -C "$image" -cf "$out/.$name.tar" manifest.json config.json layer.tar
    mv "$out/.$name.tar" "$out/$name.tar"
}

# The shell is only there to end at once when told to: as a namespace's first process, sleep alone would ignore it.
root "$work/pause"
pack pause '{"Entrypoint":["/bin/busybox","sh","-c","trap \"exit 0\" TERM INT; /bin/busybox sleep 2147483647 & wait"]}' \
    localhost/daemonlet/pause:1

root "$work/cni-plugins"
applets "$work/cni-plugins"
mkdir "$work/cni-plugins/plugins"
for directory in "${CNI_BIN:-/usr/lib/cni}" /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
    [ -x "$directory/bridge" ] || continue
    cp "$directory"/{bridge,host-local,loopback} "$work/cni-plugins/plugins/"
    break
done
pack cni-plugins '{"Cmd":["sh"],"Env":["PATH=/bin"]}' localhost/daemonlet/cni-plugins:1

root "$work/busybox"
applets "$work/busybox"
pack busybox '{"Cmd":["sh"],"Env":["PATH=/bin"]}' docker.io/library/busybox:1

root "$work/node-exporter"
cp "$node_exporter" "$work/node-exporter/bin/node_exporter"
libraries "$node_exporter" "$work/node-exporter"
pack node-exporter '{"Entrypoint":["/bin/node_exporter"],"User":"65534","ExposedPorts":{"9100/tcp":{}}}' \
    docker.io/prom/node-exporter:v1.3.1

# Only where the distribution's etcd is at hand: one example needs it.
if etcd=$(command -v etcd); then
    root "$work/etcd"
    mkdir -p "$work/etcd/usr/local/bin"
    cp "$etcd" "$work/etcd/usr/local/bin/etcd"
    libraries "$etcd" "$work/etcd"
    pack etcd '{"Entrypoint":["/usr/local/bin/etcd"],"Env":["PATH=/usr/local/bin"]}' quay.io/coreos/etcd:v3.4.23
fi

root "$work/fluentd"
applets "$work/fluentd"
cat >"$work/fluentd/bin/fluentd" <<'SH'
#!/bin/sh
# Prints what is written to the log files below /var/log from now on, and one line of each to begin with.
trap 'kill $! 2>/dev/null; echo "stopped"; exit 0' TERM INT
files=$(find /var/log -name '*.log' -type f)
echo "following $(echo "$files" | wc -w) log files below /var/log"
# /dev/null keeps it going where there is none yet.
tail -q -n 1 -F /dev/null $files &
wait
SH
chmod 755 "$work/fluentd/bin/fluentd"
pack fluentd '{"Entrypoint":["/bin/fluentd"],"Env":["PATH=/bin"]}' \
    docker.io/library/fluentd:v1.16 quay.io/fluentd_elasticsearch/fluentd:v2.5.2
