"""The up-sampling ops against what a user would write instead, interleaved in one run.

    python bench/upsampling.py --json bench/results/upsampling.json

Agreement with float64 is checked before anything is timed. The process starts itself again with
torch's freezing on and an allocator that keeps its pages; what moves memory is timed once more with
the default one, in a process of its own. Memory is measured in fresh processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measure import (
    WARM_ALLOCATOR,
    interleaved,
    machine,
    peak_growth,
    ratio,
    set_threads,
    summary,
)
from upsampling_layers import Chain, Enlarged, Layer, Moving, Nails, Shuffle, Stage, Unpool
from upsampling_peers import (
    EAGER,
    FREEZING,
    OURS,
    PEER_LIMIT,
    Candidates,
    Step,
    Trained,
    bound,
    candidates,
    errors_of,
    exact,
    refuse_beyond,
    training_candidates,
    training_errors,
)

from gandetect.ops import _ext

# Largest error of one op relative to the largest value, against float64; a chain adds them up.
LIMIT = 2e-6
# Of gradients: they sum over every pixel of the batch.
GRADIENT_LIMIT = 2e-5
DCGAN = (
    Stage(100, 512, 1, stride=1, padding=0),
    Stage(512, 256, 4),
    Stage(256, 128, 8),
    Stage(128, 64, 16),
    Stage(64, 3, 32, norm=False, activation="tanh"),
)
SNGAN = Stage(128, 128, 16)
MODES = ("nearest", "bilinear", "bicubic")
# Every block counts, because none comes from what an earlier one gave back.
FRESH_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(1 << 16), "MALLOC_TRIM_THRESHOLD_": "0"}


@dataclass(frozen=True)
class Case:
    """`row`: the line of the README's table that it belongs to."""

    row: str
    name: str
    n: int
    make: Callable[[], Layer]
    training: bool = False

    @property
    def label(self) -> str:
        return label_of(self.name, self.n, self.training)


def label_of(name: str, n: int, training: bool) -> str:
    """The number before the name, so that `--cases "n=1, "` does not find n=16."""
    return f"n={n}, {name}{', training' if training else ''}"


def chain_cases() -> Iterator[Case]:
    for n in (1, 16, 64):
        for stage in (*DCGAN[1:4], SNGAN):
            name = f"conv_transpose2d + BN + ReLU, {stage.channels} to {stage.outputs} "
            name += f"at {stage.side}x{stage.side}"
            row = f"at {stage.side}x{stage.side}, n = 1" if n == 1 else "n = 16 and 64"
            yield Case(f"conv_transpose2d + BN + ReLU, {row}", name, n, single(name, stage))
    for stage, row in (
        (DCGAN[0], "1x1 to 4x4 + BN + ReLU, 100 to 512"),
        (DCGAN[4], "conv_transpose2d + tanh, 64 to 3 at 32x32"),
    ):
        for n in (1, 16, 64):
            which = "n = 1" if n == 1 else "n = 16 and 64"
            yield Case(f"{row}, {which}", row, n, single(row, stage))


def single(name: str, *stages: Stage) -> Callable[[], Layer]:
    return lambda: Chain(name, *stages)


def enlarged_cases() -> Iterator[Case]:
    for mode in MODES:
        for channels, side, n in ((128, 16, 1), (128, 16, 16), (256, 8, 16), (64, 32, 4)):
            yield enlarged(f"{mode} x2 + conv 3x3 + leaky ReLU", n, mode, channels, side)
    for kernel in (3, 5):
        for n in (1, 8):
            row = f"bed of nails x2 + conv {kernel}x{kernel} + ReLU"
            yield enlarged(row, n, "bed_of_nails", 128, 16, kernel, "relu")


def enlarged(row: str, n: int, mode: str, channels: int, side: int, *more: Any) -> Case:
    name = f"{row}, {channels} at {side}x{side}"
    return Case(row, name, n, lambda: Enlarged(mode, channels, side, *more))


