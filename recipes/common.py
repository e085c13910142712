"""What recipes share: options, progress on a terminal, and how figures are written."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from gandetect.ops.benchmark import device_name
from gandetect.tensorfile import write_whole


def parser(doc: str | None, out: Path, *, seeded: bool = True) -> argparse.ArgumentParser:
    """With the options --out, where the figures go, --threads, of torch, and --seed."""
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    found.add_argument("--out", type=Path, default=out)
    if seeded:
        found.add_argument("--seed", type=int, default=0)
    found.add_argument("--threads", type=int, default=torch.get_num_threads())
    return found


def made_by(args: argparse.Namespace) -> dict[str, Any]:
    """What figures depend on besides the data."""
    machine = {"cpu": device_name("cpu"), "threads": args.threads}
    seed = {"seed": args.seed} if "seed" in args else {}
    return {"torch": torch.__version__, "machine": machine, **seed}


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """As JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(figures, indent=1) + "\n").encode())


def report_progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done}/{total} ", end="", file=sys.stderr, flush=True)
