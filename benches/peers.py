#!/usr/bin/env python3
"""Measures the peers of benches/cases.json on the GPU at hand: PyTorch eager, torch.compile (default and max-autotune), Triton, CuPy, and for
each case its limit: a kernel that moves the same bytes through the same tensors and computes nothing. Writes JSON rows {case, peer, gpu_us, gb_per_s, compile_s}.

The protocol is that of `pointweld bench`: a CUDA graph of ten runs over rotated buffers, the median of 15 replays, random data.

    python3 benches/peers.py out.json
"""
import json
import statistics
import sys
import time

import cupy
import torch
import torch.nn.functional as F
import triton
import triton.language as tl

torch.manual_seed(0)
N = 64 << 20
rows = []


def gpu_us(fn, sets, runs):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for args in sets * 2:
            fn(*args)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        keep = [fn(*sets[i % len(sets)]) for i in range(runs)]
    times = []
    for replay in range(18):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        if replay >= 3:
            times.append(start.elapsed_time(end) * 1e3 / runs)
    del keep, graph
    return statistics.median(times)


def row(case, peer, us, size, compile_s=0.0):
    rows.append(dict(case=case, peer=peer, gpu_us=round(us, 2), gb_per_s=round(size / us / 1e3), compile_s=round(compile_s, 2)))
    print(f"{us:9.2f} us {size / us / 1e3:6.0f} GB/s {compile_s:6.2f} s  {case}: {peer}", flush=True)


def real(*shape, dtype=torch.float16):
    return torch.randn(*shape, device="cuda").to(dtype)


def codes(*shape):
    return (torch.randn(*shape, device="cuda") * 30).round().clamp(-128, 127).to(torch.int8)


def quantize(x, scale):
    return torch.clamp(torch.round(x / scale), -128, 127).to(torch.int8)


