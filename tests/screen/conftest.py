"""A detector with arbitrary weights, and a corpus of good and bad files made on the fly."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media"))

from making_corpus import make_corpus, make_model
from making_media import image_bytes, noise, write_clip

from gandetect.detect import Model


@pytest.fixture(scope="session")
def model() -> Model:
    return make_model()


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "arbitrary.safetensors"
    make_model().save(path)
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photographs and two clips that are as they should be."""
    folder = tmp_path_factory.mktemp("clips")
    for i, (height, width) in enumerate([(128, 128), (200, 150), (64, 64), (97, 131)]):
        kind = ("JPEG", "PNG")[i % 2]
        (folder / f"{i}.{kind.lower()}").write_bytes(image_bytes(noise(height, width, i), kind))
    write_clip(folder / "a.mp4", 50)
    write_clip(folder / "b.webm", 12, codec="libvpx-vp9", size=96)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of CORPUS."""
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    return folder
