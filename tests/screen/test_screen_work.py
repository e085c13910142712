"""What one worker does with a chunk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from making_corpus import make_model
from making_media import image_bytes, noise, write_clip
from torch import Tensor

from gandetect.detect import Model
from gandetect.screen.decode import FileEnd
from gandetect.screen.pipeline import ScreenOptions, limits_for
from gandetect.screen.pool import Chunk
from gandetect.screen.sources import Skipped, Source, find_files
from gandetect.screen.work import Worker


class Recorder:
    """A model that notes what it is given."""

    tile, min_side, ignores_brightness = 64, 32, True

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[int, ...], torch.dtype]] = []

    def logits(self, images: Tensor) -> Tensor:
        self.seen.append((images.device.type, tuple(images.shape), images.dtype))
        return torch.arange(len(images)).float()


def chunk_of(folder: Path) -> Chunk[Source]:
    return Chunk([found for found in find_files([folder]) if isinstance(found, Source)])


def nobody(position: int, steps: int) -> None:
    """Nobody watches."""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        (folder / f"{i}.png").write_bytes(image_bytes(noise(128, 64, i), "PNG"))
    return folder


def test_files_share_batches(pictures: Path) -> None:
    model = Recorder()
    scored = Worker(ScreenOptions().work(model, batch_size=4))(chunk_of(pictures), nobody)
    assert [shape for _, shape, _ in model.seen] == [(4, 64, 64), (4, 64, 64), (2, 64, 64)]
    assert scored.counts == [1] * 5
    assert list(scored.frames.logit) == [0.5, 2.5, 0.5, 2.5, 0.5]


def test_squares_are_moved_to_the_device(pictures: Path) -> None:
    """As far as a processor can show it: nothing here ran on a GPU."""
    model = Recorder()
    Worker(ScreenOptions().work(model, device="meta"))(chunk_of(pictures), nobody)
    assert {device for device, _, _ in model.seen} == {"meta"}


def test_television_range_reaches_the_model_as_decoded(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 4)
    model = Recorder()
    Worker(ScreenOptions().work(model))(chunk_of(tmp_path), nobody)
    assert {dtype for _, _, dtype in model.seen} == {torch.uint8}


def test_what_is_no_media_and_what_is_broken_have_no_frames(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    (tmp_path / "b.png").write_bytes(image_bytes(noise(64, 64), "PNG")[:3000])
    (tmp_path / "c.txt").write_text("nothing to see")
    (tmp_path / "d.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    scored = Worker(ScreenOptions().work(make_model()))(chunk_of(tmp_path), nobody)
    kinds = [end.status if isinstance(end, FileEnd) else end.reason for end in scored.ends]
    assert kinds == ["ok", "error", "not_media", "ok"]
    assert isinstance(scored.ends[2], Skipped)
    assert scored.counts == [1, 0, 0, 1]
    assert len(set(scored.frames.logit)) == 1


def test_a_decoder_that_breaks_late_leaves_no_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gandetect.screen import decode

    class Breaks(decode.Shots):
        def of(self, pixels: Tensor) -> int:
            if self._shot == 7:
                raise ZeroDivisionError("surprise")
            self._shot += 1
            return 0

    monkeypatch.setattr(decode, "Shots", Breaks)
    write_clip(tmp_path / "a.mp4", 30)
    (tmp_path / "b.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    model = Recorder()
    scored = Worker(ScreenOptions().work(model))(chunk_of(tmp_path), nobody)
    assert [end.status for end in scored.ends if isinstance(end, FileEnd)] == ["error", "ok"]
    assert scored.counts == [0, 1]
    assert [shape for _, shape, _ in model.seen] == [(1, 64, 64)]


def test_signs_of_life_are_given(tmp_path: Path, model: Model) -> None:
    write_clip(tmp_path / "a.mp4", 6)
    (tmp_path / "b.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    beats: list[tuple[int, int]] = []
    Worker(ScreenOptions().work(model))(chunk_of(tmp_path), lambda *beat: beats.append(beat))
    assert beats[0] == (0, 0)
    assert [steps for position, steps in beats if position == 0][-1] == 6
    assert beats[-1] == (2, 0)


def test_memory_is_not_refused_to_drivers() -> None:
    assert limits_for("cpu", None).hard
    assert not limits_for("cuda", None).hard


PREPARED = """
import numpy as np
from threadpoolctl import threadpool_info

from gandetect.detect import load_shipped
from gandetect.screen.pipeline import ScreenOptions
from gandetect.screen.work import prepare

np.ones((2, 2)) @ np.ones((2, 2))
prepare(ScreenOptions().work(load_shipped(), 64, "cpu"))
print(sorted({pool["num_threads"] for pool in threadpool_info()}))
"""


def test_a_worker_has_one_thread_for_each_library() -> None:
    """Threads that multiply matrices by turns with those of the other workers wait for them."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "3"}
    said = subprocess.run(
        [sys.executable, "-c", PREPARED], env=environment, capture_output=True, check=True
    )
    assert said.stdout.strip() == b"[1]"
