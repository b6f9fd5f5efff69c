#!/usr/bin/env python3
"""Loads a Q/DQ model in ONNX Runtime and in pointweld, runs both on the same data, and compares every INT8 code on the way.

  pip install -r benches/quant-requirements.txt
  scripts/same_codes.py POINTWELD MODEL.onnx INPUT.npy [--dim NAME=N ...]

Both compute in f32, sums in different orders: a value next to a tie may get the code beside it, and what follows from that differs too,
more and more from layer to layer. So pointweld computes each tensor's codes from ONNX Runtime's own codes of the tensors before it: what then
differs are ties alone. The table says for each tensor how many codes differ. The exit code is 1 if one differs by more than one, or more than one
in a thousand differs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

CODES = {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


def tapped(model):
    """The model with the codes of every activation as outputs, and their names in the model's order."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {output for node in model.graph.node for output in node.output}
    inputs = {value.name for value in model.graph.input}
    outputs = {value.name for value in model.graph.output}
    names = []
    for node in model.graph.node:
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if node.op_type == "QuantizeLinear" and node.input[0] in made | inputs and zero is not None and zero.data_type in CODES:
            names.append(node.output[0])
            if node.output[0] not in outputs:
                model.graph.output.append(helper.make_tensor_value_info(node.output[0], zero.data_type, None))
    del model.graph.value_info[:]
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pointweld", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("input", type=Path, help="an array for the model's only input")
    parser.add_argument("--dim", action="append", default=[])
    args = parser.parse_args()
    model = onnx.load(args.model)
    names = tapped(model)
    if not names:
        sys.exit(f"{args.model} has no QuantizeLinear of 8 bits")
    name, data = model.graph.input[0].name, np.load(args.input)
    options = ort.SessionOptions()
    # With its optimizations ONNX Runtime fuses Q/DQ into integer operators and gives other codes than without.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    theirs = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(names, {name: data})
    given = {}
    for codes, tensor in zip(theirs, names):
        given[f"{tensor}@given"] = codes
        dtype = onnx.helper.np_dtype_to_tensor_dtype(codes.dtype)
        model.graph.input.append(helper.make_tensor_value_info(f"{tensor}@given", dtype, codes.shape))
        for node in model.graph.node:
            for slot, operand in enumerate(node.input):
                if operand == tensor:
                    node.input[slot] = f"{tensor}@given"
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/tapped.onnx")
        np.savez(f"{folder}/given.npz", **{name: data}, **given)
        dims = [part for dim in args.dim for part in ("--dim", dim)]
        command = [args.pointweld, "--json", "run", f"{folder}/tapped.onnx", "--input", f"{folder}/given.npz", "-o", f"{folder}/out", *dims]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        ours = {row["name"]: np.load(row["file"]) for row in json.loads(done.stdout)}
    differing = total = furthest = 0
    for codes, name in zip(theirs, names):
        apart = np.abs(codes.astype(int) - ours[name].astype(int))
        differing, total, furthest = differing + int((apart > 0).sum()), total + apart.size, max(furthest, int(apart.max(initial=0)))
        if apart.any():
            print(f"{int((apart > 0).sum()):6} of {apart.size:8} differ, by {apart.max()} at most: {name}")
    print(f"{len(names)} tensors, {total} codes: {differing} differ ({differing / total:.5%}), by {furthest} at most")
    sys.exit(1 if furthest > 1 or differing * 1000 > total else 0)


if __name__ == "__main__":
    main()
