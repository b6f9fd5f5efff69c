#!/usr/bin/env python3
"""Compiles every fetched model (scripts/fetch_models.py) and prints one table row each: nodes, launches and bytes before and after
fusion, distinct kernels, compile time cold and cached.

    python3 benches/models.py target/release/pointweld [--arch sm_80,sm_90,sm_120]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def compile_model(binary, model, arch, cache, more=()):
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        run = subprocess.run(
            [binary, "--json", "compile", str(model), "-o", out, "--arch", arch, *more],
            capture_output=True, text=True, env={**os.environ, "POINTWELD_CACHE": cache},
        )
        wall = time.perf_counter() - start
    if not run.stdout:
        return None, run.stderr, wall
    return json.loads(run.stdout), run.stderr, wall


def main():
    binary = sys.argv[1]
    arch = sys.argv[3] if len(sys.argv) > 3 else "sm_80,sm_90,sm_120"
    models = sorted((ROOT / ".cache/models").rglob("*.onnx"))
    print(f"| model | nodes | after passes | pointwise, views | kernels | distinct | launches | MB moved | plan ms | NVRTC ms a kernel | cold s | cached s | failed |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for model in models:
        with tempfile.TemporaryDirectory() as cache:
            cold, errors, cold_s = compile_model(binary, model, arch, cache)
            if cold is None or "compiled" not in cold:
                print(f"| {model.parent.name}/{model.name} | {errors.strip()[:120]} |")
                continue
            warm, _, warm_s = compile_model(binary, model, arch, cache)
        c, e, w = cold["compiled"], cold["explanation"], warm["compiled"]
        distinct = len({row["entry"] for row in c["programs"]})
        per_kernel = c["nvrtc_ms"] / max(1, c["builds"] - c["cached"])
        failed = distinct * len(arch.split(",")) - c["builds"]
        print(
            f"| {model.parent.name}/{model.name} | {e['nodes']['model']} | {e['nodes']['simplified']} | {e['nodes']['fusable']} "
            f"| {c['kernels']} | {distinct} | {e['before']['launches']} -> {e['after']['launches']} "
            f"| {e['before']['bytes'] / 1e6:.1f} -> {e['after']['bytes'] / 1e6:.1f} | {c['planning_ms']:.0f} | {per_kernel:.0f} "
            f"| {cold_s:.1f} | {warm_s:.2f} | {failed} |",
            flush=True,
        )
        assert w["cached"] == w["builds"], f"{model}: the second compile was not cached"


main()
