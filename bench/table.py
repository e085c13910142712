"""Writes the documents' figures, and plots, from the JSON files that measured them.

python bench/table.py           rewrite the blocks between <!-- figures:NAME --> markers
python bench/table.py --check   exit 1 where a document says something else than the files
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import detection_tables as detectors
from tables import ROOT, Figure, interval, load, rows_of, told_machine

RESULTS = ROOT / "bench" / "results"
DEMO = ROOT / "docs" / "img" / "screen.txt"
TRAININGS = ROOT / "docs/experiments/gans.json"
RING = ROOT / "docs" / "experiments" / "ring.json"
SPECTRAL = ROOT / "docs" / "experiments" / "spectral-training.json"
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
            ["gradient of a loss on log profiles, float32 gray", *sizes],
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
            f"With the gradient, 16 gray images: {backward['gandetect'] / 1e6:.1f} MB, of which "
            f"4.2 MB are the gradient itself, against "
            f"{backward['torch autograd of rfft2 + index_add'] / 1e6:.1f} MB.",
            "Every figure, also for gray images: `bench/results/spectrum.json`.",
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


# Of the up-sampling benchmark: ours as it is called, and with a weight that was packed before.
AUTOMATIC, PACKED = "gandetect", "gandetect, packed"


def upsampling_rows(report: dict[str, Any], threads: int) -> dict[str, list[dict[str, Any]]]:
    """Cases by the row that they share, in the order of the run."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for case in report["cases"]:
        if case["threads"] == threads:
            rows.setdefault(case["row"], []).append(case)
    return rows


def span(values: list[float], form: Callable[[float], str]) -> str:
    ends = [form(min(values)), form(max(values))]
    return " to ".join(dict.fromkeys(ends))


def times(ratio: float) -> str:
    return f"{ratio:.1f}x"


def slower(case: dict[str, Any], peer: str, own: str = AUTOMATIC) -> float:
    return case["ratio_to"][own][peer]


def both_spans(cases: list[dict[str, Any]], peer_of: Callable[[dict[str, Any]], str]) -> str:
    """As called, and in brackets with a packed weight where that shows."""
    automatic = span([slower(c, peer_of(c)) for c in cases], times)
    if any(PACKED not in case["ratio_to"] for case in cases):
        return automatic
    packed = span([slower(c, peer_of(c), PACKED) for c in cases], times)
    return automatic if packed == automatic else f"{automatic} ({packed})"


def microseconds(cases: list[dict[str, Any]]) -> str:
    automatic = span([case["results"][AUTOMATIC]["median_us"] for case in cases], rounded)
    if any(PACKED not in case["results"] for case in cases):
        return automatic
    packed = span([case["results"][PACKED]["median_us"] for case in cases], rounded)
    return automatic if packed == automatic else f"{automatic} ({packed})"


def share_cell(cases: list[dict[str, Any]]) -> str:
    def percent(share: float) -> str:
        return f"{100 * share:.0f} %"

    if all("share_of_peak" in case for case in cases):
        return span([case["share_of_peak"][AUTOMATIC] for case in cases], percent)
    if not all("share_of_memcpy" in case for case in cases):
        return ""
    copied = span([case["share_of_memcpy"] for case in cases], percent) + " of memcpy"
    if not cases[0]["row"].startswith("bed_of_nails"):
        return copied
    return f"{copied}, {span([c['times_faster_than_zeros'] for c in cases], times)} torch.zeros"


def upsampling() -> str:
    report = load(RESULTS / "upsampling.json")
    rows = [
        [
            row,
            microseconds(cases),
            both_spans(cases, lambda case: "eager"),
            both_spans(cases, lambda case: case["best_existing"]),
            "; ".join(dict.fromkeys(case["best_existing"] for case in cases)),
            share_cell(cases),
        ]
        for row, cases in upsampling_rows(report, 1).items()
    ]
    header = ["one thread, float32", "µs", "faster than eager", "than the best existing"]
    header += ["which is", "share"]
    return (
        "![How fast each alternative is, relative to eager torch](docs/img/upsampling.png)\n\n"
        + rows_of(header, rows)
        + "\n\n"
        + upsampling_notes(report)
    )


