#!/usr/bin/env bash
# Finds what `make` needs of this machine, and fetches what is missing.
#
#   eval "$(examples/requirements.sh build test)"      groups: build, run, test, etcd, vm
#
# Prints shell assignments (PATH, PROTOC …) on standard output, everything else on standard error. Programs that come with a
# service (containerd, the node exporter) are unpacked from their Debian packages into target/tools instead of installed, so
# that no service is started here and none that already runs is disturbed. Only a compiler, protoc and libraries are installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${TOOLS_DIR:-${CARGO_TARGET_DIR:-$here/target}/tools}
path="$PATH:/usr/local/sbin:/usr/sbin:/sbin:$tools/bin:$tools/usr/bin:$tools/usr/sbin"
to_install=()
to_unpack=()

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
has() { PATH=$path command -v "$1" >/dev/null 2>&1; }

install_if_no() { has "$1" || to_install+=("$2"); }
unpack_if_no() { has "$1" || to_unpack+=("$2"); }

need_build() {
    if ! has cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then path="$path:$HOME/.cargo/bin"; fi
    has cargo || die "there is no cargo: install the Rust toolchain (https://rustup.rs) and try again"
    has cc || to_install+=(gcc libc6-dev)
    if [ -z "${PROTOC:-}" ]; then install_if_no protoc protobuf-compiler; fi
}

need_run() {
    unpack_if_no containerd containerd
    unpack_if_no runc runc
    [ -n "$(cni_directory)" ] || to_unpack+=(containernetworking-plugins)
    unpack_if_no prometheus-node-exporter prometheus-node-exporter
    [ -n "$(static_busybox)" ] || to_unpack+=(busybox-static)
    install_if_no ip iproute2
    install_if_no mountpoint util-linux
    install_if_no curl curl
    ldconfig -p 2>/dev/null | grep -q libseccomp.so.2 || to_install+=(libseccomp2)
}

need_test() {
    need_run
    need_etcd
    install_if_no git git
    # One test of many needs it, and says so when it isn't there.
    if [ -z "$(faketime_library)" ] && command -v apt-get >/dev/null; then
        (unpack_packages libfaketime) || say "NOTICE: there is no libfaketime: the test of a clock that is set is skipped"
    fi
}

need_etcd() {
    unpack_if_no etcd etcd-server
    unpack_if_no etcdctl etcd-client
    install_if_no nsenter util-linux
}

need_vm() {
    need_run
    install_if_no debootstrap debootstrap
    install_if_no qemu-system-x86_64 qemu-system-x86
    install_if_no mke2fs e2fsprogs
}

# Where the bridge plugin and its companions are.
cni_directory() {
    local directory
    for directory in "$tools/usr/lib/cni" /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
        if [ -x "$directory/bridge" ] && [ -x "$directory/host-local" ] && [ -x "$directory/loopback" ]; then
            echo "$directory"
            return
        fi
    done
}

# What gives a process a clock of its own.
faketime_library() {
    local file
    for file in "$tools"/usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib/*/faketime/libfaketimeMT.so.1; do
        if [ -e "$file" ]; then
            echo "$file"
            return
        fi
    done
}

# A busybox that needs no libraries, since it is alone in its image.
static_busybox() {
    local file
    for file in "$tools/bin/busybox" "$tools/usr/bin/busybox" /bin/busybox /usr/bin/busybox; do
        if [ -x "$file" ] && ! ldd "$file" >/dev/null 2>&1; then
            echo "$file"
            return
        fi
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

apt_update_once() {
    [ -z "${apt_is_fresh:-}" ] || return 0
    apt_is_fresh=yes
    say "apt-get update"
    as_root apt-get update -qq </dev/null >&2 || say "apt-get update failed; trying with what is there"
}

install_packages() {
    say "installing: $*"
    apt_update_once
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2 ||
        die "apt-get could not install: $*"
}

unpack_packages() {
    say "unpacking into $tools: $*"
    local packages
    packages=$(mktemp -d)
    # apt drops its privileges to a user of its own, which must be able to write here.
    chmod 755 "$packages"
    if ! (cd "$packages" && apt-get download -qq "$@" </dev/null >&2 2>/dev/null); then
        apt_update_once
        (cd "$packages" && apt-get download -qq "$@" </dev/null >&2) || die "apt-get could not download: $*"
    fi
    mkdir -p "$tools"
    local package
    for package in "$packages"/*.deb; do dpkg-deb -x "$package" "$tools"; done
    rm -rf "$packages"
}

[ $# -gt 0 ] || set -- build run
for group in "$@"; do
    case $group in
    build | run | test | etcd | vm) "need_$group" ;;
    *) die "$group is no group of requirements: build, run, test, etcd, vm" ;;
    esac
done
if [ ${#to_install[@]} -gt 0 ] || [ ${#to_unpack[@]} -gt 0 ]; then
    command -v apt-get >/dev/null ||
        die "this machine has no apt-get; please install: ${to_install[*]-} ${to_unpack[*]-}"
    [ ${#to_install[@]} -eq 0 ] || install_packages "${to_install[@]}"
    [ ${#to_unpack[@]} -eq 0 ] || unpack_packages "${to_unpack[@]}"
fi

printf 'export PATH=%q\n' "$path"
printf 'export CNI_BIN=%q\n' "$(cni_directory)"
printf 'export FAKETIME_LIBRARY=%q\n' "$(faketime_library)"
printf 'export STATIC_BUSYBOX=%q\n' "$(static_busybox)"
