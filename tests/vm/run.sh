#!/usr/bin/env bash
# A whole machine: boots Debian in qemu, with systemd as its first process and daemonlet installed, and checks it from inside.
#
#   tests/vm/run.sh [SUITE]        bookworm (containerd 1.6, the default), trixie (containerd 1.7), forky (containerd 2.1)
#
# The machine has no network card, no registry and a clock that is years behind. What it checks is in guest/check.sh; it reports over its second serial
# port, reboots by itself, and its power is cut as often as POWER_CUTS says (10): by turns its kernel resets it, and qemu is killed. The package is
# made of BINARY and DOCUMENTS, which `make test-vm` builds.
set -euo pipefail

suite=${1:-bookworm}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
vm=$target/vm/$suite
packages=systemd,systemd-sysv,dbus,udev,linux-image-amd64,containerd,runc,containernetworking-plugins
packages+=,iproute2,iptables,kmod,procps,util-linux,libpam-systemd,jq
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
POWER_CUTS=${POWER_CUTS:-10}
DEADLINE=${DEADLINE:-$((1500 + 200 * POWER_CUTS))} # seconds for everything that the machine does; it is emulated, not virtualised

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
[ "$(id -u)" = 0 ] || die "making a disk with another machine's files on it needs root"

mkdir -p "$vm"
if [ ! -e "$vm/base/.complete" ]; then
    say "fetching Debian $suite (a few minutes, once)"
    rm -rf "$vm/base"
    # A release that this machine's debootstrap doesn't know yet is made as the newest one is.
    recipe=/usr/share/debootstrap/scripts/$suite
    [ -e "$recipe" ] || recipe=/usr/share/debootstrap/scripts/sid
    debootstrap --variant=minbase --include="$packages" "$suite" "$vm/base" "$mirror" "$recipe" >"$vm/debootstrap.log" 2>&1 ||
        die "debootstrap failed; see $vm/debootstrap.log"
    rm -rf "$vm/base"/var/cache/apt/archives/*.deb "$vm/base"/var/lib/apt/lists/*
    touch "$vm/base/.complete"
fi

say "making the machine's disk"
root=$vm/root
rm -rf "$root"
cp -a --reflink=auto "$vm/base" "$root"
package() {
    VERSION=$1 COMPRESSION=none "$here/systemd/deb/build.sh" "${BINARY:-$target/release/daemonlet}" \
        "${DOCUMENTS:-$target/documents}" "$vm/packages"
}
rm -rf "$vm/packages"
# The machine upgrades from the one to the other.
old=$(package 1.0) new=$(package 1.1)
dpkg --root="$root" --install "$old" >"$vm/dpkg.log" 2>&1 || die "the package can't be installed; see $vm/dpkg.log"
install -D -m 0644 "$new" "$root/opt/check/new.deb"
"$here/examples/images.sh" "$target/images" >/dev/null
install -D -m 0644 -t "$root/opt/check/images" "$target/images/busybox.tar"
cp -r "$here/tests/vm/guest/." "$root/opt/check/"
install -D -m 0644 "$here/tests/vm/guest/containerd.toml" "$root/etc/containerd/config.toml"
install -D -m 0644 "$here/tests/vm/guest/cni.conflist" "$root/etc/cni/net.d/10-pods.conflist"
install -D -m 0644 "$here/tests/vm/guest/check.service" "$root/etc/systemd/system/check.service"
echo "POWER_CUTS=$POWER_CUTS" >"$root/opt/check/settings"
echo node-1 >"$root/etc/hostname"
printf '127.0.0.1 localhost node-1\n' >"$root/etc/hosts"
printf '/dev/vda / ext4 defaults 0 1\n' >"$root/etc/fstab"
chroot "$root" systemctl --quiet enable check.service containerd.service
rm -f "$vm/disk.img"
mke2fs -q -t ext4 -d "$root" -L root "$vm/disk.img" 4G

say "the machine boots"
: >"$vm/checks.log"
: >"$vm/console.log"
boot() {
    qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2G -nographic -nic none \
        -kernel "$(echo "$root"/boot/vmlinuz-*)" -initrd "$(echo "$root"/boot/initrd.img-*)" \
        -append 'root=/dev/vda rw console=ttyS0 quiet panic=-1' \
        -drive "file=$vm/disk.img,if=virtio,format=raw,cache=writethrough" \
        -serial mon:stdio -chardev "file,id=checks,path=$vm/checks.log,append=on" -serial chardev:checks \
        -rtc base=2019-06-01T00:00:00 \
        </dev/null >>"$vm/console.log" 2>&1 &
    qemu=$!
}
asked_to_cut() { grep -c '^cut the power' "$vm/checks.log" || true; }
lines=
trap 'kill -9 "$qemu" $lines 2>/dev/null || true' EXIT
SECONDS=0
boot
# The checks' own lines, as they come.
tail -n +1 -F "$vm/checks.log" 2>/dev/null > >(sed -u 's/\r$//') &
lines=$!
cuts=0
while kill -0 "$qemu" 2>/dev/null; do
    if [ $SECONDS -ge "$DEADLINE" ]; then
        say "the machine did not finish within $DEADLINE s; see $vm/console.log"
        break
    fi
    if [ "$(asked_to_cut)" -gt "$cuts" ]; then
        cuts=$((cuts + 1))
        kill -9 "$qemu"
        wait "$qemu" 2>/dev/null || true
        boot
    fi
    sleep 0.2
done
sleep 1
kill -9 "$qemu" 2>/dev/null || true
kill "$lines" 2>/dev/null || true
wait "$lines" 2>/dev/null || true
trap - EXIT

passed=$(grep -c '^ok ' "$vm/checks.log" || true)
failed=$(grep -c '^not ok ' "$vm/checks.log" || true)
grep -q '^finished' "$vm/checks.log" || failed=$((failed + 1))
echo "$suite: $passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
