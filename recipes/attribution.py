#!/usr/bin/env python3
"""Measure how well up-samplers are named, on small generators trained for that purpose.

    python recipes/photographs.py --archives data/archives
    python recipes/attribution.py --out docs/attribution.json

Six families of auto-encoders that differ in nothing but their two up-sampling layers (nearest,
bilinear, bicubic, bed of nails, pixel shuffle, transposed convolution), each trained several times
with other seeds. The last layer is the up-sampler itself, as in DCGAN. Trained are they on two
thirds of the photographs. A model that names the family is fitted to what some seeds make of these
photographs, and tested on what other seeds make of the others: neither the network nor the
photograph was seen. Then each family is left out of the fit in turn, alone and with its relatives,
and its images should be called unknown. Last the same for one network of each family, where the
networks are known and only the photographs are new. The images that are fitted to are audited as
`gandetect attribute --fit` audits its folders.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import made_by, parser, write_figures
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.attribution import REAL, responses
from gandetect.detect.attribution_training import balanced_accuracy, without_class
from gandetect.detect.attributor import (
    METHODS,
    Labeled,
    Responder,
    calibrated_on,
    cross_fitted,
    prepared,
)
from gandetect.detect.audit import audit
from gandetect.detect.metrics import ranking
from gandetect.detect.training import image_files, pixel_row
from gandetect.nn import ConvTranspose2d, PixelShuffleConv2d, UpsampleConv2d

FAMILIES = ("nearest", "bilinear", "bicubic", "bed_of_nails", "pixel_shuffle", "conv_transpose")
CLASSES = (REAL, *FAMILIES)
# Families that are alike: left out together, no relative is known.
KIN = {
    "nearest": ("nearest",),
    "interpolation": ("bilinear", "bicubic"),
    "learned": ("bed_of_nails", "pixel_shuffle", "conv_transpose"),
}
# An image of 256 pixels has four tiles.
TILE, SIDES, MARGIN = 128, (128, 256), 16
FIT_SEEDS, TEST_SEEDS = range(10), range(10, 13)
FIT_SHARE, CROPS = 0.65, 2
WIDTH, CODE = 16, 6
PATCH, PATCHES, BATCH, STEPS = 64, 16, 8, 250
# Shorter sides of the photographs, reduced: the crops then have detail of every size.
SHORTEST = 640
Array = NDArray[Any]


def up_sampler(family: str, inputs: int, outputs: int, activation: str) -> nn.Module:
    """Twice as large, (N, inputs, H, W) to (N, outputs, 2H, 2W)."""
    if family == "conv_transpose":
        return ConvTranspose2d(inputs, outputs, 4, 2, 1, activation=activation)
    if family == "pixel_shuffle":
        return PixelShuffleConv2d(inputs, 4 * outputs, 3, padding=1, activation=activation)
    return UpsampleConv2d(inputs, outputs, 3, padding=1, mode=family, activation=activation)


def generator(family: str) -> nn.Sequential:
    """An auto-encoder of luma (N, 1, H, W) in -1..1; sides are multiples of 4."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, 2, 1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(WIDTH, WIDTH, 4, 2, 1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(WIDTH, CODE, 1),
        nn.Conv2d(CODE, WIDTH, 3, padding=1),
        nn.LeakyReLU(0.1),
        up_sampler(family, WIDTH, WIDTH, "leaky_relu"),
        up_sampler(family, WIDTH, 1, "tanh"),
    )