def moving_cases() -> Iterator[Case]:
    for size, n in (("1 MiB", 1), ("16 MiB", 16)):
        row = f"pixel_shuffle + bias + leaky ReLU, {size}"
        yield Case(row, row, n, Shuffle)
    for size, n, channels, side in (
        ("0.5 MiB", 1, 32, 32),
        ("8 MiB", 4, 128, 32),
        ("128 MiB", 16, 128, 64),
    ):
        row = f"bed_of_nails, {size}"
        yield Case(row, row, n, lambda channels=channels, side=side: Nails(channels, side))
    for n in (1, 16):
        name = "max_unpool2d, 128 at 16x16"
        yield Case(f"{name}, n = {n}", name, n, Unpool)


def all_cases() -> list[Case]:
    cases = [*chain_cases(), *enlarged_cases(), *moving_cases()]
    for n in (1, 16, 64):
        row = f"DCGAN-64 generator, n = {n}"
        cases.append(Case(row, "DCGAN-64 generator", n, single("DCGAN-64 generator", *DCGAN)))
    for channels, outputs, side in ((256, 128, 8), (128, 64, 16)):
        name = f"conv_transpose2d + ReLU, {channels} to {outputs} at {side}x{side}"
        stage = Stage(channels, outputs, side, norm=False)
        row = "training step, conv_transpose2d + ReLU, n = 16"
        cases.append(Case(row, name, 16, single(name, biased(stage)), training=True))
    name = "nearest x2 + conv 3x3 + leaky ReLU, 128 at 16x16"
    row = "training step, nearest x2 + conv 3x3 + leaky ReLU, n = 16"
    cases.append(Case(row, name, 16, lambda: Enlarged("nearest", 128, 16), training=True))
    return cases


def biased(stage: Stage) -> Stage:
    """With a normalization, whose folding gives the layer a bias to train."""
    return Stage(stage.channels, stage.outputs, stage.side)


# Timing


