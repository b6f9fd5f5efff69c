#!/usr/bin/env bash
# Everything that needs a GPU, in one call, on a machine that has one but need not have Rust: the tests on the device, the figures of
# benches/cases.json, and the peers where they are installed. It takes binaries built elsewhere:
#
#   cargo build --release && cargo test --no-run          # where Rust is
#   benches/gpu.sh target/release/pointweld out [TEST_BINARY ...]   # where the GPU is
#
# It writes out/pointweld.json, out/peers.json and prints one table.
set -euo pipefail
binary=$1 out=$2
shift 2
mkdir -p "$out"
here=$(cd "$(dirname "$0")" && pwd)
"$binary" doctor
for test in "$@"; do
  echo "== $test"
  "$test" --nocapture 2>&1 | tail -n 40
done
"$binary" demo -o "$out/demo" | grep -A1 -E "Executed on|groups share"
"$binary" --json bench --cases "$here/cases.json" > "$out/pointweld.json"
if python3 -c 'import torch, triton' 2> /dev/null; then
  python3 "$here/peers.py" "$out/peers.json" > "$out/peers.log" 2>&1 || tail -n 5 "$out/peers.log"
else
  echo "PyTorch and Triton are not installed here: no peers"
fi
python3 "$here/table.py" "$out"
