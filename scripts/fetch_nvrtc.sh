#!/usr/bin/env bash
# Puts NVRTC at its pinned version and hash into .cache/nvrtc, where pointweld looks for it.
# With POINTWELD_NVRTC set, the NVRTC it names is used and nothing is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${POINTWELD_NVRTC:-}" ] && [ -e "$POINTWELD_NVRTC" ]; then
    echo "POINTWELD_NVRTC: $POINTWELD_NVRTC"
    exit 0
fi
scripts/fetch_wheels.sh scripts/nvrtc.txt .cache/nvrtc
