"""One local Ray of two CPUs for the suite, and media for it."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TESTS = Path(__file__).resolve().parents[1]
PLACES = [str(TESTS / name) for name in ("media", "screen", "ray")]
sys.path[:0] = PLACES
# For the processes that Ray starts: models are unpickled there.
os.environ["PYTHONPATH"] = os.pathsep.join(PLACES)

# ruff: noqa: E402
EXPECTED = os.environ.get("GANDETECT_EXPECT_RAY") == "1"
MISSING = importlib.util.find_spec("ray") is None
if MISSING and not EXPECTED:
    collect_ignore_glob = ["test_*.py"]

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
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty photographs and twelve clips, of three different contents each."""
    folder = tmp_path_factory.mktemp("many")
    originals = [image_bytes(noise(128, 160, i), "JPEG") for i in range(3)]
    clips = [write_clip(folder / f"{i}.mp4", 20 + 10 * i) for i in range(3)]
    for i in range(60):
        (folder / f"{i:02}.jpg").write_bytes(originals[i % 3])
    for i in range(3, 12):
        os.link(clips[i % 3], folder / f"{i}.mp4")
    return folder


@pytest.fixture(scope="session")
def poison() -> bytes:
    """A picture that kills the process of an `odd_models.Poisonable`."""
    return image_bytes((noise(128, 128) // 10 + 230).astype(np.uint8), "PNG")


@pytest.fixture(scope="session")
def ray_here() -> Iterator[Any]:
    """A Ray that this process is connected to, so that runs share it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=128 << 20,
    )
    yield ray
    ray.shutdown()
