#!/usr/bin/env bash
# Makes the Debian package out of what is built already.
#
#   systemd/deb/build.sh BINARY DOCUMENTS DIRECTORY      writes DIRECTORY/daemonlet_VERSION_ARCHITECTURE.deb and prints its path
#
# BINARY is the program, of whatever architecture; DOCUMENTS the directory of man pages and completions. VERSION, if set, stands in for
# the version in Cargo.toml, COMPRESSION for xz. The same input makes the same package, byte for byte: SOURCE_DATE_EPOCH, or the last commit, is the time in it.
set -euo pipefail
umask 022

[ $# = 3 ] || { echo "usage: $0 BINARY DOCUMENTS DIRECTORY" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
binary=$(realpath "$1") documents=$(realpath "$2")
mkdir -p "$3"
out=$(cd "$3" && pwd)
recipe=$here/systemd/deb
version=${VERSION:-$(sed -n '/^\[package\]/,/^\[/ s/^version = "\(.*\)"$/\1/p' "$here/Cargo.toml")}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

die() { echo "error: $*" >&2; exit 1; }

# What the binary says of itself holds, whatever it was built by.
case $(LC_ALL=C readelf -h "$binary" | sed -n 's/^ *Machine: *//p') in
*X86-64*) architecture=amd64 ;;
*AArch64*) architecture=arm64 ;;
*) die "$binary is for no architecture that this recipe knows" ;;
esac
# The newest symbols that it asks of glibc are the oldest glibc that it runs with.
glibc=$(LC_ALL=C readelf -V "$binary" | grep -o 'Name: GLIBC_[0-9.]*' | sed 's/.*_//' | sort -Vu | tail -1)
depends="init-system-helpers (>= 1.54)"
[ -z "$glibc" ] || depends="$depends, libc6 (>= $glibc)"
if LC_ALL=C readelf -d "$binary" | grep -q 'NEEDED.*libgcc_s'; then depends="$depends, libgcc-s1"; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
chmod 755 "$work"
make -C "$here" --no-print-directory install DESTDIR="$tree" PREFIX=/usr UNITDIR=/usr/lib/systemd/system SYSCONFDIR=/etc \
    BINARY="$binary" DOCUMENTS="$documents" >/dev/null
doc=$tree/usr/share/doc/daemonlet
install -m 0644 "$recipe/copyright" "$doc/copyright"
printf 'daemonlet (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz beside this file.\n\n -- %s  %s\n' "$version" \
    "$(sed -n 's/^Maintainer: //p' "$recipe/control.in")" "$(date -uR -d "@$SOURCE_DATE_EPOCH")" >"$doc/changelog"
gzip -9n "$doc/changelog" "$doc/CHANGELOG.md"
find "$tree/usr/share/man" -type f -exec gzip -9n {} +
install -D -m 0644 "$recipe/lintian-overrides" "$tree/usr/share/lintian/overrides/daemonlet"

install -d "$tree/DEBIAN"
install -m 0644 "$recipe/conffiles" "$tree/DEBIAN/conffiles"
install -m 0755 -t "$tree/DEBIAN" "$recipe"/{postinst,prerm,postrm}
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
size=$(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@DEPENDS@/$depends/" \
    "$recipe/control.in" >"$tree/DEBIAN/control"
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

package=$out/daemonlet_${version}_$architecture.deb
dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --build "$tree" "$package" >/dev/null
echo "$package"
