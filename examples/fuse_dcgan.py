"""Loads the checkpoint of a DCGAN of torch's own modules, and fuses it for inference.

    python examples/fuse_dcgan.py --batch 16

The weights are random, with batch norms that have seen some batches: what is compared is the
computation. Prints the largest difference and the time of both generators.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from gandetect import nn as gnn

LATENT = 100


def dcgan(conv_transpose: Callable[..., nn.Module], width: int) -> nn.Sequential:
    """The generator of DCGAN for 64x64 pixels, with transposed convolutions of the given class."""
    layers: list[nn.Module] = []
    channels, stride, padding = LATENT, 1, 0
    for factor in (8, 4, 2, 1):
        layers += [
            conv_transpose(channels, factor * width, 4, stride, padding, bias=False),
            nn.BatchNorm2d(factor * width),
            nn.ReLU(inplace=True),
        ]
        channels, stride, padding = factor * width, 2, 1
    return nn.Sequential(*layers, conv_transpose(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def through_a_file(source: nn.Module, target: nn.Module) -> None:
    """Save one generator's checkpoint and load it into the other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.pt"
        torch.save(source.state_dict(), path)
        target.load_state_dict(torch.load(path, weights_only=True))


def milliseconds(modules: list[nn.Module], latent: Tensor, rounds: int) -> list[float]:
    """The median time of each, in alternation."""
    times: list[list[float]] = [[] for _ in modules]
    for _ in range(rounds + 1):
        for module, own in zip(modules, times, strict=True):
            start = time.perf_counter()
            module(latent)
            own.append(1000 * (time.perf_counter() - start))
    return [statistics.median(own[1:]) for own in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="channels of the last hidden layer")
    parser.add_argument("--batch", type=int, default=16, help="images at a time")
    parser.add_argument("--rounds", type=int, default=10, help="timed calls of each generator")
    options = parser.parse_args()
    torch.manual_seed(0)

    theirs = dcgan(nn.ConvTranspose2d, options.width)
    with torch.no_grad():
        for _ in range(3):
            theirs(torch.randn(8, LATENT, 1, 1))
    ours = dcgan(gnn.ConvTranspose2d, options.width)
    through_a_file(theirs, ours)
    through_a_file(ours, theirs)

    fused = gnn.fuse(ours, verbose=True)
    theirs.eval()
    latent = torch.randn(options.batch, LATENT, 1, 1)
    with torch.inference_mode():
        wanted, found = theirs(latent), fused(latent)
        difference = ((found - wanted).abs().max() / wanted.abs().max()).item()
        before, after = milliseconds([theirs, fused], latent, options.rounds)
    print(f"largest difference, relative to the largest value: {difference:.1e}")
    print(f"torch {before:.2f} ms, fused {after:.2f} ms for {options.batch} images")


if __name__ == "__main__":
    main()
