#!/usr/bin/env bash
# Builds what goes into the image: DIRECTORY becomes its root, to be laid over distroless' cc image.
#
#   examples/container/build.sh DIRECTORY
#
#   HAPAX_BINARY   a program hapax that was built already, instead of building it
#
# No engine is needed: the Dockerfile runs this in its first stage, and any tool that makes images from a directory can
# take it from here (buildah, crane, ko, a tar file).
set -euo pipefail

[[ $# == 1 && $1 != -* ]] || {
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 64
}
mkdir -p "$1"
image=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'build.sh: %s\n' "$*" >&2; }

# The libraries that the last stage has: glibc's and libgcc's.
of_the_base='^(ld-linux[-a-z0-9_]*\.so\.[0-9]+|lib(c|m|dl|rt|pthread|resolv)\.so\.[0-9]+|libgcc_s\.so\.1|linux-vdso\.so\.1)$'

# --- The program ---------------------------------------------------------------------------------------------------

if [[ -z ${HAPAX_BINARY:-} ]]; then
    say "building hapax (about five minutes on two cores)"
    # zlib goes into the program, as librdkafka, OpenSSL and zstd do anyway: the base has none.
    LIBZ_SYS_STATIC=1 cargo build --release --locked --features sidecar --bin hapax
    HAPAX_BINARY=${CARGO_TARGET_DIR:-target}/release/hapax
fi
mkdir -p "$image/usr/bin"
cp "$HAPAX_BINARY" "$image/usr/bin/hapax"
# Names of functions stay, for backtraces; the rest is most of the file.
strip --strip-debug "$image/usr/bin/hapax"
chmod 755 "$image/usr/bin/hapax"

# --- Its libraries -------------------------------------------------------------------------------------------------

while read -r library path; do
    [[ ! $library =~ $of_the_base ]] || continue
    [[ -f $path ]] || {
        say "$library is missing here, and hapax needs it"
        exit 70
    }
    directory=$image/usr/lib/$(uname -m)-linux-gnu
    mkdir -p "$directory"
    say "$library comes along, since the base has none"
    cp -L "$path" "$directory/"
done < <(ldd "$image/usr/bin/hapax" | awk '{ name = $1; sub(/.*\//, "", name); print name, ($2 == "=>" ? $3 : $1) }')

# --- What is in it -------------------------------------------------------------------------------------------------

doc=$image/usr/share/doc/hapax
mkdir -p "$doc"
cp LICENSE-MIT LICENSE-APACHE "$doc/"
# For the crates: buildkit's own list (--sbom=true) holds the base's packages, and cannot look into the program.
examples/container/sbom >"$doc/sbom.cdx.json"

du -sh "$image" | awk '{ print "build.sh: " $1 " in all" }' >&2
