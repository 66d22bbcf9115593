#!/bin/sh
# Builds the Debian package from commands that are built already.
#
#     packaging/debian/build.sh BINARIES OUT
#
# BINARIES has `jackfield` and `jackfield-bench`, OUT gets the package; its name is printed. The
# compression is xz, or the options of dpkg-deb in COMPRESSION.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
binaries=$1
out=$2
for tool in dpkg-deb strip gzip python3; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install dpkg binutils gzip python3" >&2; exit 1; }
done
# dpkg-deb gives no file a later time, so that the same commands make the same package.
: "${SOURCE_DATE_EPOCH:=$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH

version=$("$binaries/jackfield" --version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
umask 022

mkdir -p "$tree/DEBIAN" "$tree/usr/bin" "$tree/usr/lib/systemd/system" "$tree/etc/jackfield/site" \
    "$tree/usr/share/doc/jackfield" "$tree/usr/share/man/man1" \
    "$tree/usr/share/bash-completion/completions" "$tree/usr/share/zsh/vendor-completions" \
    "$tree/usr/share/fish/vendor_completions.d"

for name in jackfield jackfield-bench; do
    strip -o "$tree/usr/bin/$name" "$binaries/$name"
    chmod 755 "$tree/usr/bin/$name"
done

# The units of the documentation, with the paths of a package.
for unit in jackfield.service jackfield.socket; do
    sed -e 's#/usr/local/bin/#/usr/bin/#' -e 's#/srv/jackfield/site#/etc/jackfield/site#' \
        "$root/docs/examples/$unit" >"$tree/usr/lib/systemd/system/$unit"
done
cp "$here/jackfield.yml" "$tree/etc/jackfield/"
cp "$here/environment" "$tree/etc/jackfield/"
chmod 600 "$tree/etc/jackfield/environment"

"$binaries/jackfield" manuals "$tree/manuals" >/dev/null
gzip -9n "$tree"/manuals/*.1
mv "$tree"/manuals/*.1.gz "$tree/usr/share/man/man1/"
mv "$tree/manuals/jackfield.bash" "$tree/usr/share/bash-completion/completions/jackfield"
mv "$tree/manuals/_jackfield" "$tree/usr/share/zsh/vendor-completions/"
mv "$tree/manuals/jackfield.fish" "$tree/usr/share/fish/vendor_completions.d/"
rmdir "$tree/manuals"

cp "$here/copyright" "$root/LICENSE-MIT" "$root/LICENSE-APACHE" "$tree/usr/share/doc/jackfield/"
python3 "$root/packaging/sbom.py" server "$tree/usr/share/doc/jackfield/sbom.cdx.json"
gzip -9nc "$root/CHANGELOG.md" >"$tree/usr/share/doc/jackfield/changelog.gz"

for script in postinst prerm postrm; do
    install -m 755 "$here/$script" "$tree/DEBIAN/"
done
cp "$here/conffiles" "$tree/DEBIAN/"
size=$(du -ks --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" \
    "$here/control" >"$tree/DEBIAN/control"
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) \
    >"$tree/DEBIAN/md5sums"

mkdir -p "$out"
package="$out/jackfield_${version}_$architecture.deb"
# shellcheck disable=SC2086 # several options
dpkg-deb --root-owner-group ${COMPRESSION:--Zxz} --build "$tree" "$package" >/dev/null
echo "$package"
