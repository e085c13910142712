"""Real photographs in folders, and what simulated up-sampling makes of the same crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color, data

from gandetect.detect.simulate import MODES, upsampled

PHOTOGRAPHS = ("camera", "coins", "brick", "grass", "gravel", "moon", "astronaut", "chelsea")


def photograph(name: str) -> np.ndarray:
    """A gray photograph (H, W) float, 0..255."""
    picture = getattr(data, name)()
    return color.rgb2gray(picture) * 255 if picture.ndim == 3 else picture.astype(float)


def crops(side: int, per_photograph: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """(name of the photograph, square crop) pairs."""
    rng = np.random.default_rng(seed)
    found = []
    for name in PHOTOGRAPHS:
        gray = photograph(name)
        for _ in range(per_photograph):
            top, left = (int(rng.integers(0, extent - side + 1)) for extent in gray.shape)
            found.append((name, gray[top : top + side, left : left + side]))
    return found


def generated_from(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crop halved and brought back by one random up-sampling; (S, S) float."""
    plane = torch.from_numpy(np.ascontiguousarray(crop)).float()
    return upsampled(plane, (str(rng.choice(MODES)),), rng).numpy()


def save(image: np.ndarray, path: Path, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.clip(0, 255).round().astype(np.uint8)).save(path, **options)


@pytest.fixture(scope="session")
def frames(tmp_path_factory):
    """Folders real/ and generated/ with a subfolder of six square frames for each photograph."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(5)
    for number, (name, crop) in enumerate(crops(192, 6, seed=4)):
        save(crop, root / "real" / name / f"{number}.png")
        save(generated_from(crop, rng), root / "generated" / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def celeba_folders(tmp_path_factory):
    """Photographs of 218 rows by 178 columns, and generated squares of 128."""
    root = tmp_path_factory.mktemp("celeba")
    rng = np.random.default_rng(7)
    for number, (name, crop) in enumerate(crops(224, 3, seed=6)):
        save(crop[:218, :178], root / "real" / f"{name}{number}.png")
        save(generated_from(crop[:128, :128], rng), root / "generated" / f"g{number}.png")
    return root
