"""Real squares: parts that share no photograph, and none that is flat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from upsampling_sets import EFFORT, as_bytes, photographs

from gandetect.experiments.upsampling.photographs import chosen, described, read_photographs
from gandetect.experiments.upsampling.plan import SPLITS
from gandetect.gans.data import Images

SIDE = 16


@pytest.fixture
def folder(tmp_path):
    for number, image in enumerate(as_bytes(photographs(20, seed=3))):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


def test_no_photograph_is_in_two_parts(folder):
    parts, failed = read_photographs([folder], SIDE, replace(EFFORT, squares=100))
    sources = [set(parts[split].sources) for split in SPLITS]
    assert sum(map(len, sources)) == len(set().union(*sources)) == 20
    assert list(failed) == [str(folder / "broken.png")]
    assert sum(len(part) for part in parts.values()) == pytest.approx(100, abs=20)


def test_the_seed_decides_which(folder):
    effort = replace(EFFORT, squares=20)
    tests = [
        set(read_photographs([folder], SIDE, effort, seed=seed)[0]["test"].sources)
        for seed in (0, 0, 1)
    ]
    assert tests[0] == tests[1] != tests[2]


def test_the_card_counts_every_part(folder):
    parts, _ = read_photographs([folder], SIDE, replace(EFFORT, squares=40))
    told = described(parts)
    assert told["sha256"] == parts["train"].sha256
    assert {name: one["squares"] for name, one in told["parts"].items()} == {
        name: len(part) for name, part in parts.items()
    }


def pictures(count: int, flat: set[int]) -> Images:
    images = as_bytes(photographs(count, seed=5))
    for number in flat:
        images[number] = 255
    return Images(images, {}, sources=[f"photograph {number // 4}" for number in range(count)])


def test_squares_are_spread_over_the_photographs_and_flat_ones_left_out():
    found = chosen(pictures(24, flat={0, 9}), 6)
    assert len(found) == 6
    assert len(set(found.sources)) == 6
    assert all(image.float().std() > 1 for image in found.images)


def test_fewer_squares_than_wanted_are_all_taken():
    found = chosen(pictures(8, flat={3}), 100)
    assert torch.equal(found.images, pictures(8, flat=set()).images[np.delete(np.arange(8), 3)])


def test_nothing_but_flat_squares_is_refused():
    with pytest.raises(ValueError, match="flat"):
        chosen(pictures(4, flat={0, 1, 2, 3}), 2)
