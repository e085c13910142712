"""Writes the README's figures, and their plot, from the JSON files that measured them.

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
# Best first, so that a reader meets the strongest peer at the top.
PEERS = (
    "numba + torch rfft2",
    "torch.compile of rfft2 + scatter_add",
    "torch.compile of rfft2 + index_add",
    "numba + scipy rfft2",
    "torch rfft2 + index_add, chunked",
    "torch rfft2 + CSR, chunked",
    "scipy rfft2 + bincount",
    "torch rfft2 + dense mask",
    "torch fft2 + shift + index_add",
    "numpy fft2 + shift + bincount",
    "Durall's method in numpy",
)
BACKWARD_PEERS = (
    "torch autograd of rfft2 + index_add",
    "the same, chunked",
    "torch.compile of it",
)


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cases_of(cases: list[dict[str, Any]], channels: int, threads: int) -> list[dict[str, Any]]:
    return [c for c in cases if c["channels"] == channels and c["threads"] == threads]


def rounded(microseconds: float) -> str:
    return f"{microseconds:.1f}" if microseconds < 100 else f"{microseconds:,.0f}"


def ratio_rows(cases: list[dict[str, Any]], peers: tuple[str, ...]) -> list[list[str]]:
    medians = [case["results"]["gandetect"]["median_us"] for case in cases]
    table = [["**gandetect, µs per image**", *(f"**{rounded(m)}**" for m in medians)]]
    for peer in peers:
        ratios = [case["ratio_to_gandetect"].get(peer) for case in cases]
        if any(ratios):
            table.append([peer, *("" if r is None else f"{r:.1f}x" for r in ratios)])
    return table


def spectrum() -> str:
    report = load(RESULTS / "spectrum.json")
    cases = cases_of(report["cases"], 3, 1)
    sizes = [case["size"] for case in cases]
    rows = ratio_rows(cases, PEERS)
    peak = report["machine"].get("peak_gflops")
    rows.append(["ns per pixel", *(f"{case['ns_per_pixel']:.2f}" for case in cases)])
    if peak:
        shares = [100 * case["gflops"] / peak for case in cases]
        rows.append(["share of the multiply-add peak", *(f"{share:.0f} %" for share in shares)])
        bandwidth = report["machine"]["read_gb_per_s"]
        shares = [100 * case["gb_per_s_of_pixels"] / bandwidth for case in cases]
        rows.append(["share of the read bandwidth", *(f"{share:.0f} %" for share in shares)])
    return (
        rows_of(["uint8 RGB to profiles, one thread", *sizes], rows)
        + "\n\n"
        + spectrum_notes(report, cases)
        + "\n\n"
        + rows_of(
            ["gradient of a loss on log profiles, float32 grey", *sizes],
            ratio_rows(cases_of(report["backward"], 1, 1), BACKWARD_PEERS),
        )
    )


def spectrum_notes(report: dict[str, Any], cases: list[dict[str, Any]]) -> str:
    machine, grown = report["machine"], report["memory"]["forward_bytes"]
    gains = [
        one["results"]["gandetect"]["median_us"] / two["results"]["gandetect"]["median_us"]
        for one, two in zip(cases, cases_of(report["cases"], 3, 2), strict=False)
    ]
    every = [case["ratio_to_gandetect"]["gandetect, all projections"] for case in cases]
    cold = report["default_allocator"].values()
    backward = report["memory"]["backward_bytes"]
    return "\n".join(
        [
            f"{machine['cpu']}, {machine['cpu_isa']} kernels, torch {machine['torch']}, "
            f"{machine['date']}. Peers: how many times slower, medians of interleaved rounds with "
            "agreement checked first and an allocator that keeps its pages; with the default one "
            f"the naive fft2 costs {min(cold):.0f}x to {max(cold):.0f}x. The share counts "
            "2.5 N log2 N operations.",
            f"Two threads: {min(gains):.2f}x to {max(gains):.2f}x. All three projections instead "
            f"of one: {min(every):.2f}x to {max(every):.2f}x the time.",
            f"Memory above the input, 64 images of 256²: {grown['gandetect']['64'] / 1e6:.2f} MB, "
            f"against {grown['torch rfft2 + index_add, chunked']['64'] / 1e6:.0f} MB (rfft2, "
            f"chunked) and {grown['torch fft2 + shift + index_add']['64'] / 1e6:.0f} MB (fft2). "
            f"With the gradient, 16 grey images: {backward['gandetect'] / 1e6:.1f} MB, of which "
            f"4.2 MB are the gradient itself, against "
            f"{backward['torch autograd of rfft2 + index_add'] / 1e6:.1f} MB.",
            "Every figure, also for grey images: `bench/results/spectrum.json`.",
        ]
    )


def draw_spectrum(out: Path) -> None:
    """How many times slower each peer is, by size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    report = load(RESULTS / "spectrum.json")
    cases = cases_of(report["cases"], 3, 1)
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    places = range(len(cases))
    for i, peer in enumerate(PEERS):
        ratios = [case["ratio_to_gandetect"].get(peer) for case in cases]
        known = [(x, r) for x, r in zip(places, ratios, strict=True) if r is not None]
        axes.plot(*zip(*known, strict=True), marker="osv^Dx"[i % 6], label=peer, color=f"C{i % 10}")
    axes.axhline(1, color="black", linewidth=2, label="gandetect")
    axes.set_yscale("log")
    axes.set_yticks([1, 2, 5, 10, 20, 50], ["1x", "2x", "5x", "10x", "20x", "50x"])
    axes.minorticks_off()
    axes.set_xticks(places, [case["size"] for case in cases])
    axes.set_ylabel("times slower than gandetect")
    axes.set_title("uint8 RGB images to azimuthal power profiles, one thread")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    figure.savefig(out, dpi=110)


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
    draw_spectrum(ROOT / "docs" / "img" / "spectrum.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
