"""`gandetect bench`: the ops against their pure-torch references, on the user's machine."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gandetect.ops.benchmark import Timing

EPILOG = """\b
Examples:
  gandetect bench
  gandetect bench --threads 1 --size 224x224
  gandetect bench --device cuda --json > gpu.json

\b
Exit codes: 0 measured, 2 bad usage, 3 nothing to measure (no compiled kernels, no GPU).
"""


@click.command(
    "bench",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("--op", "ops", multiple=True, metavar="NAME", help="Only this op.  [repeatable]")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="HxW",
    help="Image size.  [repeatable; default: 64x64, 256x256, 1024x1024]",
)
@click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="Processors to use.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    help="Time for each op and size.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, not a table.")
def command(
    ops: tuple[str, ...],
    sizes: tuple[str, ...],
    device: str,
    threads: int | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Time every op against its pure-torch reference on this machine.

    Results are compared first. Times are medians per image of rounds that run the op and its
    reference in turn; close what else keeps the machine busy.
    """
    import torch

    from gandetect.ops.benchmark import SIZES, Unavailable

    _check_device(device)
    wanted = [_size(text) for text in sizes] or list(SIZES)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        timings = _measured(ops, wanted, device, seconds)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except Unavailable as error:
        click.echo(f"nothing to measure: {error}", err=True)
        sys.exit(3)
    if as_json:
        click.echo(json.dumps(_report(timings, device), indent=1))
    else:
        _print_table(timings)


def _check_device(device: str) -> None:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise click.UsageError(f"--device {device!r} given; choose cpu, cuda or cuda:N")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise click.UsageError(f"--size {text!r} given; want height x width, as 256x256")
    return int(match[1]), int(match[2])


def _measured(
    ops: tuple[str, ...], sizes: list[tuple[int, int]], device: str, seconds: float
) -> list[Timing]:
    from rich.console import Console
    from rich.progress import Progress

    from gandetect.ops.benchmark import measure
    from gandetect.ops.table import TABLE

    timings = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("timing", total=len(ops or TABLE) * len(sizes))
        for timing in measure(ops or None, sizes, device=device, seconds=seconds):
            timings.append(timing)
            bar.advance(task)
    return timings


def _report(timings: list[Timing], device: str) -> dict[str, Any]:
    import torch

    import gandetect

    return {
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "threads": torch.get_num_threads(),
        "kernels": gandetect.show_config(),
        "timings": [asdict(timing) for timing in timings],
    }


def _print_table(timings: list[Timing]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("op", "size", "images"):
        table.add_column(name)
    for name in ("µs/image", "spread", "pure torch", "faster", "difference"):
        table.add_column(name, justify="right")
    for t in timings:
        table.add_row(
            t.op,
            f"{t.height}x{t.width}",
            str(t.images),
            f"{t.microseconds:.4g}",
            f"{t.spread:.2g}",
            f"{t.reference_microseconds:.4g}",
            f"{t.ratio:.1f}x",
            f"{t.difference:.0e}",
        )
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)
