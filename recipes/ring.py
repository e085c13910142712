#!/usr/bin/env python3
"""Count the modes that a GAN reaches: perceptrons on the ring of eight Gaussians.

    python recipes/ring.py --out docs/experiments/ring.json

The same networks, seeds and steps with each loss; for each seed how many of the eight modes have
samples near them, and which share of the samples is near any. Collapse is reported, not hidden: the
figures say how far each loss gets in so many steps. A few minutes on one core; on one machine the
same figures each time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandetect.gans import GenerativeModel, Trainer
from gandetect.gans.gan import GANConfig
from gandetect.gans.ring import MODES, Ring, modes_reached, share_near_modes
from gandetect.ops.benchmark import device_name
from gandetect.tensorfile import write_whole

LOSSES = ("saturating", "nonsaturating", "least_squares")
SEEDS = range(3)
CONFIG = GANConfig(
    size=1,
    channels=2,
    latent=16,
    widths=(128, 128),
    dropout=0.0,
    batch=256,
    steps=3000,
    rate=1e-3,
    ema=0.99,
)
SAMPLES = 4000


def measured(loss: str, seed: int, steps: int) -> dict[str, Any]:
    """What one training reaches."""
    trainer = Trainer("gan", replace(CONFIG, loss=loss, steps=steps), Ring(), seed=seed)
    while trainer.step < steps:
        trainer.iterate()
    points = drawn(trainer.averaged(), seed)
    return {
        "seed": seed,
        "modes": modes_reached(points),
        "share_near_modes": round(share_near_modes(points), 4),
    }


def drawn(model: GenerativeModel, seed: int) -> Tensor:
    """Samples (N, 2, 1, 1), not rounded to 256 levels as images are."""
    with torch.inference_mode():
        return model.draw(model.latents(SAMPLES, torch.Generator().manual_seed(seed)))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=CONFIG.steps)
    parser.add_argument("--out", type=Path, default=Path("docs/experiments/ring.json"))
    arguments = parser.parse_args()
    # One thread: the order of sums, and with it the last bit, must not depend on the machine.
    torch.set_num_threads(1)
    begun = time.monotonic()
    losses: dict[str, list[dict[str, Any]]] = {}
    for loss in LOSSES:
        losses[loss] = []
        for seed in SEEDS:
            found = measured(loss, seed, arguments.steps)
            losses[loss].append(found)
            print(f"{loss}: {found}", file=sys.stderr, flush=True)
    results = {
        "data": Ring().card(),
        "model": "gan",
        "config": {**CONFIG.to_dict(), "loss": list(LOSSES), "steps": arguments.steps},
        "samples": SAMPLES,
        "modes": MODES,
        "torch": torch.__version__,
        "machine": {"cpu": device_name("cpu"), "threads": torch.get_num_threads()},
        "seconds": round(time.monotonic() - begun),
        "losses": losses,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(arguments.out, (json.dumps(results, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