def trained(family: str, seed: int, patches: Tensor, steps: int = STEPS) -> nn.Sequential:
    """A generator that draws `patches` (N, S, S) uint8 again, by the L1 distance."""
    rng = np.random.default_rng([seed, 0])
    torch.manual_seed(seed)
    network = generator(family)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3, (0.9, 0.99))
    slope = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        images = as_input(patches[torch.from_numpy(rng.integers(len(patches), size=BATCH))])
        loss = F.l1_loss(network(images), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slope.step()
    return network.eval().requires_grad_(False)


def as_input(planes: Tensor) -> Tensor:
    return planes[:, None].float() / 127.5 - 1


def drawn(network: nn.Module, crops: Tensor) -> Tensor:
    """What `network` makes of `crops` (N, S, S) uint8, in 8 bits."""
    return (network(as_input(crops))[:, 0] * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)


def gray(path: Path) -> Image.Image:
    """The luma of a photograph, reduced to `SHORTEST`; a smaller one as it is."""
    file = Image.open(path)
    file.draft("L", (2 * SHORTEST, 2 * SHORTEST))
    picture = file.convert("L")
    factor = max(1.0, min(picture.size) / SHORTEST)
    width, height = (round(side / factor) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def crops(picture: Image.Image, side: int, count: int, rng: np.random.Generator) -> list[Tensor]:
    """Random squares of `picture`, some of them reduced, (side, side) uint8."""
    found = []
    shortest = min(picture.size)
    for _ in range(count):
        extent = side * np.exp(rng.uniform(0, np.log(max(1.0, min(2.5, shortest / side)))))
        extent = min(extent, shortest)
        left, top = (rng.random() * (length - extent) for length in picture.size)
        box = (left, top, left + extent, top + extent)
        square = picture.resize((side, side), Image.Resampling.BICUBIC, box)
        found.append(torch.from_numpy(np.array(square)))
    return found


@dataclass(frozen=True)
class Made:
    """Planes (N, TILE, TILE) of one maker, and the number of the photograph of each."""

    maker: str
    seed: int
    planes: Tensor
    groups: Array


def made(
    networks: dict[tuple[str, int], nn.Module],
    photographs: dict[int, Image.Image],
    side: int,
    seed: int,
) -> list[Made]:
    """Crops of the photographs, `side` pixels large, and what each of `networks` makes of them."""
    wide, rng = side + 2 * MARGIN, np.random.default_rng(seed)
    squares = torch.stack(
        [one for picture in photographs.values() for one in crops(picture, wide, CROPS, rng)]
    )
    groups = np.repeat(list(photographs), CROPS)
    inner = slice(MARGIN, MARGIN + side)
    found = [Made(REAL, -1, squares[:, inner, inner], groups)]
    for (family, number), network in networks.items():
        planes = torch.cat([drawn(network, part) for part in squares.split(32)])
        found.append(Made(family, number, planes[:, inner, inner], groups))
    return found


def labeled(parts: Sequence[Made], seeds: Sequence[int], method: str) -> Labeled:
    """The photographs and the planes by networks of `seeds`, as `method` looks at them."""
    parts = [part for part in parts if part.seed in (-1, *seeds)]
    images = [prepared(plane, TILE, method) for part in parts for plane in part.planes]
    labels = np.concatenate([np.full(len(p.planes), CLASSES.index(p.maker)) for p in parts])
    return Labeled(images, labels, np.concatenate([part.groups for part in parts]))


def audited(parts: Sequence[Made], seeds: Sequence[int]) -> dict[str, Any]:
    """The audit of each class against all others, of planes by networks of `seeds`."""
    parts = [part for part in parts if part.seed in (-1, *seeds)]
    rows = [pixel_row(plane) for part in parts for plane in part.planes]
    groups = np.concatenate([part.groups for part in parts])
    makers = np.concatenate([np.full(len(part.planes), part.maker) for part in parts])
    return {
        name: audit(
            rows, (makers == name).astype(int).tolist(), groups.tolist(), brightness_counts=False
        ).to_dict()
        for name in CLASSES
    }


def measured(fit_on: Labeled, tests: Mapping[str, Labeled], method: str) -> dict[str, Any]:
    """For each test set the names, and how well those of classes left out are told from known."""
    chosen = METHODS[method]
    calibration = calibrated_on(cross_fitted(fit_on, chosen, 0), fit_on.labels, CLASSES, 0.05)
    responder = chosen.fit(fit_on, 0, None)
    found: dict[str, Any] = {"fit_images": len(fit_on)}
    for name, tested in tests.items():
        logits, novelty = answered(responder, tested)
        unknown = float((novelty > calibration.unknown_from).mean())
        found[name] = {**names(logits, tested), "known_called_unknown": unknown}
    for kind, groups in (("left_out", {one: (one,) for one in FAMILIES}), ("kin_left_out", KIN)):
        for group, members in groups.items():
            say(f"without {group}")
            numbers = [CLASSES.index(member) for member in members]
            responder = chosen.fit(without(fit_on, numbers), 0, None)
            for name, tested in tests.items():
                figures = detected(answered(responder, tested)[1], tested, numbers)
                found[name].setdefault(kind, {})[group] = figures
    for name in tests:
        for kind in ("left_out", "kin_left_out"):
            aucs = [one["auc"][0] for one in found[name][kind].values()]
            found[name][f"{kind}_mean_auc"] = float(np.mean(aucs))
    return found


def names(logits: Array, tested: Labeled) -> dict[str, Any]:
    """How often the likeliest name is right, of seven classes and of the six families alone."""
    labels, groups, generated = tested.labels, tested.groups, tested.labels > 0
    named = logits.argmax(axis=1)
    families = logits[generated, 1:].argmax(axis=1) + 1 == labels[generated]
    six = balanced_accuracy(families, labels[generated], groups[generated])
    return {
        "images": len(tested),
        "balanced_accuracy_of_six": six.to_list(),
        "balanced_accuracy_with_real": balanced_accuracy(named == labels, labels, groups).to_list(),
        "confusion": confusion(labels, named),
    }


def answered(responder: Responder, tested: Labeled) -> tuple[Array, Array]:
    """Logits (N, C) and novelty (N,) of the tested images."""
    answers = [responses(responder.respond, image) for image in tested.images]
    means = torch.stack([one.mean(dim=0) for one in answers]).numpy()
    return means[:, :-1], means[:, -1]


def without(data: Labeled, numbers: Sequence[int]) -> Labeled:
    """`data` without the images of the classes `numbers`, the others moved up."""
    kept = data.subset(np.flatnonzero(~np.isin(data.labels, numbers)))
    for number in sorted(numbers, reverse=True):
        kept = without_class(kept, number)
    return kept


def detected(novelty: Array, tested: Labeled, numbers: Sequence[int]) -> dict[str, Any]:
    """How well the `novelty` of the classes `numbers` is told from that of the others."""
    unknown = np.isin(tested.labels, numbers).astype(int)
    figures = ranking(unknown, novelty, tested.groups, fprs=(0.05,))
    return {name: one.to_list() for name, one in figures.items()}


def confusion(labels: Array, named: Array) -> dict[str, dict[str, int]]:
    """How many of what is `row` were named `column`."""
    return {
        row: {column: int(((labels == i) & (named == j)).sum()) for j, column in enumerate(CLASSES)}
        for i, row in enumerate(CLASSES)
    }


def bank(patches: Tensor, folder: Path) -> dict[tuple[str, int], nn.Module]:
    """The networks of all families and seeds that learned from `patches`, from `folder` where they
    are there."""
    folder = folder / hashlib.sha256(patches.numpy().tobytes()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    networks: dict[tuple[str, int], nn.Module] = {}
    for seed in (*FIT_SEEDS, *TEST_SEEDS):
        for family in FAMILIES:
            path = folder / f"{family}-{seed}.safetensors"
            if not path.exists():
                say(f"training {family} {seed}")
                save_file(trained(family, seed, patches).state_dict(), path)
            network = generator(family)
            network.load_state_dict(load_file(path))
            networks[family, seed] = network.eval().requires_grad_(False)
    return networks


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    options = parser(__doc__, Path("docs/attribution.json"), seeded=False)
    options.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    options.add_argument("--networks", type=Path, default=Path("data/attribution"))
    options.add_argument("--method", choices=list(METHODS), default="discriminant")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    pictures = dict(enumerate(map(gray, image_files(arguments.photographs))))
    order = np.random.default_rng(7).permutation(len(pictures))
    chosen = sorted(order[: int(FIT_SHARE * len(order))].tolist())
    fit_on = {number: pictures[number] for number in chosen}
    others = {number: one for number, one in pictures.items() if number not in fit_on}
    rng = np.random.default_rng(0)
    patches = [one for picture in fit_on.values() for one in crops(picture, PATCH, PATCHES, rng)]
    networks = bank(torch.stack(patches), arguments.networks)
    say("drawing")
    shown = made(networks, fit_on, TILE, 1)
    hidden = {side: made(networks, others, side, 2) for side in SIDES}
    results: dict[str, Any] = {
        **made_by(arguments),
        "method": arguments.method,
        "fit_seeds": list(FIT_SEEDS),
        "test_seeds": list(TEST_SEEDS),
        "photographs": {"fit": len(fit_on), "test": len(others)},
    }
    # Families: networks of other seeds are tested. Networks: the same ones, on other photographs.
    one = FIT_SEEDS[:1]
    for name, fitted, tested in (("families", FIT_SEEDS, TEST_SEEDS), ("networks", one, one)):
        say(f"measuring {name}")
        tests = {
            f"{side} pixels": labeled(parts, tested, arguments.method)
            for side, parts in hidden.items()
        }
        known = labeled(shown, fitted, arguments.method)
        results[name] = {
            **measured(known, tests, arguments.method),
            "audits": audited(shown, fitted),
        }
        write_figures(arguments.out, results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
