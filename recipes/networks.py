#!/usr/bin/env python3
"""Train the bank of small generators that self-made fakes are drawn from.

    python recipes/photographs.py --out data/photographs
    python recipes/networks.py --photographs data/photographs --out data/networks

Twelve networks, an auto-encoder and a super-resolver with each of the six up-samplers, everything
else about them random by seed; about a minute each of one core. `bank.json` says what each of them
is. A network that it names is not trained again, so that a bank which was cut off goes on. On one
machine the same photographs give the same networks, but for those trained by `--seconds`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import report_progress

from gandetect.detect.autoencoders import TASKS, GeneratorNetwork, draw_config, train_autoencoder
from gandetect.detect.simulate import MODES, Photograph
from gandetect.detect.training import image_files
from gandetect.media import read_rgb

SEED = 20261


def main() -> int:
    args = arguments()
    # One thread: the order of sums, and with it the last bit, must not depend on the machine.
    torch.set_num_threads(1)
    photographs = [partial(read_rgb, path) for path in image_files(args.photographs)]
    listing = args.out / "bank.json"
    rows: list[dict[str, Any]] = json.loads(listing.read_text()) if listing.exists() else []
    done = {row["seed"] for row in rows}
    for number in range(args.count):
        if SEED + number in done:
            continue
        network = trained(number, photographs, args.steps, args.seconds)
        network.save(args.out)
        rows.append({"id": network.id, **network.card()})
        listing.write_text(json.dumps(rows, indent=1))
        config = network.config
        print(
            f"{number + 1}/{args.count} {network.id} {config.task} {config.mode} {config.factors}: "
            f"{network.steps} steps",
            flush=True,
        )
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    parser.add_argument("--out", type=Path, default=Path("data/networks"))
    parser.add_argument("--count", type=int, default=len(TASKS) * len(MODES))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=1500, help="of each training")
    length.add_argument("--seconds", type=float, help="of processor time, in the place of steps")
    return parser.parse_args()


def trained(
    number: int, photographs: Sequence[Photograph], steps: int, seconds: float | None
) -> GeneratorNetwork:
    """Network `number` of the bank: both tasks with one mode, then with the next."""
    task, mode = TASKS[number % len(TASKS)], MODES[number // len(TASKS) % len(MODES)]
    seed = SEED + number
    return train_autoencoder(
        photographs,
        draw_config(seed, mode=mode, task=task),
        seed,
        steps=steps if seconds is None else None,
        seconds=seconds,
        progress=report_progress,
    )


if __name__ == "__main__":
    raise SystemExit(main())
