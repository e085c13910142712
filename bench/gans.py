"""A training iteration of every model with our layers and with torch's, interleaved in one run.

    python bench/gans.py --json bench/results/gans.json

Both sides are the same model with the same weights on the same batches; on torch's side every
layer of ours is the composition that a user would write: Upsample and Conv2d, Conv2d and
PixelShuffle, ConvTranspose2d, zeros and strided assignment, each with its activation. Both must
have equal losses before they are timed. Beside them ours in bfloat16 where autocast uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from measure import interleaved, parsed, ratio, ratio_interval, set_threads, summary, write
from twins import as_torch

from gandetect.gans import MODELS, UP, Config, Data, Images, Settings, Trainer, preset
from gandetect.gans.preparing import prepared
from gandetect.gans.progan import ProGANConfig

# Losses of one iteration, relative; each sums over a batch in another order.
LIMIT = 1e-4
BATCH = 32
HALF = Settings(precision="bfloat16")


def cases() -> Iterator[tuple[str, str, Config]]:
    """(label, model, configuration): every model as its `run` preset, SNGAN with every `up`."""
    for name in MODELS:
        config = replace(preset(name, "run"), batch=BATCH)
        if isinstance(config, ProGANConfig):
            # Of its full size after a few iterations.
            config = replace(config, grow_every=1)
        if name != "sngan":
            yield name, name, config
            continue
        for up in UP:
            yield f"{name} {up}", name, replace(config, up=up, up_last=None)


def data_for(name: str, config: Config) -> Data:
    shape = (4 * BATCH, config.channels, config.size, config.size)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, shape, generator=rng, dtype=torch.uint8)
    classes = int(getattr(config, "classes", 0))
    labels = torch.arange(len(images)) % classes if classes else None
    sources = [str(number) for number in range(len(images))]
    noise = {"name": "noise", "source": "random numbers"}
    return prepared(name, config, Images(images, noise, labels, sources=sources))


def measured(label: str, name: str, config: Config, seconds: float) -> dict[str, Any]:
    data = data_for(name, config)
    ours, theirs = pair(name, config, data)
    error = difference(*(standing(one).iterate() for one in pair(name, config, data)))
    if error > LIMIT:
        raise SystemExit(f"{label}: losses differ by {error:.1e}, more than {LIMIT:.0e}")
    table = {"ours": ours, "torch": theirs, "bfloat16": Trainer(name, config, data, settings=HALF)}
    if isinstance(config, ProGANConfig):
        # Until they have their full size.
        for trainer in table.values():
            for _ in range(2 * len(config.widths)):
                trainer.iterate()
    times = interleaved({who: one.iterate for who, one in table.items()}, seconds)
    return {
        "label": label,
        "model": name,
        "up": config.up,
        "size": config.size,
        "batch": config.batch,
        "error": error,
        "times": {who: summary(found, config.batch) for who, found in times.items()},
        "torch_over_ours": ratio(times["torch"], times["ours"]),
        "interval": ratio_interval(times["torch"], times["ours"]),
        "ours_over_bfloat16": ratio(times["ours"], times["bfloat16"]),
    }


def pair(name: str, config: Config, data: Data) -> tuple[Trainer, Trainer]:
    """The same model with our layers and with torch's."""
    ours, theirs = (Trainer(name, config, data) for _ in range(2))
    as_torch(theirs.model)
    return ours, theirs


def standing(trainer: Trainer) -> Trainer:
    """With rates of 0, so that no phase sees what the steps before it made of roundings: Adam's
    first ones have the rate's size whatever the gradient's, and turn where that is near 0."""
    trainer.model.rate_at = lambda step: 0.0  # type: ignore[method-assign]
    return trainer


def difference(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Largest relative difference of the losses."""
    losses = [key for key in ours if key.endswith("/loss")]
    return max(abs(ours[key] - theirs[key]) / max(abs(theirs[key]), 1.0) for key in losses)


def main() -> int:
    arguments = parsed((__doc__ or "").splitlines()[0])
    set_threads(arguments.threads)
    found = []
    for label, name, config in cases():
        if arguments.only not in label:
            continue
        row = measured(label, name, config, arguments.seconds)
        found.append(row)
        per_image = row["times"]["ours"]["median_us"]
        told = f"{label:24} {per_image:8.0f} us an image, torch {row['torch_over_ours']:.2f}x"
        print(told, file=sys.stderr, flush=True)
    write(found, arguments, LIMIT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
