#!/usr/bin/env python3
"""Puts what benches/gpu.sh measured into one Markdown table: python3 benches/table.py OUT"""
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])
ours = json.loads((out / "pointweld.json").read_text())
peers = json.loads((out / "peers.json").read_text()) if (out / "peers.json").exists() else []
names = [n for n in ("torch eager", "torch.compile", "max-autotune") if any(p["peer"] == n for p in peers)]
print("| case | µs | GB/s | host µs | compile ms | error / bound | INT8 mismatches | " + " | ".join(n + " µs" for n in names) + " | Triton µs |")
print("|---" * (8 + len(names)) + "|")
for row in ours:
    found = {p["peer"]: p["gpu_us"] for p in peers if p["case"] == row["name"]}
    triton = [us for peer, us in found.items() if peer.startswith("Triton")]
    cells = [str(found.get(n, "")) for n in names] + [str(triton[0]) if triton else ""]
    print(
        f"| {row['name']} | {row['gpu_us']:.2f} | {row['gb_per_s']:.0f} | {row['host_us']:.2f} | {row['compile_ms']:.0f} "
        f"| {row['worst']:.2f} | {row['mismatches']} of {row['compared']} | " + " | ".join(cells) + " |"
    )
for p in peers:
    if p["case"].startswith("copy"):
        print(f"| {p['case']} ({p['peer']}) | {p['gpu_us']} | {p['gb_per_s']} |" + " |" * (6 + len(names)))
