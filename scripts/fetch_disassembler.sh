#!/usr/bin/env bash
# Puts nvdisasm and cuobjdump at their pinned version and hashes into .cache/disassembler, where pointweld looks for them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/fetch_wheels.sh scripts/disassembler.txt .cache/disassembler
