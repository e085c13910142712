"""Picture files for tests of data sets: ramps that tell where a square was cut, and odd kinds."""

import numpy as np
from PIL import Image


def ramp(width, height):
    """Red counts columns and green counts rows, so that a square shows where it is from."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([columns % 256, rows % 256, np.full_like(rows, 90)], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def smooth(width, height, seed):
    """A soft random picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def photographs(folder, count=6, size=(60, 48)):
    """`count` soft pictures as JPEG files in `folder`, which is made; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        smooth(*size, seed=number).save(folder / f"photo{number}.jpg", quality=95)
    return folder
