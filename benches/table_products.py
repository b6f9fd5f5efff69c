#!/usr/bin/env python3
"""Puts products.json (as `pointweld --json bench --cases` printed it, measured or predicted) and peers_products.json into one Markdown table:
python3 benches/table_products.py OUT [products.json]"""
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])


def rows(text):
    """All of a list; of one whose writer was stopped, the rows that it finished, each of which has a line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        found = []
        for line in text.splitlines():
            try:
                found.append(json.loads(line.strip().strip(",[]")))
            except json.JSONDecodeError:
                pass
        return found


ours = rows((out / (sys.argv[2] if len(sys.argv) > 2 else "products.json")).read_text())
peers = json.loads((out / "peers_products.json").read_text()) if (out / "peers_products.json").exists() else []
names = [n for n in ("cuBLASLt", "cuDNN", "torch eager", "torch.compile", "max-autotune") if any(p["peer"] == n for p in peers)]
known = {(p["case"], p["peer"]): p["gpu_us"] for p in peers}


def line(name, ours, goal, theirs):
    number = lambda v: "" if v is None else f"{v:.0f}" if v >= 100 else f"{v:.1f}"
    print("| " + " | ".join([name, *map(number, ours), f"{goal:.0f}" if goal else "", *map(number, theirs)]) + " |")


print("| " + " | ".join(["case", "roofline µs", "predicted", "measured", "goal", *names]) + " |")
print("|---" * (5 + len(names)) + "|")
sums = {}
for row in ours:
    values = [row["least_us"], row["predicted_us"], row.get("gpu_us")]
    theirs = [known.get((row["name"], name)) for name in names]
    if group := row.get("group"):
        total = sums.setdefault(group, [0, [0.0] * (3 + len(names))])
        total[0] += row["count"]
        # A sum with a part that is missing is none.
        total[1] = [None if s is None or v is None else s + row["count"] * v for s, v in zip(total[1], values + theirs)]
        if row.get("goal_us") is None:
            continue
    line(row["name"], values, row.get("goal_us"), theirs)
GOALS = {"f16, batch 32": 1700, "f16, batch 1": 230, "i8, batch 32": 950, "i8, batch 1": 180}
for group, (count, values) in sums.items():
    goal = next((us for name, us in GOALS.items() if group.endswith(name)), None)
    line(f"{group}, {count} layers", values[:3], goal, values[3:])
wrong = [row["name"] for row in ours if row.get("mismatches") or row.get("failure")]
if wrong:
    print("\nNot within their bounds: " + ", ".join(wrong))
