#!/usr/bin/env bash
# Fetches containerd and runc of another Debian release, to test with, and prints the folder that they are in.
#
#   PATH="$(examples/containerd.sh trixie):$PATH"      trixie has containerd 1.7, forky 2.1
#
# Nothing is installed: the packages are checked against Debian's keys and unpacked below target. Programs that want a newer C library
# than this machine has are pointed to the one of their own release. DEBIAN_MIRROR says where all comes from.
set -euo pipefail

suite=${1:?which Debian release}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
place=$target/containerd/$suite
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

fetch() {
    command -v apt-get >/dev/null || die "fetching Debian's packages needs apt-get"
    [ -e "$keys" ] || die "$keys is missing: install debian-archive-keyring"
    say "fetching containerd and runc of Debian $suite"
    rm -rf "$place"
    mkdir -p "$place/lists/partial" "$place/cache/archives/partial" "$place/packages" "$place/root" "$place/bin"
    echo "deb [signed-by=$keys] $mirror $suite main" >"$place/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$place/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$place/lists"
        -o "Dir::Cache=$place/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root)
    "${apt[@]}" update >&2 </dev/null || die "the list of Debian $suite's packages can't be fetched from $mirror"
    (cd "$place/packages" && "${apt[@]}" download containerd runc libc6 libseccomp2 >&2 </dev/null) ||
        die "packages of Debian $suite can't be fetched from $mirror"
    # What changes programs is this machine's own.
    command -v patchelf >/dev/null || (cd "$place/packages" && apt-get -qq -o APT::Sandbox::User=root download patchelf >&2 </dev/null) || say "there is no patchelf"
    local package
    for package in "$place"/packages/*.deb; do dpkg-deb -x "$package" "$place/root"; done
    rm -rf "$place/lists" "$place/cache" "$place/packages"
}

# A program that this machine's C library is too old for runs with its own release's.
adapt() {
    local program=$place/bin/$1 loader library
    cp "$(find "$place/root" -path "*bin/$1" -type f)" "$program"
    "$program" "$2" >/dev/null 2>&1 && return
    loader=$(find "$place/root" -name 'ld-linux-*.so.?' | head -n 1)
    library=$(dirname "$(find "$place/root" -name libc.so.6)")
    PATH="$PATH:$place/root/usr/bin" patchelf --set-interpreter "$loader" --set-rpath "$library" "$program" || return
    "$program" "$2" >/dev/null
}

if [ ! -e "$place/.complete" ]; then
    fetch
    for program in containerd ctr runc; do
        adapt "$program" --version || die "Debian $suite's $program does not run on this machine"
    done
    adapt containerd-shim-runc-v2 -v || die "Debian $suite's shim does not run on this machine"
    touch "$place/.complete"
fi
say "$("$place/bin/containerd" --version), $("$place/bin/runc" --version | head -n 1)"
echo "$place/bin"