def upsampling_notes(report: dict[str, Any]) -> str:
    machine = report["machine"]
    one, two = (
        {(c["name"], c["n"], c["training"]): c for c in report["cases"] if c["threads"] == threads}
        for threads in (1, 2)
    )
    gains = [
        one[key]["results"][AUTOMATIC]["median_us"] / two[key]["results"][AUTOMATIC]["median_us"]
        for key in one.keys() & two.keys()
    ]
    # Of single ops: a generator adds up what its layers round.
    limit = min(case["limit"] for case in report["cases"])
    single = [case for case in report["cases"] if case["limit"] == limit]
    worst = max(case["error"][own] for case in single for own in case["ratio_to"])
    of_eager = max(case["error"]["eager"] for case in single)
    lines = [
        f"{machine['cpu']}, {machine.get('cpu_isa', 'no')} kernels, torch {machine['torch']}, "
        f"{machine['date']}; no GPU was measured. Times faster: medians of interleaved rounds. "
        "Eager is NCHW with normalization in eval mode, ours NCHW with the normalization folded; "
        "in brackets with the weight packed before. Share: the plain method's operations over the "
        "multiply-add peak, so doing fewer can pass 100 %.",
        f"Largest error against float64, relative to the largest value: {worst:.1e}; "
        f"eager's is {of_eager:.1e}.",
    ]
    if gains:
        middle = statistics.median(gains)
        lines.append(
            f"Two threads: {min(gains):.2f}x to {max(gains):.2f}x, the median is {middle:.2f}x."
        )
    cold = [of["ratio"]["eager"] for of in report["default_allocator"].values()]
    if cold:
        lines.append(
            "An allocator that keeps its pages serves everyone; where glibc gives large blocks "
            f"back, what moves memory is {span(cold, times)} as fast as eager."
        )
    grown = [
        f"{case['name']}{', training step' * case['training']}, n = {case['n']}: "
        f"{case['peak_bytes']['gandetect'] / 1e6:.1f} MB, eager "
        f"{case['peak_bytes']['eager'] / 1e6:.1f} MB"
        for case in report["memory"]
    ]
    if grown:
        lines.append(f"Memory above inputs, weights and packed weights. {'; '.join(grown)}.")
    lines.append(
        "Every figure, also for two threads and channels_last: `bench/results/upsampling.json`."
    )
    return "\n".join(lines)


def of_eager(case: dict[str, Any], name: str) -> float:
    return slower(case, "eager") / slower(case, name)


def means(
    rows: list[list[dict[str, Any]]], own: Callable[[dict[str, Any]], str]
) -> list[tuple[float, int]]:
    """Geometric mean and place of every row whose cases all have that candidate."""
    return [
        (statistics.geometric_mean(of_eager(case, own(case)) for case in cases), place)
        for place, cases in enumerate(rows)
        if all(own(case) in case["results"] for case in cases)
    ]


