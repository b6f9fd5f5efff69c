#!/usr/bin/env bash
# Gathers what benches/gpu.sh takes to a machine that has a GPU and no Rust: the command, the tests that run on a GPU, and small models, stripped,
# in one folder.
#
#   scripts/gpu_bundle.sh [FOLDER]        # out/gpu by default; PROFILE=dev builds faster and runs the same kernels
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-out/gpu}
profile=${PROFILE:-release}
tests=(runtime session prove kernels ops ptx routines)

cargo build --locked --quiet --profile "$profile"
built=target/$([ "$profile" = dev ] && echo debug || echo "$profile")
rm -rf "$folder"
mkdir -p "$folder/tests" "$folder/models"
strip -o "$folder/pointweld" "$built/pointweld"
# The tests in their own profile: it is what `make test` runs.
cargo test --locked --quiet --no-run --message-format json $(printf -- '--test %s ' "${tests[@]}") \
  | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact" and message.get("executable") and "test" in message["target"]["kind"]:
        print(message["target"]["name"], message["executable"])' \
  | while read -r name executable; do strip -o "$folder/tests/$name" "$executable"; done
# Models that `verify` proves there, as far as they have been fetched.
if [ -d .cache/models ]; then
  find .cache/models -name '*.onnx' -size -4M -printf '%P\n' | while read -r model; do
    cp ".cache/models/$model" "$folder/models/${model//\//_}"
  done
fi
# Models that are measured there: the YOLO model, and what is named like it with codes (pointweld quantize), as far as they are at hand.
mkdir -p "$folder/bench-models"
find .cache/models .cache/quantized \( -name '320n.onnx' -o -name '*int8*.onnx' \) -exec cp {} "$folder/bench-models/" \; 2> /dev/null || true
for model in "$folder"/bench-models/*.onnx; do
  [ -e "$model" ] && echo "--dim height=320 --dim width=320" > "${model%.onnx}.dims"
done
cp benches/{gpu.sh,cases.json,products.json,peers.py,peers_products.py,table.py,table_products.py} "$folder/"
du -sh "$folder"
