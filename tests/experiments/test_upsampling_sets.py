"""The image sets of the up-sampling experiment: written alike, read back, grouped by photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from upsampling_sets import EFFORT, PER_PHOTOGRAPH, SIDE, as_bytes, photographs, sets

from gandetect.detect.features import extract
from gandetect.detect.perturbations import named
from gandetect.experiments.upsampling import sets as room
from gandetect.experiments.upsampling.pictures import SPECS, Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.sets import write_set


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sets(tmp_path_factory.mktemp("sets"))


def test_files_hold_the_pixels_and_nothing_else(tmp_path):
    images = as_bytes(photographs(3, seed=1))
    write_set(tmp_path, "one", {"test": images})
    for number, image in enumerate(images):
        with Image.open(tmp_path / "sets" / "one" / "test" / f"{number:05d}.png") as picture:
            assert picture.mode == "RGB"
            assert picture.info == {}
            assert np.array_equal(np.array(picture), image.permute(1, 2, 0).numpy())


def test_files_of_an_earlier_run_with_more_images_go(tmp_path):
    write_set(tmp_path, "one", {"test": as_bytes(photographs(5, seed=1))})
    write_set(tmp_path, "one", {"test": as_bytes(photographs(3, seed=2))})
    assert len(list((tmp_path / "sets" / "one" / "test").glob("*"))) == 3


def test_gray_images_become_rgb_like_the_others(tmp_path):
    write_set(tmp_path, "one", {"test": as_bytes(photographs(1, seed=1))[:, :1]})
    with Image.open(tmp_path / "sets" / "one" / "test" / "00000.png") as picture:
        assert picture.mode == "RGB"


def test_splits_of_a_generator_have_latents_of_their_own(tmp_path, monkeypatch):
    asked = []

    def drawn(model, count, *, seed):
        asked.append((model, count, seed))
        return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)

    monkeypatch.setattr(room, "load_model", lambda path: path)
    monkeypatch.setattr(room, "sample", drawn)
    counts = {"train": 5, "validation": 2, "test": 3}
    room._write_generated(tmp_path, "nearest", counts, seed=4)
    ((model, count, seed),) = asked
    assert model == tmp_path / "runs" / "nearest"
    assert count == 10
    assert seed > 1000
    found = Pictures(tmp_path, counts, {})
    numbers = [found.color("nearest", split)[:, 0, 0, 0].tolist() for split in counts]
    assert numbers == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]


def test_classes_are_equally_large_in_every_split(made):
    for split, count in EFFORT.counts.items():
        for name in (REAL, *made.names):
            assert made.pictures.planes(name, split).shape == (count, SIDE, SIDE)
            assert len(made.pictures.groups(name, split)) == count


def test_reals_are_grouped_by_photograph_and_generated_images_by_themselves(made):
    real, generated = (made.pictures.groups(name, "test") for name in (REAL, "striped"))
    assert len(set(real)) == EFFORT.counts["test"] / PER_PHOTOGRAPH
    assert len(set(generated)) == EFFORT.counts["test"]


def test_missing_files_are_noticed(tmp_path):
    made = sets(tmp_path, ("striped",))
    (tmp_path / "sets" / "striped" / "test" / "00003.png").unlink()
    with pytest.raises(ValueError, match="23 images, of 24"):
        made.pictures.planes("striped", "test")


def test_a_perturbation_is_that_of_the_grid(made):
    (jpeg,) = named("jpeg-75")
    planes = made.pictures.planes(REAL, "test")
    found = made.pictures.planes(REAL, "test", "jpeg-75")
    assert torch.equal(found[5], jpeg.apply(planes[5]))
    assert not torch.equal(found[5], planes[5])


@pytest.mark.parametrize(("step", "side"), [("resize-0.75", 24), ("resize-1.5", SIDE)])
def test_resized_images_keep_their_scale(made, step, side):
    (resize,) = named(step)
    whole = resize.apply(made.pictures.planes(REAL, "test")[2])
    found = made.pictures.planes(REAL, "test", step)[2]
    margin = (whole.shape[0] - side) // 2
    assert torch.equal(found, whole[margin : margin + side, margin : margin + side])


@pytest.mark.parametrize("kind", SPECS)
def test_features_of_resized_images_are_as_many(made, kind):
    clean, small = (
        made.pictures.features(kind, REAL, "test", step) for step in ("none", "resize-0.75")
    )
    assert clean.shape == small.shape
    assert np.isfinite(clean).all()
    assert np.isfinite(small).all()


@pytest.mark.parametrize("kind", SPECS)
def test_features_tell_nothing_of_brightness(made, kind):
    planes = made.pictures.planes(REAL, "test").clamp(40, 200)
    dark, light = (extract(planes + shift, SPECS[kind]) for shift in (-30, 30))
    assert torch.allclose(dark, light, atol=1e-3)
