#!/usr/bin/env bash
# Everything that needs a GPU, in one call, on a machine that has one but need not have Rust: the tests on the device, the proof of some
# models' kernels there, the figures of benches/cases.json, and the peers where they are installed. It takes what `make gpu-bundle` gathered:
#
#   make gpu-bundle                    # where Rust is: out/gpu
#   out/gpu/gpu.sh out/gpu out [tests] [verify] [racecheck] [bench] [products] [models] [tune]   # where the GPU is; all unless some are named
#
# It writes out/tests.md, out/tests.log, out/verify.md, out/racecheck.log, out/pointweld.json, out/peers.json, out/products.json, out/models.md and locks, and prints the
# tables. It needs CUDA's NVRTC:
# POINTWELD_NVRTC names the library if the loader does not find it. The exit code is 1 if a test or a proof failed.
set -euo pipefail
bundle=$(cd "$1" && pwd) out=$2
shift 2
parts=" ${*:-tests verify racecheck bench products models tune} "
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

# Accesses out of bounds and races within a block on hardware, of the kernels that go through shared memory: the tool slows a kernel down a thousandfold, so only the
# first launches of a few.
if [[ $parts == *" racecheck "* ]] && command -v compute-sanitizer > /dev/null; then
  : > "$out/racecheck.log"
  for formula in \
    'y = a:f16[130,66] + transpose(b:f16[66,130])' \
    'y:i8 = transpose(quantize(silu(dequantize(x:i8[65,129], 0.05)), 0.04))' \
    'y = transpose(relu(x:f32[33,70]))' \
    'y = silu(matmul(a:f16[4090,264], transpose(b:f16[520,264])) + c:f16[520])' \
    'y:i8 = quantize(silu(dequantize(matmul(a:i8[4090,272], transpose(b:i8[520,272])), 0.001)), 0.045)' \
    'y = silu(conv(x:f16[1,17,19,32], w:f16[40,3,3,32], 2, 1) + c:f16[40])' \
    'y = silu(conv(x:f16[3,161,163,64], w:f16[136,3,3,64], 1, 1) + c:f16[136])'; do
    for tool in memcheck racecheck; do
      timeout 60 compute-sanitizer --tool $tool --launch-count 4 --error-exitcode 9 \
        "$pointweld" bench --expr "$formula" >> "$out/racecheck.log" 2>&1 || { failed=1; echo "$tool: $formula"; }
    done
  done
  # The blockings that no model chooses yet: warps that copy by tensor maps beside warps that multiply, all at once and in turns.
  for tool in memcheck racecheck; do
    timeout 120 compute-sanitizer --tool $tool --error-exitcode 9 "$bundle/tests/kernels" specialised::gemms_of_codes specialised::convolutions \
      --test-threads 1 >> "$out/racecheck.log" 2>&1 || { failed=1; echo "$tool: warps that only copy"; }
  done
  grep -aE "(RACECHECK|ERROR) SUMMARY" "$out/racecheck.log" || failed=1
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

# The products and convolutions of benches/products.json: roofline, prediction, measurement, goals and peers in one table. AUTOTUNE=1 also has
# max-autotune, minutes a case; ONLY=TEXT takes the cases with this text in their names alone. Each row is written as it comes. First the matrix products,
# each also by every blocking in which some warps only copy, beside the loop that is chosen.
if [[ $parts == *" products "* ]]; then
  if [ -z "${ONLY:-}" ] || [[ $ONLY == gemm* ]]; then
    "$pointweld" --json bench --cases "$here/products.json" --only "${ONLY:-gemm}" --specialised > "$out/specialised.json" || failed=1
    python3 "$here/table_products.py" "$out" specialised.json | tee "$out/specialised.md"
  fi
  "$pointweld" --json bench --cases "$here/products.json" ${ONLY:+--only "$ONLY"} > "$out/products.json" || failed=1
  if [ -z "${NO_PEERS:-}" ] && python3 -c 'import torch' 2> /dev/null; then
    python3 "$here/peers_products.py" "$here/products.json" "$out/peers_products.json" ${AUTOTUNE:+--autotune} > "$out/peers_products.log" 2>&1 \
      || tail -n 5 "$out/peers_products.log"
  fi
  python3 "$here/table_products.py" "$out"
fi

# Whole models: those in bench-models, of which names with int8 hold codes and the others are computed in f16; a file NAME.dims beside a model
# has the options of its sizes. Compiled cold, then measured.
options_of() {
  case $1 in *int8*) ;; *) echo "--float f16" ;; esac
  cat "${1%.onnx}.dims" 2> /dev/null || true
}

if [[ $parts == *" models "* ]]; then
  { echo "| model | batch | kernels in one graph | latency µs | sustained µs | compiling cold s |"; echo "|---|---|---|---|---|---|"; } > "$out/models.md"
  for model in "$bundle"/bench-models/*.onnx; do
    [ -e "$model" ] || continue
    read -r -a options <<< "$(options_of "$model" | tr '\n' ' ')"
    for batch in 1 32; do
      cold=$(mktemp -d)
      start=$(date +%s.%N)
      POINTWELD_CACHE=$cold "$pointweld" compile "$model" "${options[@]}" -j 2 -o "$cold/out" > /dev/null 2>&1 || true
      seconds=$(python3 -c "import time; print(f'{time.time() - $start:.1f}')")
      rm -rf "$cold"
      "$pointweld" --json bench "$model" "${options[@]}" --batch $batch > "$out/one.json" || { failed=1; continue; }
      python3 - "$model" "$batch" "$seconds" "$out/one.json" >> "$out/models.md" << 'PYTHON'
import json, pathlib, sys
found = json.load(open(sys.argv[4]))
for t in found if isinstance(found, list) else []:
    print(f"| {pathlib.Path(sys.argv[1]).stem} | {sys.argv[2]} | {len(t['kernels'])} | {t['latency_us']:.0f} | {t['sustained_us']:.0f} | {sys.argv[3]} |")
PYTHON
    done
  done
  rm -f "$out/one.json"
  cat "$out/models.md"
fi

# What tuning finds beyond the model's choice.
if [[ $parts == *" tune "* ]]; then
  for model in "$bundle"/bench-models/*.onnx; do
    [ -e "$model" ] || continue
    read -r -a options <<< "$(options_of "$model" | tr '\n' ' ')"
    lock=$out/$(basename "$model" .onnx).lock.json
    "$pointweld" tune "$model" "${options[@]}" ${TUNE_DIMS:---dim batch=1} -o "$lock" > "$out/$(basename "$model" .onnx).tuned.txt" || failed=1
    tail -n 1 "$out/$(basename "$model" .onnx).tuned.txt"
  done
fi
exit $failed
