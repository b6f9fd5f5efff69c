#!/usr/bin/env python3
"""Measures the peers of benches/products.json on the GPU at hand: PyTorch's addmm + SiLU, torch.compile (default and max-autotune), its INT8 products
with a compiled epilogue, cuBLASLt alone (the best of its heuristics, no epilogue), and convolutions by cuDNN. Writes JSON rows {case, peer, gpu_us}.

The protocol is that of `pointweld bench`: a CUDA graph of ten runs over rotated buffers, the median of 15 replays, random data.

    python3 benches/peers_products.py products.json out.json [--autotune]
"""
import json
import re
import statistics
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.backends.cudnn.benchmark = True
rows = []


def gpu_us(fn, sets, runs=10, replays=15):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for args in sets * 2:
            fn(*args)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        keep = [fn(*sets[i % len(sets)]) for i in range(runs)]
    times = []
    for replay in range(replays + 3):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        if replay >= 3:
            times.append(start.elapsed_time(end) * 1e3 / runs)
    del keep, graph
    return statistics.median(times)


def row(case, peer, fn, sets):
    try:
        us = gpu_us(fn, sets)
    except Exception as error:  # a peer that fails is a row that is missing, and says why
        print(f"{case}: {peer} failed: {str(error)[:150]}", flush=True)
        return
    rows.append(dict(case=case, peer=peer, gpu_us=round(us, 2)))
    print(f"{us:9.2f} us  {case}: {peer}", flush=True)


def compiled(fn, mode="default"):
    torch._dynamo.reset()
    return torch.compile(fn, mode=mode, dynamic=False)


def halves(*shape):
    return torch.randn(*shape, device="cuda").half()


def codes(*shape):
    return (torch.randn(*shape, device="cuda") * 30).round().clamp(-128, 127).to(torch.int8)


def requantized(x, scale, bias):
    return torch.clamp(torch.round(F.silu(x.float() * scale + bias) / 0.045), -128, 127).to(torch.int8)


def gemm(case, dtype, m, n, k, autotune):
    modes = [("torch.compile", "default")] + ([("max-autotune", "max-autotune-no-cudagraphs")] if autotune else [])
    if dtype == "f16":
        b, bias = halves(n, k), halves(n)
        sets = [(halves(m, k),) for _ in range(2)]
        row(case, "torch eager", lambda x: F.silu(torch.addmm(bias, x, b.t())), sets)
        for peer, mode in modes:
            row(case, peer, compiled(lambda x: F.silu(F.linear(x, b, bias)), mode), sets)
        return
    if m <= 16:  # torch._int_mm takes more than 16 rows
        return
    b, scale, bias = codes(n, k), torch.rand(n, device="cuda") * 1e-4, torch.randn(n, device="cuda")
    sets = [(codes(m, k),) for _ in range(2)]
    for peer, mode in modes:
        row(case, peer, compiled(lambda x: requantized(torch._int_mm(x, b.t()), scale, bias), mode), sets)


def conv(case, ci, co, kernel, stride, size, batch):
    pad = 2 if kernel == 6 else kernel // 2
    w, bias = (halves(co, ci, kernel, kernel) * 0.05).contiguous(memory_format=torch.channels_last), halves(co)
    sets = [(halves(batch, ci, size, size).contiguous(memory_format=torch.channels_last),) for _ in range(2 if batch > 1 else 1)]
    row(case, "cuDNN", lambda x: F.conv2d(x, w, None, stride, pad), sets)
    row(case, "torch eager", lambda x: F.silu(F.conv2d(x, w, bias, stride, pad)), sets)
    row(case, "torch.compile", compiled(lambda x: F.silu(F.conv2d(x, w, bias, stride, pad))), sets)


