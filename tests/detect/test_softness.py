"""Soft images are judged only where something but their softness speaks of up-sampling."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from gandetect.detect import load_shipped, softness
from gandetect.detect.delivery import LOSSLESS, SOFT, is_soft, pixel_delivery
from gandetect.detect.simulate import compress, upsampled
from gandetect.detect.softness import judged_delivery, lossless_delivery


@pytest.fixture(scope="module")
def model():
    return load_shipped()


@pytest.fixture(scope="module")
def planes(photographs):
    return [photograph().float()[:256, :256] for photograph in photographs]


@pytest.fixture(scope="module")
def soft_generated(planes):
    """Soft images by pixel shuffles and beds of nails."""
    made = [
        upsampled(plane, (mode,) * 2, np.random.default_rng(seed)).clamp(0, 255).round()
        for plane in planes
        for mode in ("pixel_shuffle", "bed_of_nails")
        for seed in range(4)
    ]
    found = [one.to(torch.uint8).numpy() for one in made]
    return [one for one in found if is_soft(one)]


def test_crisp_images_are_judged_by_their_compression(model, planes):
    known = [plane.numpy().astype(np.uint8) for plane in planes]
    found = [plane for plane in known if not is_soft(plane)]
    assert len(found) >= 2
    for crisp in found:
        for compression in (LOSSLESS, "JPEG mid"):
            assert judged_delivery(model, crisp, compression) == compression


def test_soft_images_that_show_learned_up_sampling_are_judged(model, soft_generated):
    assert len(soft_generated) >= 4
    judged = [judged_delivery(model, one, LOSSLESS) for one in soft_generated]
    assert judged.count(LOSSLESS) >= len(judged) // 5
    assert set(judged) <= {LOSSLESS, SOFT}


def test_compression_buries_what_would_speak_for_them(model, soft_generated):
    assert {judged_delivery(model, one, "JPEG high") for one in soft_generated} == {SOFT}


def test_blurred_photographs_are_not_judged(model, planes):
    for plane in planes:
        for sigma in (1.0, 2.0):
            blurred = ndimage.gaussian_filter(plane.numpy(), sigma).round().astype(np.uint8)
            assert judged_delivery(model, blurred, LOSSLESS) == SOFT


def test_a_model_without_references_judges_no_soft_image(linear_model, soft_generated):
    assert {judged_delivery(linear_model, one, LOSSLESS) for one in soft_generated} == {SOFT}


def test_what_is_left_out_for_lossless_files_changes_no_answer(model, planes, soft_generated):
    crisp = [plane.numpy().astype(np.uint8) for plane in planes]
    blurred = [ndimage.gaussian_filter(plane, 1.5) for plane in crisp]
    hidden = [compress(torch.from_numpy(one), 80).numpy() for one in (*crisp, *soft_generated)]
    answers = []
    for one in (*crisp, *blurred, *soft_generated, *hidden):
        answers.append(lossless_delivery(model, one))
        assert answers[-1] == judged_delivery(model, one, pixel_delivery(one))
    assert {LOSSLESS, SOFT} < set(answers)


def test_no_steps_are_looked_for_in_blurred_photographs(model, planes, monkeypatch):
    monkeypatch.setattr(softness, "pixel_delivery", None)
    for plane in planes:
        blurred = ndimage.gaussian_filter(plane.numpy(), 1.5).round().astype(np.uint8)
        assert lossless_delivery(model, blurred) == SOFT
