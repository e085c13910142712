"""The leak audit is red on each planted leak by itself, and green where nothing leaks.

Every property is drawn from one distribution, at random and with a switch that changes one of them.
Where the switch is the label, there is a leak; where a coin throws it, there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gandetect.detect.audit import Audit, audit, describe_file
from gandetect.media import read_luma

EACH = 40
MAKE, SOFTWARE, ARTIST, MODEL = 0x010F, 0x0131, 0x013B, 0x0110


def jpeg(image: np.ndarray, path: Path, **options: Any) -> Path:
    Image.fromarray(image).save(path.with_suffix(".jpg"), **{"quality": 90, **options})
    return path.with_suffix(".jpg")


def png(image: np.ndarray, path: Path, mode: str = "RGB", **options: Any) -> Path:
    Image.fromarray(image).convert(mode).save(path.with_suffix(".png"), **options)
    return path.with_suffix(".png")


def cropped(image: np.ndarray, rng: np.random.Generator, low: int, high: int) -> np.ndarray:
    height, width = rng.integers(low, high, 2)
    return image[:height, :width]


def size(image, path, switch, rng):
    return png(cropped(image, rng, *((64, 100) if switch else (80, 120))), path)


def crop_policy(image, path, switch, rng):
    height, width = rng.integers(64, 121, 2) // (8 if switch else 1) * (8 if switch else 1)
    return png(image[:height, :width], path)


def file_type(image, path, switch, rng):
    return jpeg(image, path) if switch else png(image, path)


def jpeg_quality(image, path, switch, rng):
    return jpeg(image, path, quality=int(rng.integers(50, 85) if switch else rng.integers(75, 96)))


def chroma_subsampling(image, path, switch, rng):
    quality = int(rng.integers(60, 96))
    return jpeg(image, path, quality=quality, subsampling="4:4:4" if switch else "4:2:0")


def exif_keys(image, path, switch, rng):
    """As many keys either way: their number tells nothing."""
    exif = Image.Exif()
    for key in (MAKE, MODEL) if switch else (SOFTWARE, ARTIST):
        exif[key] = "x" * int(rng.integers(1, 20))
    return jpeg(image, path, exif=exif)


def text_keys(image, path, switch, rng):
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters" if switch else "Comment", "x" * int(rng.integers(1, 20)))
    return png(image, path, pnginfo=notes)


def bit_depth(image, path, switch, rng):
    if not switch:
        return png(image, path, "L")
    deep = np.asarray(Image.fromarray(image).convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def color_mode(image, path, switch, rng):
    return png(image, path, "RGBA" if switch else "RGB")


def icc_profile(image, path, switch, rng):
    return jpeg(image, path, icc_profile=b"x" * 128 if switch else None)


def progressive(image, path, switch, rng):
    return jpeg(image, path, quality=int(rng.integers(60, 96)), progressive=switch)


def quantization_tables(image, path, switch, rng):
    """Another encoder's tables, flat, over the same range of strengths."""
    if not switch:
        return jpeg(image, path, quality=int(rng.integers(60, 90)))
    step = int(rng.integers(12, 47))
    return jpeg(image, path, qtables=[[step] * 64, [step * 3 // 2] * 64])


LEAKS: dict[str, Callable[..., Path]] = {
    one.__name__: one
    for one in (
        size, crop_policy, file_type, jpeg_quality, chroma_subsampling, exif_keys, text_keys,
        bit_depth, color_mode, icc_profile, progressive, quantization_tables,
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def contents(real_images, generated_images) -> list[np.ndarray]:
    """Real and generated pictures (EACH, 128, 128, 3): they differ in their fine detail."""
    colors = np.array([1.0, 0.8, 0.6])
    return [
        (np.tile(images[:EACH], (1, 2, 2))[..., None] * colors).round().astype(np.uint8)
        for images in (real_images, generated_images)
    ]


def audited(
    contents: list[np.ndarray],
    folder: Path,
    write: Callable[..., Path],
    switch: Callable[[int, np.random.Generator], bool],
    *,
    paired: bool,
    seed: int = 0,
) -> Audit:
    """The audit of files that `write` made, each with what `switch` says of its label."""
    rows, labels, groups = [], [], []
    for label, images in enumerate(contents):
        for number, image in enumerate(images):
            # The two of a pair draw alike: the same photograph on the same way.
            rng = np.random.default_rng([seed, number, 0 if paired else label])
            path = write(image, folder / f"{label}-{number}", switch(label, rng), rng)
            rows.append(describe_file(path, read_luma(path).as_uint8_range()))
            labels.append(label)
            groups.append(number if paired else len(groups))
    return audit(rows, labels, groups, brightness_counts=False)


def by_label(label: int, rng: np.random.Generator) -> bool:
    rng.integers(2)  # so that the later draws are those of a coin
    return label == 1


def by_coin(label: int, rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_found(contents, tmp_path, name):
    found = audited(contents, tmp_path, LEAKS[name], by_label, paired=True)
    assert found.leaks
    assert found.auc.value > 0.75


@pytest.mark.parametrize("name", LEAKS)
def test_pairs_delivered_alike_pass(contents, tmp_path, name):
    found = audited(contents, tmp_path, LEAKS[name], by_coin, paired=True)
    assert not found.leaks, found.reason


@pytest.mark.parametrize("seed", range(5))
def test_files_of_unrelated_images_from_one_distribution_pass(contents, tmp_path, seed):
    writers = list(LEAKS.values())

    def any_way(image, path, switch, rng):
        return writers[rng.integers(len(writers))](image, path, switch, rng)

    found = audited(contents, tmp_path, any_way, by_coin, paired=False, seed=seed)
    assert not found.leaks, found.reason


def test_the_reason_names_the_column_that_leaks(contents, tmp_path):
    found = audited(contents, tmp_path, exif_keys, by_label, paired=True)
    assert "exif_Make 1.00" in found.reason


def test_a_file_with_very_many_keys_has_few_columns(tmp_path):
    notes = PngImagePlugin.PngInfo()
    for number in range(1000):
        notes.add_text(f"key {number} {'x' * 60}", "value")
    path = tmp_path / "hostile.png"
    Image.new("L", (64, 64)).save(path, pnginfo=notes)
    row = describe_file(path, read_luma(path).as_uint8_range())
    assert len(row) < 120
    assert max(map(len, row)) <= 40
