"""A network that counts shapes in scenes and has nothing to do with the generator that it judges.

Generators that are told how many things to draw have learned to be counted by a head of their own
discriminator, which would count them so whatever they draw. This one has other weights, another
architecture and other scenes, on photographs of which it kept a part back to be tested on.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans import Images, split
from gandetect.gans.scenes import scenes
from gandetect.gans.training import as_input

STEPS, BATCH, RATE = 1500, 32, 2e-3
SCENES, TESTED, SEED = 12_000, 2000, 2
# Of the photographs, for the scenes that it is tested on.
HELD_OUT = 0.15
_TOGETHER = 250
# By what was learned: the same network judges every seed.
_TAUGHT: dict[tuple[int, int, str], tuple[Counter, dict[str, float]]] = {}


class Counter(nn.Module):
    """Images (N, 3, S, S) in -1..1 to counts (N, kinds): densities, summed over all places."""

    def __init__(self, kinds: int, widths: tuple[int, ...] = (3, 16, 32, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(
            *layers,
            nn.Conv2d(widths[-1], 2 * widths[-1], 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * widths[-1], kinds, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        density: Tensor = F.softplus(self.layers(images) - 3)
        return density.sum(dim=(2, 3))

    @torch.inference_mode()
    def counted(self, images: Tensor) -> Tensor:
        """Counts (N, kinds) in uint8 `images`."""
        return torch.cat([self(as_input(part)) for part in images.split(_TOGETHER)])


def taught(images: Images, size: int, kinds: int) -> tuple[Counter, dict[str, float]]:
    """The network, and on scenes on photographs that it has not seen its mean error (the distance
    of the counts) beside that of their mean, and the share of counts that round to the right one.

    Deterministic on one machine.
    """
    key = (size, kinds, str(images.card().get("sha256")))
    if key not in _TAUGHT:
        _TAUGHT[key] = _taught(images, size, kinds)
    return _TAUGHT[key]


def _taught(images: Images, size: int, kinds: int) -> tuple[Counter, dict[str, float]]:
    shown, kept = split(images, (1 - HELD_OUT, HELD_OUT), SEED)
    lessons = scenes(SCENES, size, kinds, SEED, backgrounds=shown)
    test = scenes(TESTED, size, kinds, SEED + 1, backgrounds=kept)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = Counter(kinds)
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
        slope = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * RATE, STEPS)
        for _ in range(STEPS):
            batch = lessons.take(torch.randint(len(lessons), (BATCH,)).tolist())
            found = network(as_input(batch.images))
            loss = F.smooth_l1_loss(found, batch.extras["counts"].float())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            slope.step()
    network.eval()
    counts, found = test.extras["counts"].float(), network.counted(test.images)
    return network, {
        "error": float((found - counts).norm(dim=1).mean()),
        "constant": float((counts - counts.mean(dim=0)).norm(dim=1).mean()),
        "right": float((found.round() == counts).float().mean()),
    }


def correlations(found: Tensor, asked: Tensor) -> list[float]:
    """Of what was counted and what was asked, both (N, kinds), for each kind."""
    pairs = [torch.stack([found[:, k], asked[:, k].float()]) for k in range(found.shape[1])]
    return [float(torch.corrcoef(pair)[0, 1]) for pair in pairs]