def chain(n):
    def f(x):
        for _ in range(n // 5):
            x = x * 1.01 + 0.1
            x = torch.sigmoid(x) * x
            x = torch.clamp(torch.abs(x) - 0.3, -4, 4)
        return x

    return f


# name, function, inputs, elements of the result, bytes an element of each tensor that is read and written; what is broadcast counts nothing
WORKS = [
    ("SiLU f32 64Mi", F.silu, lambda: (real(N, dtype=torch.float32),), N, [4], [4]),
    ("SiLU f16 64Mi", F.silu, lambda: (real(N),), N, [2], [2]),
    ("SiLU bf16 64Mi", F.silu, lambda: (real(N, dtype=torch.bfloat16),), N, [2], [2]),
    ("add f32 64Mi", lambda a, b: a + b, lambda: (real(N, dtype=torch.float32), real(N, dtype=torch.float32)), N, [4, 4], [4]),
    ("add+relu f16 64Mi", lambda a, b: F.relu(a + b), lambda: (real(N), real(N)), N, [2, 2], [2]),
    ("INT8 dq-SiLU-q 64Mi", lambda x: quantize(F.silu(x.float() * 0.05), 0.045), lambda: (codes(N),), N, [1], [1]),
    ("INT8 dq-add-SiLU-q 64Mi", lambda a, b: quantize(F.silu(a.float() * 0.05 + b.float() * 0.03), 0.045),
     lambda: (codes(N), codes(N)), N, [1, 1], [1]),
    ("i32 -> scale, bias, SiLU -> i8 262144x256", lambda x, s, b: quantize(F.silu(x.float() * s + b), 0.045),
     lambda: (torch.randint(-20000, 20000, (262144, 256), dtype=torch.int32, device="cuda"),
              torch.randn(256, device="cuda"), torch.randn(256, device="cuda")), 262144 * 256, [4], [1]),
    ("bias+GELU f16 8192x16384", lambda x, b: F.gelu(x + b), lambda: (real(8192, 16384), real(16384)), 8192 * 16384, [2], [2]),
    ("SwiGLU f16 8192x14336", lambda a, b: F.silu(a) * b, lambda: (real(8192, 14336), real(8192, 14336)), 8192 * 14336, [2, 2], [2]),
    ("bias+SiLU f16 NCHW 32,128,160,160", lambda x, b: F.silu(x + b),
     lambda: (real(32, 128, 160, 160), real(128, 1, 1)), 32 * 128 * 160 * 160, [2], [2]),
    ("outer product f16 16384x8192", lambda a, b: a * b, lambda: (real(16384, 1), real(1, 8192)), 16384 * 8192, [], [2]),
    ("transposed add f16 8192x8192", lambda a, b: a + b.t(), lambda: (real(8192, 8192), real(8192, 8192)), 8192 * 8192, [2, 2], [2]),
    ("chain of 10 f16 64Mi", chain(10), lambda: (real(N),), N, [2], [2]),
    ("chain of 50 f16 64Mi", chain(50), lambda: (real(N),), N, [2], [2]),
    ("chain of 50 INT8 64Mi", lambda x: quantize(chain(50)(x.float() * 0.05), 0.045), lambda: (codes(N),), N, [1], [1]),
    ("SiLU f16 1,128,40,40", F.silu, lambda: (real(1, 128, 40, 40),), 128 * 1600, [2], [2]),
    ("INT8 dq-SiLU-q 1,128,40,40", lambda x: quantize(F.silu(x.float() * 0.05), 0.045), lambda: (codes(1, 128, 40, 40),),
     128 * 1600, [1], [1]),
]


def protocol(size):
    """Sets of buffers to go round, and runs a graph."""
    return (1, 50) if size < 20e6 else (max(2, min(4, int(4e8 // size) + 1)), 10)


def torch_peers():
    for case, f, make, n, read, written in WORKS:
        size = n * sum(read + written)
        count, runs = protocol(size)
        sets = [make() for _ in range(count)]
        for peer, mode in (("torch eager", None), ("torch.compile", "default"), ("max-autotune", "max-autotune-no-cudagraphs")):
            spent = 0.0
            g = f
            try:
                if mode:
                    torch._dynamo.reset()
                    g = torch.compile(f, mode=mode, dynamic=False)
                    start = time.perf_counter()
                    g(*sets[0])
                    torch.cuda.synchronize()
                    spent = time.perf_counter() - start
                row(case, peer, gpu_us(g, sets, runs), size, spent)
            except Exception as e:  # a peer that fails is a row that is missing, and says why
                print(f"{case}: {peer} failed: {str(e)[:150]}", flush=True)
        del sets
        torch.cuda.empty_cache()


@triton.jit
def silu_int8(x, y, s, t, B: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    v = tl.load(x + at).to(tl.float32) * s
    v = tl.minimum(tl.maximum(v / (1 + tl.exp(-v)) * t, -128.0), 127.0)
    tl.store(y + at, tl.extra.cuda.libdevice.rint(v).to(tl.int8))


@triton.jit
def silu_f16(x, y, s, t, B: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    v = tl.load(x + at).to(tl.float32)
    tl.store(y + at, (v / (1 + tl.exp(-v))).to(tl.float16))


def triton_peers():
    for case, kernel, make, size in (("INT8 dq-SiLU-q 64Mi", silu_int8, codes, 2 * N), ("SiLU f16 64Mi", silu_f16, real, 4 * N)):
        sets = [(x, torch.empty_like(x)) for x in (make(N) for _ in range(3))]
        us, block, warps = min(
            (gpu_us(lambda x, y: kernel[(N // b,)](x, y, 0.05, 1 / 0.045, B=b, num_warps=w), sets, 10), b, w)
            for b in (1024, 2048, 4096, 8192) for w in (4, 8)
        )
        row(case, f"Triton, block {block}, {warps} warps", us, size)


def on_stream(kernel, grid, block, args):
    with cupy.cuda.Stream.from_external(torch.cuda.current_stream()):
        kernel((grid,), (block,), args)


def mover(read, written, elements):
    """A kernel whose threads read `elements` elements of every tensor and write as many, with no arithmetic but what keeps the loads."""
    words = {2: ("unsigned short", [""]), 4: ("unsigned", [""]), 8: ("uint2", [".x", ".y"]), 16: ("uint4", [".x", ".y", ".z", ".w"])}
    values = {2: "(unsigned short)v", 4: "v", 8: "make_uint2(v, v)", 16: "make_uint4(v, v, v, v)"}
    params, loads, folds, stores = [], [], [], []
    for i, size in enumerate(read + written):
        width, vectors = min(16, size * elements), max(1, size * elements // 16)
        kind, fields = words[width]
        for u in range(vectors):
            at = f"t{i} + (at * {vectors} + {u})"
            if i < len(read):
                loads.append(f"{kind} v{i}_{u} = __ldcs({at});")
                folds += [f"v ^= v{i}_{u}{field};" for field in fields]
            else:
                stores.append(f"__stcs({at}, {values[width]});")
        params.append(("const " if i < len(read) else "") + f"{kind}* __restrict__ t{i}")
    index = "unsigned long long at = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; unsigned v = (unsigned)at;"
    body = "\n".join([index] + loads + folds + stores)
    source = 'extern "C" __global__ void __launch_bounds__(256) move(' + ", ".join(params) + ") {\n" + body + "\n}"
    return cupy.RawModule(code=source).get_function("move")


def limits():
    known = {}
    for case, _, _, n, read, written in WORKS:
        size = n * sum(read + written)
        key = (n, tuple(read), tuple(written))
        if key not in known:
            count, runs = protocol(size)
            sets = [tuple(torch.randint(0, 255, (n * b,), dtype=torch.uint8, device="cuda") for b in read + written) for _ in range(count)]
            times = []
            # 16 bytes a thread of the widest tensor, or of the narrowest: the faster is the limit.
            for elements in sorted({16 // max(read + written), 16 // min(read + written)}):
                kernel = mover(read, written, elements)
                run = lambda *t: on_stream(kernel, n // elements // 256, 256, tuple(x.data_ptr() for x in t))
                times.append(gpu_us(run, sets, runs))
            known[key] = min(times)
            del sets
        row(case, "limit", known[key], size)
    for mib in (64, 128, 256):
        x = [(torch.randint(0, 255, (mib << 20,), dtype=torch.uint8, device="cuda"),
              torch.empty(mib << 20, dtype=torch.uint8, device="cuda")) for _ in range(2 if mib > 64 else 4)]
        row(f"copy of {mib} MiB", "torch copy_", gpu_us(lambda a, b: b.copy_(a), x, 10), 2 * (mib << 20))


# Elementwise kernels as a user of CuPy writes them.
CUPY = {
    "SiLU f32 64Mi": ("float32 x", "float32 y", "y = x / (1.0f + __expf(-x))"),
    "SiLU f16 64Mi": ("float16 x", "float16 y", "float v = x; y = (float16)(v / (1.0f + __expf(-v)))"),
    "add f32 64Mi": ("float32 a, float32 b", "float32 y", "y = a + b"),
    "add+relu f16 64Mi": ("float16 a, float16 b", "float16 y", "y = (float16)fmaxf((float)a + (float)b, 0.0f)"),
    "INT8 dq-SiLU-q 64Mi": ("int8 x", "int8 y", "float v = x * 0.05f; v = v / (1.0f + __expf(-v)) / 0.045f; "
                            "y = (signed char)fminf(fmaxf(rintf(v), -128.0f), 127.0f)"),
    "INT8 dq-add-SiLU-q 64Mi": ("int8 a, int8 b", "int8 y", "float v = a * 0.05f + b * 0.03f; v = v / (1.0f + __expf(-v)) / 0.045f; "
                                "y = (signed char)fminf(fmaxf(rintf(v), -128.0f), 127.0f)"),
}


def cupy_peers():
    for case, _, make, n, read, written in WORKS:
        if case not in CUPY:
            continue
        kernel = cupy.ElementwiseKernel(*CUPY[case], "peer")
        size = n * sum(read + written)
        count, runs = protocol(size)
        sets = []
        for _ in range(count):
            inputs = make()
            sets.append(tuple(map(cupy.asarray, inputs + (torch.empty_like(inputs[0]),))))

        def run(*tensors):
            with cupy.cuda.Stream.from_external(torch.cuda.current_stream()):
                kernel(*tensors)

        row(case, "CuPy", gpu_us(run, sets, runs), size)


print(torch.__version__, triton.__version__, torch.cuda.get_device_name(), flush=True)
for part in (limits, triton_peers, cupy_peers, torch_peers):
    try:
        part()
    except Exception as e:  # the other parts still count
        print(f"{part.__name__} failed: {str(e)[:300]}", flush=True)
if len(sys.argv) > 1:
    with open(sys.argv[1], "w") as f:
        json.dump(rows, f, indent=1)