def forward_cases(case: Case, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    layer = case.make()
    wanted = exact(layer, case.n)
    limit = LIMIT * (len(layer.stages) if isinstance(layer, Chain) else 1)
    for threads in arguments.threads:
        set_threads(threads)
        with torch.inference_mode():
            found = candidates(layer, case.n, arguments.compile)
            errors = errors_of(found, wanted, limit_of(limit))
            times = interleaved({**found.runs, **found.yardsticks}, arguments.seconds)
        report = reported(case, threads, found, times)
        report |= {"error": errors, "limit": limit}
        report |= rates(layer, case.n, report)
        yield report


def training_cases(case: Case, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    layer = case.make()
    assert isinstance(layer, Chain | Enlarged)
    trained = Trained(layer)
    for threads in arguments.threads:
        set_threads(threads)
        found = training_candidates(trained, case.n, arguments.compile)
        errors, of_gradients = training_errors(trained, case.n, found)
        refuse_beyond(errors, limit_of(LIMIT))
        for part in of_gradients.values():
            refuse_beyond(part, limit_of(GRADIENT_LIMIT))
        times = interleaved(found.runs, arguments.seconds)
        report = reported(case, threads, found, times)
        report |= {"error": errors, "limit": LIMIT, "gradient_error": of_gradients}
        gflop = 3 * layer.gflop(case.n)
        report |= {"gflop": gflop, "gflops": gflops(gflop, report)}
        yield report


def limit_of(ours: float) -> float:
    """What stands in for missing kernels is eager torch, and as accurate as that."""
    return ours if has_kernels() else PEER_LIMIT


def reported(
    case: Case, threads: int, found: Candidates, times: dict[str, list[float]]
) -> dict[str, Any]:
    ours = {name: times[name] for name in OURS if name in times}
    report = {
        "row": case.row,
        "name": case.name,
        "n": case.n,
        "training": case.training,
        "threads": threads,
        "results": {name: summary(samples, 1) for name, samples in times.items()},
        # How many times slower each candidate is than this one of ours.
        "ratio_to": {
            own: {name: ratio(samples, base) for name, samples in times.items()}
            for own, base in ours.items()
        },
        "yardsticks": list(found.yardsticks),
        "missing": found.missing,
        "generated_code": found.code,
    }
    report["best_existing"] = best_existing(report)
    return report


def best_existing(report: dict[str, Any]) -> str:
    """Eager torch as it is included: nothing else may be faster."""
    existing = [n for n in report["results"] if n not in (*OURS, *report["yardsticks"])]
    return min(existing, key=lambda name: report["results"][name]["median_us"])


def gflops(gflop: float, report: dict[str, Any]) -> dict[str, float]:
    """Effective: the operations of the plain method over the time, whoever does fewer."""
    results = report["results"].items()
    return {
        name: 1e6 * gflop / times["median_us"]
        for name, times in results
        if name not in report["yardsticks"]
    }


def rates(layer: Layer, n: int, report: dict[str, Any]) -> dict[str, Any]:
    moved = layer.traffic(n)
    found: dict[str, Any] = {"bytes_at_least": moved, "weight_bytes": layer.weight_bytes()}
    if layer.has_weights:
        handles = layer.pack()
        handles = handles if isinstance(handles, list) else [handles]
        found["packed_bytes"] = sum(h.numel() * h.element_size() for h in handles)
        gflop = layer.gflop(n)
        return found | {"gflop": gflop, "gflops": gflops(gflop, report)}
    results = report["results"]
    found["gb_per_s"] = {name: moved / t["median_us"] / 1e3 for name, t in results.items()}
    against = report["ratio_to"]["gandetect"]
    found["share_of_memcpy"] = min(against["memcpy"], against["clone"])
    found["times_faster_than_zeros"] = against["torch.zeros"]
    return found


# Memory, and the default allocator: in processes of their own

MEMORY_CASES = (
    ("conv_transpose2d + BN + ReLU, 128 to 64 at 16x16", 16, False),
    ("nearest x2 + conv 3x3 + leaky ReLU, 128 at 16x16", 16, False),
    ("bed of nails x2 + conv 3x3 + ReLU, 128 at 16x16", 8, False),
    ("DCGAN-64 generator", 64, False),
    ("conv_transpose2d + ReLU, 128 to 64 at 16x16", 16, True),
    ("nearest x2 + conv 3x3 + leaky ReLU, 128 at 16x16", 16, True),
)


def case_named(name: str, n: int, training: bool) -> Case:
    (case,) = [c for c in all_cases() if (c.name, c.n, c.training) == (name, n, training)]
    return case


def growth(who: str, name: str, n: int, training: bool) -> int:
    """Of the second call: what the first packs and keeps is not counted again."""
    set_threads(1)
    layer = case_named(name, n, training).make()
    if training:
        assert isinstance(layer, Chain | Enlarged)
        trained = Trained(layer)
        run: Callable[[], Any] = Step(
            trained.ours if who == "gandetect" else trained.eager, trained.parameters(n)
        )
        run()
        return peak_growth(run)
    with torch.inference_mode():
        run = bound(layer.ours if who == "gandetect" else layer.module, layer.inputs(n))
        run()
        return peak_growth(run)


def memory(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    for name, n, training in MEMORY_CASES:
        if not chosen(case_named(name, n, training), arguments):
            continue
        grown = {
            who: int(in_fresh_process(FRESH_PAGES, "--memory", who, name, str(n), str(training)))
            for who in ("gandetect", EAGER)
        }
        found.append({"name": name, "n": n, "training": training, "peak_bytes": grown})
    return found


def in_fresh_process(environment: dict[str, str], *options: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in WARM_ALLOCATOR}
    said = subprocess.run(
        [sys.executable, __file__, "--allow-reference", *options],
        check=True,
        capture_output=True,
        text=True,
        env={**kept, **environment},
    )
    return said.stdout.splitlines()[-1]


def default_allocator(arguments: argparse.Namespace) -> dict[str, Any]:
    """What moves memory where glibc gives large blocks back after every call."""
    options = ["--default-allocator", "--seconds", str(arguments.seconds / 2)]
    found = in_fresh_process({}, *options, "--cases", arguments.cases)
    return json.loads(found)


def ratios_here(arguments: argparse.Namespace) -> dict[str, Any]:
    set_threads(1)
    found = {}
    for case in all_cases():
        layer = case.make() if chosen(case, arguments) else None
        if not isinstance(layer, Moving):
            continue
        inputs = layer.inputs(case.n)
        with torch.inference_mode():
            runs = {
                "gandetect": bound(layer.ours, inputs),
                EAGER: bound(layer.module, inputs),
                **layer.yardsticks(case.n),
            }
            times = interleaved(runs, arguments.seconds)
        found[case.label] = {
            "median_us": summary(times["gandetect"], 1)["median_us"],
            "ratio": {name: ratio(samples, times["gandetect"]) for name, samples in times.items()},
        }
    return found


# The run


def chosen(case: Case, arguments: argparse.Namespace) -> bool:
    return arguments.cases in case.label


def say(done: int, total: int, report: dict[str, Any]) -> None:
    ours, best = report["ratio_to"]["gandetect"], report["best_existing"]
    label = label_of(report["name"], report["n"], report["training"])
    print(
        f"[{done}/{total}] {label}, {report['threads']} thread(s): "
        f"{report['results']['gandetect']['median_us']:.1f} us, "
        f"{ours[EAGER]:.2f}x eager, {ours[best]:.2f}x {best}",
        file=sys.stderr,
        flush=True,
    )


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    cases = [case for case in all_cases() if chosen(case, arguments)]
    if not cases:
        raise SystemExit(f"no case has {arguments.cases!r} in its name")
    set_threads(1)
    report: dict[str, Any] = {
        "machine": machine(),
        "kernels": has_kernels(),
        "seconds_per_case": arguments.seconds,
        "gradient_limit": GRADIENT_LIMIT,
        "environment": {**FREEZING, **WARM_ALLOCATOR},
        "normalization": "of eager and torch.compile in the module, in eval mode; of all others "
        "folded into the weights outside the timing",
        "cases": [],
    }
    total = len(cases) * len(arguments.threads)
    for case in cases:
        run = training_cases if case.training else forward_cases
        for found in run(case, arguments):
            with_shares(found, report["machine"])
            report["cases"].append(found)
            say(len(report["cases"]), total, found)
    report["default_allocator"] = default_allocator(arguments)
    report["memory"] = memory(arguments)
    return report


def with_shares(report: dict[str, Any], host: dict[str, Any]) -> None:
    """Of the multiply-add peak of as many cores as there are threads."""
    peak = host.get("peak_gflops")
    if peak and "gflops" in report:
        report["share_of_peak"] = {
            name: rate / (peak * report["threads"]) for name, rate in report["gflops"].items()
        }


def has_kernels() -> bool:
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return _ext.available() and has("gandetect::conv_transpose2d", "CPU")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument(
        "--cases", default="", help='only those with this in their names: "n=1, DCGAN"'
    )
    parser.add_argument("--seconds", type=float, default=2, help="of timing per case, at least")
    parser.add_argument(
        "--no-compile", dest="compile", action="store_false", help="leave torch.compile out"
    )
    parser.add_argument(
        "--allow-reference",
        action="store_true",
        help="run without compiled kernels, to test the benchmark itself",
    )
    parser.add_argument("--memory", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--default-allocator", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    if not (has_kernels() or arguments.allow_reference):
        why = _ext.missing_reason or "built without the up-sampling kernels"
        raise SystemExit(f"the compiled kernels are missing: {why}; nothing was timed")
    if arguments.memory:
        who, name, n, training = arguments.memory
        print(growth(who, name, int(n), training == "True"))
        return
    if arguments.default_allocator:
        print(json.dumps(ratios_here(arguments)))
        return
    wanted = {**WARM_ALLOCATOR, **FREEZING}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    report = measure_all(arguments)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
