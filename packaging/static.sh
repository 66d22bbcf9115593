#!/bin/sh
# Builds the commands as static binaries with musl, and checks that they serve.
#
#     packaging/static.sh TARGET
#
# TARGET is x86_64-unknown-linux-musl or aarch64-unknown-linux-musl. On a machine of another
# architecture, qemu runs the check.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=$1
architecture=${target%%-*}
case $target in
x86_64-unknown-linux-musl) compiler=musl-gcc packages=musl-tools ;;
aarch64-unknown-linux-musl)
    compiler=aarch64-linux-gnu-gcc packages='gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
    ;;
*)
    echo "unknown target: $target" >&2
    exit 2
    ;;
esac
runner=
if [ "$(uname -m)" != "$architecture" ]; then
    runner=qemu-$architecture-static packages="$packages qemu-user-static"
fi
for tool in "$compiler" ${runner:+"$runner"}; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install $packages" >&2; exit 1; }
done
rustup target list --installed | grep -qx "$target" || rustup target add "$target"

# SQLite, jemalloc and ring have parts in C. The linker of the machine's own architecture is the default
# one: musl-gcc does not know static executables that are position-independent.
variable=$(echo "$target" | tr - _)
export "CC_$variable=$compiler"
if [ "$(uname -m)" != "$architecture" ]; then
    linker=$(echo "$variable" | tr '[:lower:]' '[:upper:]')
    export "CARGO_TARGET_${linker}_LINKER=$compiler"
    # The cross compiler has the headers of glibc. With them, SQLite's switch for large files calls open64
    # and the like, which musl has not. File offsets have 64 bits without it.
    export LIBSQLITE3_FLAGS=-DSQLITE_DISABLE_LFS
    # jemalloc is built for the pages of this machine otherwise, and ends at its start where they are larger:
    # kernels of this architecture have pages of 4, 16 or 64 KiB.
    export JEMALLOC_SYS_WITH_LG_PAGE=16
fi
cd "$root"
cargo build --release --locked --target "$target" --package jackfield --package jackfield-bench --features jackfield/otlp,jackfield/cluster

binaries=${CARGO_TARGET_DIR:-target}/$target/release
folder=$(mktemp -d)
server=
trap 'kill ${server:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/site" "$folder/out"
for name in jackfield jackfield-bench; do
    if readelf --program-headers "$binaries/$name" | grep -q INTERP; then
        echo "$name is not static" >&2
        exit 1
    fi
done

# Serves a site without plugins, and passes events between clients.
printf 'unrouted: broadcast\nlisten: 127.0.0.1:0\ndata: off\n' >"$folder/site/jackfield.yml"
mkfifo "$folder/lines"
XDG_RUNTIME_DIR=$folder XDG_CACHE_HOME=$folder $runner "$binaries/jackfield" serve "$folder/site" >"$folder/lines" &
server=$!
read -r _ _ url <"$folder/lines"
$runner "$binaries/jackfield-bench" fan-out "$url" --seconds 1 --rate 20 --subscribers 3
kill "$server"
wait "$server"
server=
echo "$binaries/jackfield serves; it is static"
