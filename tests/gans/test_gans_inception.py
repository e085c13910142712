"""FID and KID: by torch-fidelity with the right weights, else an error and never a number."""

from __future__ import annotations

import hashlib
import sys
import types

import pytest
import torch

from gandetect.gans import inception
from gandetect.gans.inception import fid_and_kid


def images(count, channels, seed):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, 16, 16), generator=rng, dtype=torch.uint8)


GENERATED, REAL = images(9, 1, 1), images(10, 1, 2)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file that passes for the weights."""
    path = tmp_path / inception.NAME
    path.write_bytes(b"weights")
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(b"weights").hexdigest())
    return path


@pytest.fixture
def library(monkeypatch):
    """A stand-in for torch-fidelity that keeps what it was called with."""
    calls = []

    def calculate_metrics(**options):
        calls.append(options)
        return {
            "frechet_inception_distance": 12.5,
            "kernel_inception_distance_mean": 0.25,
            "kernel_inception_distance_std": 0.125,
        }

    stand_in = types.SimpleNamespace(calculate_metrics=calculate_metrics)
    monkeypatch.setitem(sys.modules, "torch_fidelity", stand_in)
    return calls


def test_no_file_no_number(tmp_path, library):
    with pytest.raises(ValueError, match=f"no such file.*get {inception.NAME}.*https://github.com"):
        fid_and_kid(GENERATED, REAL, tmp_path / "nothing.pth")
    assert library == []


def test_other_weights_no_number(tmp_path, library):
    path = tmp_path / inception.NAME
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=f"other weights.*get {inception.NAME}"):
        fid_and_kid(GENERATED, REAL, path)
    assert library == []


def test_no_library_no_number(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r"pip install 'gandetect\[fid\]'"):
        fid_and_kid(GENERATED, REAL, weights)


def test_what_the_library_is_asked(weights, library):
    found = fid_and_kid(GENERATED, REAL, weights)
    assert found == {"fid": 12.5, "kid": 0.25, "kid_deviation": 0.125}
    (asked,) = library
    assert asked["feature_extractor_weights_path"] == str(weights)
    assert asked["kid_subset_size"] == 9
    assert len(asked["input1"]) == 9
    assert len(asked["input2"]) == 10
    first = asked["input2"][0]
    assert first.dtype == torch.uint8
    assert torch.equal(first, REAL[0].expand(3, -1, -1))


def test_images_are_checked(weights, library):
    with pytest.raises(TypeError, match="want uint8"):
        fid_and_kid(GENERATED.float(), REAL, weights)
    assert library == []
