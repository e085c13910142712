"""A training iteration of every model with our layers and with torch's, interleaved in one run.

    python bench/gans.py --json bench/results/gans.json

Both sides are the same model with the same weights on the same batches; on torch's side every
layer of ours is the composition that a user would write: Upsample and Conv2d, Conv2d and
PixelShuffle, ConvTranspose2d, zeros and strided assignment, each with its activation. Both must
have equal losses before they are timed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measure import interleaved, machine, ratio, set_threads, summary
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect import nn as gnn
from gandetect.gans import MODELS, UP, Config, Images, Trainer, preset
from gandetect.gans.upsampling import UpProjection

# Losses of one iteration, relative; each sums over a batch in another order.
LIMIT = 1e-4
BATCH = 32
ACTIVATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "none": lambda x, slope: x,
    "relu": lambda x, slope: F.relu(x),
    "leaky_relu": F.leaky_relu,
    "tanh": lambda x, slope: torch.tanh(x),
    "sigmoid": lambda x, slope: torch.sigmoid(x),
}


def ended(layer: Any, y: Tensor) -> Tensor:
    return ACTIVATIONS[layer.activation](y, layer.negative_slope)


def enlarged(x: Tensor, mode: str) -> Tensor:
    """Twice as large, as torch does it."""
    if mode == "bed_of_nails":
        y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        y[..., ::2, ::2] = x
        return y
    return F.interpolate(x, scale_factor=2, mode=mode)


class TorchUpsampleConv2d(gnn.UpsampleConv2d):
    def forward(self, input: Tensor) -> Tensor:
        return ended(self, self._conv_forward(enlarged(input, self.mode), self.weight, self.bias))


class TorchPixelShuffleConv2d(gnn.PixelShuffleConv2d):
    def forward(self, input: Tensor) -> Tensor:
        y = self._conv_forward(input, self.weight, self.bias)
        return ended(self, F.pixel_shuffle(y, self.scale))


class TorchConvTranspose2d(gnn.ConvTranspose2d):
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return ended(self, nn.ConvTranspose2d.forward(self, input, output_size))


class TorchUpProjection(UpProjection):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return enlarged(y, self.up) if self.weightless else y


PEERS: dict[type[nn.Module], type[nn.Module]] = {
    gnn.UpsampleConv2d: TorchUpsampleConv2d,
    gnn.PixelShuffleConv2d: TorchPixelShuffleConv2d,
    gnn.ConvTranspose2d: TorchConvTranspose2d,
    UpProjection: TorchUpProjection,
}


def as_torch(model: nn.Module) -> None:
    """Make every layer of ours in `model` torch's composition, with the same parameters."""
    for module in model.modules():
        if type(module) in PEERS:
            module.__class__ = PEERS[type(module)]


def cases() -> Iterator[tuple[str, str, Config]]:
    """(label, model, configuration): every model as its `run` preset, SNGAN with every `up`."""
    for name in MODELS:
        config = replace(preset(name, "run"), batch=BATCH)
        if name != "sngan":
            yield name, name, config
            continue
        for up in UP:
            yield f"{name} {up}", name, replace(config, up=up, up_last=None)


def data_for(config: Config) -> Images:
    shape = (4 * BATCH, config.channels, config.size, config.size)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, shape, generator=rng, dtype=torch.uint8)
    return Images(images, {"name": "noise", "source": "random numbers"})


def measured(label: str, name: str, config: Config, seconds: float) -> dict[str, Any]:
    data = data_for(config)
    ours, theirs = (Trainer(name, config, data) for _ in range(2))
    as_torch(theirs.model)
    error = difference(ours.iterate(), theirs.iterate())
    if error > LIMIT:
        raise SystemExit(f"{label}: losses differ by {error:.1e}, more than {LIMIT:.0e}")
    times = interleaved({"ours": ours.iterate, "torch": theirs.iterate}, seconds)
    return {
        "label": label,
        "model": name,
        "up": config.up,
        "size": config.size,
        "batch": config.batch,
        "error": error,
        "times": {who: summary(found, config.batch) for who, found in times.items()},
        "torch_over_ours": ratio(times["torch"], times["ours"]),
    }


def difference(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Largest relative difference of the losses."""
    losses = [key for key in ours if key.endswith("/loss")]
    return max(abs(ours[key] - theirs[key]) / max(abs(theirs[key]), 1.0) for key in losses)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each case")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a label")
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
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
    report = {"machine": machine(), "threads": arguments.threads, "limit": LIMIT, "cases": found}
    text = json.dumps(report, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
