#!/usr/bin/env bash
# Everything that needs a GPU, in one call, on a machine that has one but need not have Rust: the tests on the device, the proof of some
# models' kernels there, the figures of benches/cases.json, and the peers where they are installed. It takes what `make gpu-bundle` gathered:
#
#   make gpu-bundle                    # where Rust is: out/gpu
#   out/gpu/gpu.sh out/gpu out [tests] [verify] [bench]      # where the GPU is; all three unless some are named
#
# It writes out/tests.md, out/tests.log, out/verify.md, out/pointweld.json, out/peers.json, and prints the tables. It needs CUDA's NVRTC:
# POINTWELD_NVRTC names the library if the loader does not find it. The exit code is 1 if a test or a proof failed.
set -euo pipefail
bundle=$(cd "$1" && pwd) out=$2
shift 2
parts=" ${*:-tests verify bench} "
mkdir -p "$out"
here=$(cd "$(dirname "$0")" && pwd)
pointweld=$bundle/pointweld
failed=0

if [ -z "${POINTWELD_NVRTC:-}" ]; then
  for found in /usr/local/cuda/lib64/libnvrtc.so.1* /usr/local/cuda*/targets/x86_64-linux/lib/libnvrtc.so.1*; do
    if [ -e "$found" ]; then export POINTWELD_NVRTC=$found; break; fi
  done
fi
"$pointweld" doctor

# Which of a suite's tests need no checkout: what differs from this is left out.
only() {
  case $1 in
    kernels) echo "--skip codegen" ;;
    ops) echo "numerics" ;;
  esac
}

if [[ $parts == *" tests "* ]]; then
  : > "$out/tests.log"
  {
    echo "| suite | passed | failed | seconds |"
    echo "|---|---|---|---|"
  } > "$out/tests.md"
  for test in "$bundle"/tests/*; do
    name=$(basename "$test")
    start=$SECONDS
    # shellcheck disable=SC2046
    timeout 300 "$test" $(only "$name") --nocapture > "$out/one.log" 2>&1 || failed=1
    passed=$(grep -oE '[0-9]+ passed' "$out/one.log" | grep -oE '[0-9]+' || echo 0)
    wrong=$(grep -oE '[0-9]+ failed' "$out/one.log" | grep -oE '[0-9]+' || echo "all: it did not end")
    # A test that found no device has proved nothing here.
    if grep -q "skipped: no device" "$out/one.log"; then wrong="no device" failed=1; fi
    echo "| $name | $passed | $wrong | $((SECONDS - start)) |" >> "$out/tests.md"
    { echo "== $name"; cat "$out/one.log"; } >> "$out/tests.log"
  done
  rm -f "$out/one.log"
  cat "$out/tests.md"
fi

if [[ $parts == *" verify "* ]]; then
  {
    echo "| model | kernels that hold | elements | largest error / bound | codes | mismatches |"
    echo "|---|---|---|---|---|---|"
  } > "$out/verify.md"
  for model in "$bundle"/models/*.onnx; do
    [ -e "$model" ] || continue
    "$pointweld" --json verify "$model" --device cuda > "$out/one.json" 2> /dev/null || failed=1
    python3 - "$model" "$out/one.json" >> "$out/verify.md" << 'PYTHON'
import json, pathlib, sys
# After a kernel that fails, the command prints the failure as a second value.
found, _ = json.JSONDecoder().raw_decode(open(sys.argv[2]).read())
name = pathlib.Path(sys.argv[1]).stem
if isinstance(found, dict):
    print(f"| {name} | {found['error']} | | | | |")
else:
    holds = sum(p["failure"] is None and p["mismatches"] == 0 for p in found)
    total = lambda key: sum(p[key] for p in found)
    worst = max((p["worst"] for p in found), default=0)
    print(f"| {name} | {holds} of {len(found)} | {total('elements')} | {worst:.3f} | {total('codes')} | {total('mismatches')} |")
PYTHON
  done
  rm -f "$out/one.json"
  cat "$out/verify.md"
fi

if [[ $parts == *" bench "* ]]; then
  "$pointweld" demo -o "$out/demo" | grep -A1 -E "Executed on|groups share"
  "$pointweld" --json bench --cases "$here/cases.json" > "$out/pointweld.json" || failed=1
  if python3 -c 'import torch, triton' 2> /dev/null; then
    python3 "$here/peers.py" "$out/peers.json" > "$out/peers.log" 2>&1 || tail -n 5 "$out/peers.log"
  else
    echo "PyTorch and Triton are not installed here: no peers"
  fi
  python3 "$here/table.py" "$out"
fi
exit $failed
