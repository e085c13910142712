"""Writes the README's figures from the JSON files that measured them.

python bench/table.py           rewrite the blocks between <!-- figures:NAME --> markers
python bench/table.py --check   exit 1 where the README says something else than the files
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
EVALUATION = ROOT / "gandetect" / "models" / "upsampling-v1.evaluation.json"
PEERS = (
    "torch.compile of rfft2 + index_add",
    "torch rfft2 + index_add, chunked",
    "torch fft2 + shift + index_add",
    "numba + torch rfft2",
    "Durall's method in numpy",
)


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spectrum() -> str:
    report = load(RESULTS / "spectrum.json")
    cases = {case["size"]: case for case in report["cases"] if case["threads"] == 1}
    peers = [peer for peer in PEERS if all(peer in c["ratio_to_gandetect"] for c in cases.values())]
    table = [
        ["**gandetect, µs per image**"]
        + [f"**{case['results']['gandetect']['median_us']:.0f}**" for case in cases.values()]
    ]
    table += [
        [peer] + [f"{case['ratio_to_gandetect'][peer]:.1f}x" for case in cases.values()]
        for peer in peers
    ]
    machine = report["machine"]
    growth = report["memory_above_input_bytes"]["256"]
    return (
        rows_of(["uint8 RGB to profiles, one thread", *(f"{size}²" for size in cases)], table)
        + f"\n\n{machine['cpu']}, {machine['cpu_isa']} kernels, torch {machine['torch']}; peers "
        "are how many times slower, medians of interleaved rounds, agreement checked first. Memory "
        f"above the input at 256²: {growth['8'] / 1e6:.1f} MB for 8 images, "
        f"{growth['64'] / 1e6:.1f} MB for 64."
    )


def memory() -> str:
    report = load(RESULTS / "screen_memory.json")
    peaks = report["peak_mb"]
    return (
        "Peak memory of `screen`: "
        + ", ".join(
            f"{float(peak):.0f} MB at {int(files):,} files" for files, peak in peaks.items()
        )
        + "."
    )


def detection() -> str:
    report = load(EVALUATION)
    rows = []
    for row in report["rows"]:
        if row["region"] != largest_region(report["rows"], row["generator"]):
            continue
        if row["quality"] == "none" or str(row["quality"]) == "75":
            auc, low, high = row["auc"]
            tpr = row["tpr_at_0.05"]
            label = "none" if row["quality"] == "none" else f"JPEG {row['quality']}"
            rows.append(
                [
                    f"{row['generator']}, against {row['reals']}",
                    label,
                    f"{auc:.2f} [{low:.2f}, {high:.2f}]",
                    f"{tpr[0]:.2f} [{tpr[1]:.2f}, {tpr[2]:.2f}]",
                ]
            )
    return rows_of(["generator", "compression", "AUC", "detected at 5 % false alarms"], rows)


def largest_region(rows: list[dict[str, Any]], generator: str) -> Any:
    regions = [row["region"] for row in rows if row["generator"] == generator]
    return "whole" if "whole" in regions else max(regions)


FIGURES = {"spectrum": spectrum, "memory": memory, "detection": detection}


def filled(text: str) -> str:
    for name, make in FIGURES.items():
        block = re.compile(f"(<!-- figures:{name} -->\n).*?(<!-- /figures -->)", re.DOTALL)
        if not block.search(text):
            raise SystemExit(f"README.md has no block for the figures {name!r}")
        text = block.sub(lambda match, make=make: f"{match[1]}{make()}\n{match[2]}", text)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    new = filled(text)
    if arguments.check:
        if new != text:
            print("README.md and the measured files differ; run python bench/table.py")
        return int(new != text)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
