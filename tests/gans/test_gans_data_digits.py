"""Handwritten digits: bytes, margins and labels of what the recipe fetched."""

import json

import numpy as np
import pytest
import torch

from gandetect.gans.digits import digits, small_digits


@pytest.fixture
def folder(tmp_path):
    """Files as `recipes/digits.py` leaves them, `digit + 1` digits in each."""
    rng = np.random.default_rng(0)
    for digit in range(10):
        levels = rng.integers(0, 256, (digit + 1) * 784)
        text = json.dumps({"data": [round(level / 255, 4) for level in levels.tolist()]})
        (tmp_path / f"{digit}.json").write_text(text)
    return tmp_path


def test_bytes_labels_and_margin(folder):
    found = digits(folder)
    assert found.images.shape == (55, 1, 32, 32)
    assert found.labels.bincount().tolist() == list(range(1, 11))
    levels = np.random.default_rng(0).integers(0, 256, 784).reshape(28, 28)
    assert np.array_equal(found.images[0, 0, 2:30, 2:30].numpy(), levels)
    found.images[:, :, 2:30, 2:30] = 0
    assert found.images.count_nonzero() == 0


def test_sizes(folder):
    assert digits(folder, 28).images.shape == (55, 1, 28, 28)
    for size in (16, 31):
        with pytest.raises(ValueError, match="even number from 28"):
            digits(folder, size)


def test_the_card_names_source_and_license(folder):
    card = digits(folder).card()
    assert "mnist 1.1.0" in card["source"]
    assert card["license"].startswith("MIT")
    assert card["classes"] == [str(digit) for digit in range(10)]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"data": 3}', '{"data": [0.5]}', '{"data": []}', "{", '{"data": ["x"]}']
)
def test_another_file_is_refused(text, folder):
    (folder / "3.json").write_text(text)
    with pytest.raises(ValueError, match=r"3\.json: not a file of digits"):
        digits(folder)


def test_values_beyond_0_to_1_are_refused(folder):
    (folder / "3.json").write_text(json.dumps({"data": [255] * 784}))
    with pytest.raises(ValueError, match=r"3\.json: not a file of digits; want .* from 0 to 1"):
        digits(folder)


def test_a_missing_file_says_how_to_fetch_it(tmp_path):
    with pytest.raises(ValueError, match=r"recipes/digits\.py"):
        digits(tmp_path)


def test_the_small_digits_of_scikit_learn():
    found = small_digits()
    assert found.images.shape == (1797, 1, 8, 8)
    assert found.images.max() == 255
    means = torch.stack([found.images[found.labels == d].float().mean(0) for d in range(10)])
    distance = (found.images.float()[:, None] - means).flatten(2).norm(dim=2)
    assert (distance.argmin(1) == found.labels).float().mean() > 0.85