def draw_upsampling(out: Path) -> None:
    """Speed relative to eager by row: geometric means where a row has several cases."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    by_row = upsampling_rows(load(RESULTS / "upsampling.json"), 1)
    rows = list(by_row.values())
    figure, axes = plt.subplots(figsize=(9, 0.3 * len(rows) + 1.4), layout="constrained")
    names = {name for cases in rows for case in cases for name in peers_of(case)}
    others = [point for name in sorted(names) for point in means(rows, lambda case, n=name: n)]
    ringed = {"markerfacecolor": "none", "markersize": 9}
    for points, label, marker, color, more in (
        (others, "other alternatives", ".", "0.7", {}),
        (means(rows, lambda case: case["best_existing"]), "best existing", "D", "C0", {}),
        (means(rows, lambda case: AUTOMATIC), "gandetect", "o", "black", {}),
        (means(rows, lambda case: PACKED), "the same, weight packed before", "o", "C3", ringed),
    ):
        x, y = [point[0] for point in points], [point[1] for point in points]
        axes.plot(x, y, linestyle="", marker=marker, color=color, label=label, **more)
    axes.axvline(1, color="0.4", linewidth=1)
    axes.set_xscale("log")
    ticks = [0.25, 0.5, 1, 2, 4, 8, 16, 32]
    axes.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), list(by_row), fontsize=8)
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.set_title("times as fast as eager torch, one thread", fontsize=10)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(out, dpi=110)


def peers_of(case: dict[str, Any]) -> list[str]:
    apart = {"eager", *case["yardsticks"]}
    return [n for n in case["results"] if n not in apart and not n.startswith("gandetect")]


def gans() -> str:
    report = load(RESULTS / "gans.json")
    rows = [
        [
            case["label"],
            str(case["size"]),
            f"{case['times']['ours']['median_us'] / 1000:.2f}",
            "{:.2f}x [{:.2f}, {:.2f}]".format(case["torch_over_ours"], *case["interval"]),
            times(case["ours_over_bfloat16"]),
        ]
        for case in report["cases"]
    ]
    machine = report["machine"]
    header = [
        "training iteration of the `run` preset", "pixels", "ms per image", "torch's layers",
        "bfloat16 faster by",
    ]  # fmt: skip
    note = (
        f"{machine['cpu']}, torch {machine['torch']}, {machine['date']}, {report['threads']} "
        "thread: discriminator and generator steps of one iteration, divided by the batch; then "
        "the same model on torch's own layers, with the 95 % interval of the median, and ours at "
        "`--precision bfloat16`. `bench/results/gans.json`."
    )
    return f"{rows_of(header, rows)}\n\n{note}"


def generators() -> str:
    report = load(RESULTS / "generators.json")
    rows = [
        [
            f"{case['model']} {case['up']}, {case['size']} px",
            str(case["count"]),
            f"{case['times']['ours']['median_us'] / 1000:.2f}",
            *(
                "{:.2f}x [{:.2f}, {:.2f}]".format(one, *case["intervals"][who])
                for who, one in case["over_ours"].items()
            ),
        ]
        for case in report["cases"]
    ]
    machine = report["machine"]
    header = ["drawing", "images", "ms per image", "torch's layers", "prepared", "channels last"]
    note = (
        f"{machine['cpu']}, torch {machine['torch']}, {machine['date']}, {report['threads']} "
        "thread: the generator of the `run` preset, prepared by `for_inference`, beside the same "
        "generator on torch's own layers: as it is (StyleGAN2's is channels last by itself), with "
        "the norms of its weights computed beforehand, and that in the layout channels last; 95 % "
        "intervals of the medians. "
        "`bench/results/generators.json`."
    )
    return f"{rows_of(header, rows)}\n\n{note}"


def memory() -> str:
    report = load(RESULTS / "screen_memory.json")
    peaks = ", ".join(
        f"{float(peak):.0f} MB at {int(files):,} files" for files, peak in report["peak_mb"].items()
    )
    return f"Peak memory of `screen` with its two workers: {peaks} ({report['ratio']:.2f}x)."


def demo() -> str:
    return f"```console\n$ gandetect screen media/\n{DEMO.read_text(encoding='utf-8')}```"


def screening() -> str:
    report = load(RESULTS / "screen.json")
    media = {"1080p": "1080p H.264", "256p": "256p H.264", "jpeg": "256 x 256 JPEG"}
    rows = []
    for name, label in media.items():
        for way, found in report["rates"][name].items():
            share = "" if way == "bare decoding" else f"{found['over_bare']:.2f}"
            rows.append([label, way, f"{found['pictures_per_s']:,.0f}", share])
    header = ["every picture of", "scored", "pictures/s", "of bare decoding"]
    return f"{rows_of(header, rows)}\n\n{screening_notes(report)}"


DURALL = "full frame, Durall's numpy"
TORCH = "full frame, torch rfft2"


def duration(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.3g} ms"


def screening_notes(report: dict[str, Any]) -> str:
    machine, rates = report["machine"], report["rates"]["1080p"]

    def faster(other: str) -> float:
        return float(rates["full frame"]["pictures_per_s"] / rates[other]["pictures_per_s"])

    def beyond_decoding(way: str) -> float:
        return 1 / rates[way]["pictures_per_s"] - 1 / rates["bare decoding"]["pictures_per_s"]

    def apart(other: str) -> float:
        return float(beyond_decoding(other) / beyond_decoding("full frame"))

    latency = "; ".join(
        f"{name} {duration(found['p50_ms'])} and {duration(found['p95_ms'])}"
        for name, found in report["latency"].items()
    )
    return "\n".join(
        (
            f"{machine['cpu']}, {report['workers']} workers, {machine['date']}; medians of "
            f"{len(rates['full frame']['rounds'])} interleaved rounds, from the walk to the last "
            "row, workers' start included.",
            f"The full 1080p frame by the same pipeline with torch's rfft2: "
            f"{faster(TORCH):.1f}x slower, {apart(TORCH):.1f}x beyond decoding; with the "
            f"literature's numpy: {faster(DURALL):.0f}x, {apart(DURALL):.0f}x beyond decoding.",
            f"One file alone in one process, p50 and p95: {latency}.",
            "Results: "
            + ", ".join(
                f"{found['per_frame']:.0f} bytes per frame ({name})"
                for name, found in report["written"].items()
            )
            + ".",
            "Every figure: `bench/results/screen.json`.",
        )
    )


def killing() -> str:
    """What came of runs that were killed again and again."""
    parts = []
    for name, found in load(RESULTS / "killing.json").items():
        same = found["trials_with_rows_equal"], found["trials_with_each_file_once"]
        what = ", ".join(f"{count} {kind}" for kind, count in found["killed"].items())
        parts.append(
            f"{name}, {found['kills']} kills ({what}) in {found['trials']} runs over "
            f"{found['files']:,} files: rows equal those of an undisturbed run in {same[0]}, each "
            f"file there once in {same[1]}"
        )
    return f"Killed with SIGKILL at random moments and run again. {'; '.join(parts)}."


def ring() -> str:
    """How many of eight modes are reached, by loss and seed."""
    report = load(RING)
    rows = [
        [
            loss,
            ", ".join(str(one["modes"]) for one in seeds),
            ", ".join(f"{one['share_near_modes']:.0%}" for one in seeds),
        ]
        for loss, seeds in report["losses"].items()
    ]
    table = rows_of(["loss", "modes reached, by seed", "samples near a mode"], rows)
    config = report["config"]
    return (
        f"{table}\n\nOf {report['modes']} modes; {config['steps']:,} iterations of "
        f"{config['batch']} points; {told_machine(report)}."
    )


def spectral_training() -> str:
    """What the spectral parts do to a DCGAN."""
    report = load(SPECTRAL)
    rows, changed = [], "{:+.3f} [{:+.3f}, {:+.3f}]"
    for name, row in report["rows"].items():
        change = report["compared"].get(name)
        of, cloak = row["distances"], row["cloaking"]["held_out"]
        rows.append(
            [
                "the training images" if name == "real" else name,
                f"{row['spectral_l1']:.2f}",
                "" if change is None else f"{-change['spectral_l1_lowered_by']:+.0%}",
                f"{of['mmd']:.3f}",
                "" if change is None else changed.format(*change["mmd_change"]),
                f"{of['frechet']:.1f}",
                interval(cloak),
                "{:.4f} [{:.4f}, {:.4f}]".format(*row["detector_auc"]),
            ]
        )
    header = [
        "variant", "spectral L1", "change", "MMD", "change", "Fréchet", "CloakingScore, held out",
        "detector's AUC",
    ]  # fmt: skip
    settings = report["settings"]
    return (
        f"{rows_of(header, rows)}\n\nDCGAN, {settings['config']['steps']:,} iterations, seed "
        f"{settings['seed']}, {settings['trained_on']['number']:,} squares of "
        f"{settings['trained_on']['sources']} photographs; {told_machine(report)}."
    )


def trainings() -> str:
    """How long each `run` preset takes, and how far its samples are from its images."""
    report = load(TRAININGS)
    of: dict[str, list[Any]] = {}
    for row in report["runs"]:
        of.setdefault(row["model"], []).append(row)
    rows = []
    for name, own in of.items():
        distances = [row["learned"]["generated"]["frechet"] for row in own if row["learned"]]
        rows.append(
            [
                f"`{name}`",
                f"{own[0]['steps']:,}",
                span([row["seconds"] / 60 for row in own], "{:.0f}".format),
                span(distances, "{:.0f}".format),
                f"{len(distances)} of {len(own)}",
            ]
        )
    cpus = ", ".join(dict.fromkeys(row["cpu"] for row in report["runs"]))
    header = ["`run` preset", "iterations", "minutes", "distance", "did not diverge"]
    return (
        f"{rows_of(header, rows)}\n\nOver the seeds; minutes of one core, which some shared with "
        f"other work ({cpus}), {report['precision']}; the distance of samples from the images is "
        "Fréchet's, of random filters: [all figures](../experiments/gans.md)."
    )


def pieces() -> str:
    """What an op could gain where torch computes."""
    report = load(RESULTS / "pieces.json")
    rows = []
    for case in report["cases"]:
        what = f"{case['piece']}, {case['model']}"
        if case["piece"] == "one filter":
            least = case["bytes"] / report["machine"]["read_gb_per_s"] / 1e6
            slower = ", ".join(
                "{} {:.1f}x [{:.1f}, {:.1f}]".format(who, one, *case["intervals"][who])
                for who, one in case["over_depthwise"].items()
            )
            told = f"as depthwise convolution; {slower}; memory allows {least:.1f} ms"
            rows.append([what, f"{case['depthwise']['median_us'] / 1000:.1f}", told])
            continue
        low, high = case["interval"]
        if case["piece"] == "filters":
            told = f"an iteration, {case['share']:.0%} of it [{low:.0%}, {high:.0%}]"
        else:
            ratio = case["whole_over_cut"]
            told = f"an iteration, {ratio:.2f}x [{low:.2f}, {high:.2f}] of one without them"
        rows.append([what, f"{case['iteration']['median_us'] / 1000:.0f}", told])
    machine = report["machine"]
    note = (
        f"{machine['cpu']}, torch {machine['torch']}, {machine['date']}, {report['threads']} "
        "thread. `bench/results/pieces.json`."
    )
    return f"{rows_of(['piece', 'ms', 'of'], rows)}\n\n{note}"


def traces() -> str:
    """The kernels that look into pixels beside what else a user could write."""
    report = load(RESULTS / "traces.json")
    rows = []
    for case in report["cases"]:
        peers = ", ".join(
            "{} {:.1f}x [{:.1f}, {:.1f}]".format(who, one, *case["intervals"][who])
            for who, one in sorted(case["ratio_to_gandetect"].items(), key=lambda item: item[1])
        )
        own = case["results"]["gandetect"]["median_us"]
        rows.append([f"`{case['op'].split(',')[0]}`", case["of"], rounded(own), peers])
    machine = report["machine"]
    note = (
        f"{machine['cpu']}, torch {machine['torch']}, {machine['date']}, {report['threads']} "
        "thread; how many times as long the others take, with 95 % intervals. "
        "`bench/results/traces.json`."
    )
    return rows_of(["op", "of", "µs", "others"], rows) + f"\n\n{note}"


# What makes each block, the file that it is made of, and the document that it stands in.
FIGURES: dict[str, Figure] = {
    "demo": (demo, DEMO, "README.md"),
    "screening": (screening, RESULTS / "screen.json", "README.md"),
    "spectrum": (spectrum, RESULTS / "spectrum.json", "README.md"),
    "upsampling": (upsampling, RESULTS / "upsampling.json", "README.md"),
    "gans": (gans, RESULTS / "gans.json", "README.md"),
    "generators": (generators, RESULTS / "generators.json", "README.md"),
    "memory": (memory, RESULTS / "screen_memory.json", "README.md"),
    "killing": (killing, RESULTS / "killing.json", "README.md"),
    **detectors.FIGURES,
    "trainings": (trainings, TRAININGS, "docs/models/README.md"),
    "pieces": (pieces, RESULTS / "pieces.json", "docs/adding-an-op.md"),
    "traces": (traces, RESULTS / "traces.json", "docs/how-a-frame-walks.md"),
    "ring": (ring, RING, "docs/experiments/README.md"),
    "spectral-training": (spectral_training, SPECTRAL, "docs/spectral-training.md"),
}
PLOTS = {"spectrum": draw_spectrum, "upsampling": draw_upsampling}


def filled(document: str, text: str) -> str:
    for name, (make, source, place) in FIGURES.items():
        if place != document:
            continue
        block = re.compile(f"(<!-- figures:{name} -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)
        match = block.search(text)
        if not match:
            raise SystemExit(f"{document} has no block for the figures {name!r}")
        if source.exists():
            start, end = match.span(2)
            text = f"{text[:start]}{make()}\n{text[end:]}"
        elif match[2].strip():
            raise SystemExit(
                f"{document} has figures {name!r} of a file that is not there: {source}"
            )
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    for document in dict.fromkeys(place for _, _, place in FIGURES.values()):
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        new = filled(document, text)
        if arguments.check and new != text:
            raise SystemExit(f"{document} and the measured files differ; run python bench/table.py")
        path.write_text(new, encoding="utf-8")
    if arguments.check:
        return 0
    for name, draw in PLOTS.items():
        if FIGURES[name][1].exists():
            draw(ROOT / "docs" / "img" / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
