#!/usr/bin/env python3
"""Train the plain network on pixels on a pair of sets that differ in nothing but their making.

    python recipes/spectral_training.py --variants none --out data/spectral_training/none.json
    python recipes/pixel_cnn.py --out docs/pixel-cnn.json

The generated images are those of the DCGAN that `spectral_training.py` trained, the real ones are
squares of the same photographs that it was not trained on. Both are written as PNG by one program.
A generator's images are darker or brighter than photographs on the whole, and a network on pixels
would learn that: so each image drawn is paired with the square most like it in mean and range, and
pairs that are not alike are left out. The audit of `gandetect fit` says whether it was enough.
Images of one photograph stay on one side of every split.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import made_by, parser, write_figures
from PIL import Image
from scipy.optimize import linear_sum_assignment
from spectral_training import halves
from torch import Tensor

from gandetect.detect.audit import LEVELS
from gandetect.gans import Images, load_model, sample
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.data import patches
from gandetect.media.manifests import MANIFEST
from gandetect.ops.reference import GRAY_WEIGHTS

# Images drawn for each pair: the more, the more alike are those that are chosen.
DRAWN = 6


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    model = load_model(args.generator)
    squares = other_squares(args, model.config.size)
    drawn = sample(model, DRAWN * args.pairs, seed=args.seed + 1)
    made, real = alike(drawn, squares.images, args.pairs)
    folders = written(args.work, drawn[made], squares.images[real], sources_of(squares, real))
    fit = fitted(args, model.config.size, folders)
    report = {
        "generator": {"model": model.name, "steps": model.config.steps},
        "photographs": len(set(sources_of(squares, real))),
        "pairs": args.pairs,
        **made_by(args),
        **{name: fit[name] for name in ("images", "auc", "accuracy", "audit")},
        "balanced_accuracy": float(np.mean([rate[0] for rate in fit["accuracy"].values()])),
    }
    write_figures(args.out, report)
    drawn_inside(args, folders)
    return 0


def arguments() -> argparse.Namespace:
    found = parser(__doc__, Path("docs/pixel-cnn.json"))
    found.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    found.add_argument("--generator", type=Path, default=Path("data/spectral_training/none"))
    found.add_argument("--work", type=Path, default=Path("data/pixel_cnn"))
    found.add_argument("--picture", type=Path, default=Path("docs/img/pixel-cnn.png"))
    found.add_argument("--pairs", type=int, default=600)
    return found.parse_args()


def other_squares(args: argparse.Namespace, size: int) -> Images:
    """The squares that `spectral_training.py` measures by, and does not train on."""
    card = Checkpoint.load(args.generator / NAME).card["data"]
    drawn = {name: card[name] for name in ("per_photograph", "seed", "least_factor")}
    trained_on, others = halves(patches(args.photographs, size, **drawn))
    if trained_on.card()["sha256"] != card["sha256"]:
        raise SystemExit(f"{args.generator}: not trained on these photographs")
    return others


def sources_of(squares: Images, chosen: Tensor) -> list[str]:
    assert squares.sources is not None
    return [str(squares.sources[i]) for i in chosen.tolist()]


def alike(drawn: Tensor, real: Tensor, pairs: int) -> tuple[Tensor, Tensor]:
    """Numbers of the `pairs` images (N, 3, S, S) of each kind that agree best in brightness."""
    ours, theirs = brightness(drawn), brightness(real)
    scale = torch.cat([ours, theirs]).std(dim=0)
    distance = torch.cdist(ours / scale, theirs / scale)
    rows, columns = linear_sum_assignment(distance.numpy())
    order = np.argsort(distance.numpy()[rows, columns])[:pairs]
    return torch.from_numpy(rows[order]), torch.from_numpy(columns[order])


def brightness(images: Tensor) -> Tensor:
    """What the audit sees of brightness (N, 3) of `images` (N, 3, S, S) uint8: mean and levels of
    the luma."""
    luma = (images * torch.tensor(GRAY_WEIGHTS)[:, None, None]).sum(dim=1).flatten(1)
    levels = torch.quantile(luma, torch.tensor(LEVELS), dim=1)
    return torch.cat([luma.mean(dim=1, keepdim=True), levels.T], dim=1)


def written(work: Path, made: Tensor, real: Tensor, sources: list[str]) -> tuple[Path, Path]:
    """Folders of PNG files of both kinds, the real ones with what they stem from."""
    shutil.rmtree(work, ignore_errors=True)
    folders = work / "generated", work / "real"
    for folder, images in zip(folders, (made, real), strict=True):
        folder.mkdir(parents=True)
        for number, image in enumerate(images):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            picture.save(folder / f"{folder.name}-{number:04d}.png")
    rows = [{"file": f"real-{i:04d}.png", "source": source} for i, source in enumerate(sources)]
    (folders[1] / MANIFEST).write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return folders


def drawn_inside(args: argparse.Namespace, folders: tuple[Path, Path]) -> None:
    """Its errors, its feature maps, and what its layers answer to, as one figure."""
    generated, real = map(str, folders)
    model = str(args.work / "cnn.safetensors")
    command = [sys.executable, "-m", "gandetect", "explain", "--model", model]
    command += ["--network-report", real, generated, "--out", str(args.picture)]
    subprocess.run(command, check=True)


def fitted(args: argparse.Namespace, size: int, folders: tuple[Path, Path]) -> dict[str, Any]:
    """What the command says; cross-fitted, so that no image is judged by a fit that saw it."""
    command = [
        sys.executable, "-m", "gandetect", "fit", "--classifier", "cnn", "--tile", str(size),
        "--generated", str(folders[0]), "--real", str(folders[1]), "--seed", str(args.seed),
        "--json", "-o", str(args.work / "cnn.safetensors"),
    ]  # fmt: skip
    found = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    result: dict[str, Any] = json.loads(found.stdout)
    if "error" in result:
        raise SystemExit(result["error"])
    return result


if __name__ == "__main__":
    raise SystemExit(main())