CUBLASLT = r"""
#include <cublasLt.h>
#include <cstdio>
#include <cstdlib>
#include <vector>
// Rows of A (m, k) and of B (n, k) multiplied: in cuBLASLt's column-major terms, B transposed times A.
int main(int argc, char** argv) {
  const bool codes = atoi(argv[1]); const long m = atol(argv[2]), n = atol(argv[3]), k = atol(argv[4]);
  const cudaDataType_t in = codes ? CUDA_R_8I : CUDA_R_16F, out = codes ? CUDA_R_32I : CUDA_R_16F;
  const size_t size = codes ? 1 : 2, result = codes ? 4 : 2, room = 64 << 20;
  void *a, *b, *d, *w;
  cudaMalloc(&a, m * k * size); cudaMalloc(&b, n * k * size); cudaMalloc(&d, m * n * result); cudaMalloc(&w, room);
  std::vector<unsigned short> noise((m > n ? m : n) * k);
  for (auto& v : noise) v = codes ? rand() : (0x3000 | (rand() & 0x8fff));
  cudaMemcpy(a, noise.data(), m * k * size, cudaMemcpyHostToDevice); cudaMemcpy(b, noise.data(), n * k * size, cudaMemcpyHostToDevice);
  cublasLtHandle_t handle; cublasLtCreate(&handle);
  cublasLtMatmulDesc_t desc; cublasLtMatmulDescCreate(&desc, codes ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F, codes ? CUDA_R_32I : CUDA_R_32F);
  cublasOperation_t t = CUBLAS_OP_T; cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &t, sizeof t);
  cublasLtMatrixLayout_t lb, la, ld;
  cublasLtMatrixLayoutCreate(&lb, in, k, n, k); cublasLtMatrixLayoutCreate(&la, in, k, m, k); cublasLtMatrixLayoutCreate(&ld, out, n, m, n);
  cublasLtMatmulPreference_t wish; cublasLtMatmulPreferenceCreate(&wish);
  cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room);
  cublasLtMatmulHeuristicResult_t found[16]; int count = 0;
  cublasLtMatmulAlgoGetHeuristic(handle, desc, lb, la, ld, ld, wish, 16, found, &count);
  float one = 1, zero = 0, best = 1e9f; int one_i = 1, zero_i = 0;
  const void *alpha = codes ? (void*)&one_i : (void*)&one, *beta = codes ? (void*)&zero_i : (void*)&zero;
  cudaEvent_t from, to; cudaEventCreate(&from); cudaEventCreate(&to);
  for (int i = 0; i < count; ++i) {
    bool good = true;
    for (int r = 0; r < 23; ++r) {
      if (r == 3) cudaEventRecord(from);
      good &= cublasLtMatmul(handle, desc, alpha, b, lb, a, la, beta, d, ld, d, ld, &found[i].algo, w, room, 0) == CUBLAS_STATUS_SUCCESS;
    }
    cudaEventRecord(to); cudaEventSynchronize(to);
    float ms; cudaEventElapsedTime(&ms, from, to);
    if (good && ms / 20 < best) best = ms / 20;
  }
  if (best < 1e9f) printf("%.2f\n", best * 1e3);
}
"""


def cublaslt(cases):
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/lt.cu", "w") as f:
            f.write(CUBLASLT)
        subprocess.run(["nvcc", "-O2", "-o", f"{folder}/lt", f"{folder}/lt.cu", "-lcublasLt"], check=True)
        for case, dtype, *sizes in cases:
            run = subprocess.run([f"{folder}/lt", str(int(dtype == "i8")), *map(str, sizes)], capture_output=True, text=True)
            if run.stdout.strip():
                rows.append(dict(case=case, peer="cuBLASLt", gpu_us=float(run.stdout)))
                print(f"{float(run.stdout):9.2f} us  {case}: cuBLASLt, no epilogue", flush=True)


def main():
    autotune = "--autotune" in sys.argv
    gemms, convs = [], []
    for case in json.load(open(sys.argv[1])):
        name = case["name"]
        if found := re.match(r"gemm (\w+) (\d+)x(\d+)x(\d+)", name):
            gemms.append((name, found[1], *map(int, found.groups()[1:])))
        elif found := re.match(r"conv f16 (\d+)->(\d+) (\d+)x\d+ s(\d+) at (\d+), batch (\d+)", name):
            convs.append((name, *map(int, found.groups())))
    try:
        cublaslt(gemms)
    except Exception as error:
        print(f"cuBLASLt failed: {str(error)[:150]}", flush=True)
    for case in gemms:
        gemm(*case, autotune)
        torch.cuda.empty_cache()
    for case in convs:
        conv(*case)
        torch.cuda.empty_cache()
    with open(sys.argv[2], "w") as f:
        json.dump(rows, f, indent=1)


main()
