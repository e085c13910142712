"""`gandetect bench`: the ops against their pure-torch references, on the user's machine."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import check_number, printable
from gandetect.cli._progress import progress_bar

if TYPE_CHECKING:
    from gandetect.ops.benchmark import Failure, Timing

INTERRUPTED = 130

EPILOG = """\b
Examples:
  gandetect bench
  gandetect bench --threads 1 --size 224x224
  gandetect bench --op spectral_means --seconds 5
  gandetect bench --device cuda --json > gpu.json

\b
The columns:
  us/image    what the op takes for one image of a batch (the median of the rounds)
  spread      interquartile range, beside that median; close other programs where it is large
  pure torch  the same for the reference in torch's own operations
  faster      pure torch / op, the median of the rounds
  difference  largest relative difference between the results of the two

\b
Exit codes: 0 every op was timed, 1 some failed or differ from their reference,
2 bad usage, 3 nothing could be timed (no compiled kernels, no GPU, all failed), 130 interrupted.
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
@click.option("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=1),
    help="Processors to use.  [default: all]",
)
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0, max=3600, min_open=True),
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

    Results are compared first, and an op that differs from its reference is not timed. The op and
    its reference then run in turn, so that whatever else the machine does slows both.
    """
    _check_device(device)
    check_number("--seconds", seconds)
    wanted = [_size(text) for text in sizes]
    import torch

    from gandetect.ops.benchmark import SIZES, Unavailable

    if threads is not None:
        torch.set_num_threads(threads)
    results: list[Timing | Failure] = []
    is_interrupted = False
    try:
        _measure(results, ops, wanted or list(SIZES), device, seconds)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except Unavailable as error:
        click.echo(f"Error: nothing could be timed: {error}", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        is_interrupted = True
    sys.exit(_present(results, device, as_json, is_interrupted))


def _check_device(device: str) -> None:
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", device):
        raise click.UsageError(f"--device {device!r} given; choose cpu, cuda or cuda:N")


def _size(text: str) -> tuple[int, int]:
    from gandetect.ops.benchmark import MAX_SIDE

    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    height, width = (int(side) for side in match.groups()) if match else (0, 0)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise click.UsageError(
            f"--size {text!r} given; want height x width, as 256x256, from 1 to {MAX_SIDE} each"
        )
    return height, width


def _measure(
    results: list[Timing | Failure],
    ops: tuple[str, ...],
    sizes: list[tuple[int, int]],
    device: str,
    seconds: float,
) -> None:
    """Appends what is found, so that an interrupt keeps it."""
    from gandetect.ops.benchmark import measure
    from gandetect.ops.table import TABLE

    total = len(set(ops) or TABLE) * len(sizes)
    with progress_bar() as progress:
        progress("timing", 0, total)
        for result in measure(ops or None, sizes, device=device, seconds=seconds):
            results.append(result)
            progress("timing", len(results), total)


def _present(
    results: list[Timing | Failure], device: str, as_json: bool, is_interrupted: bool
) -> int:
    """Shows everything found; the exit code says what was not."""
    from gandetect.ops.benchmark import Failure, Timing

    timings = [result for result in results if isinstance(result, Timing)]
    failures = [result for result in results if isinstance(result, Failure)]
    if as_json:
        click.echo(json.dumps(_report(timings, failures, device), indent=1))
    elif timings:
        _print_table(timings, device)
    for failure in failures:
        where = f"{failure.op} at {failure.height}x{failure.width}"
        click.echo(f"{where} was not timed: {printable(failure.reason)}", err=True)
    if is_interrupted:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    return (1 if timings else 3) if failures else 0


def _report(timings: list[Timing], failures: list[Failure], device: str) -> dict[str, Any]:
    import torch

    import gandetect
    from gandetect.ops.benchmark import device_name

    return {
        "device": device,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "config": gandetect.show_config(),
        "timings": [asdict(timing) for timing in timings],
        "failures": [asdict(failure) for failure in failures],
    }


def _print_table(timings: list[Timing], device: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("op", "size", "images"):
        table.add_column(name)
    for name in ("us/image", "spread", "pure torch", "faster", "difference"):
        table.add_column(name, justify="right")
    for t in timings:
        table.add_row(
            t.op,
            f"{t.height}x{t.width}",
            str(t.images),
            f"{t.microseconds:,.1f}",
            f"{t.spread / t.microseconds:.0%}",
            f"{t.reference_microseconds:,.1f}",
            f"{t.ratio:.1f}x",
            f"{t.difference:.0e}",
        )
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)
    click.echo(_where(device))


def _where(device: str) -> str:
    """The line below the table: figures mean little without the machine they are of."""
    import torch

    import gandetect
    from gandetect.ops.benchmark import device_name

    if device != "cpu":
        return f"{device_name(device)}, torch {torch.__version__}"
    config = gandetect.show_config()
    threads = torch.get_num_threads()
    return (
        f"{device_name(device)}, {threads} thread{'s' * (threads > 1)}, "
        f"{config['cpu_isa']}, torch {config['torch']}"
    )
