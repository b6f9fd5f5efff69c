#!/usr/bin/env python3
"""Puts what benches/gpu.sh measured into one Markdown table: python3 benches/table.py OUT"""
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])
ours = json.loads((out / "pointweld.json").read_text())
peers = json.loads((out / "peers.json").read_text()) if (out / "peers.json").exists() else []
names = [n for n in ("torch eager", "torch.compile", "max-autotune", "Triton", "CuPy") if any(p["peer"].startswith(n) for p in peers)]
print("| case | µs | GB/s | limit µs | share | host µs | compile ms | error / bound | INT8 mismatches | " + " | ".join(names) + " |")
print("|---" * (9 + len(names)) + "|")
for row in ours:
    found = {p["peer"]: p["gpu_us"] for p in peers if p["case"] == row["name"]}
    limit = found.get("limit")
    share = f"{limit / row['gpu_us']:.3f}" if limit else ""
    cells = [str(next((us for peer, us in found.items() if peer.startswith(name)), "")) for name in names]
    print(
        f"| {row['name']} | {row['gpu_us']:.2f} | {row['gb_per_s']:.0f} | {limit or ''} | {share} | {row['host_us']:.2f} "
        f"| {row['compile_ms']:.0f} | {row['worst']:.2f} | {row['mismatches']} of {row['compared']} | " + " | ".join(cells) + " |"
    )
copies = [p for p in peers if p["case"].startswith("copy")]
if copies:
    print("\nCopies by torch: " + ", ".join(f"{p['case'][8:]} in {p['gpu_us']} µs ({p['gb_per_s']} GB/s)" for p in copies) + ".")
