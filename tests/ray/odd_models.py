"""Detectors that go wrong, importable by every process that unpickles them."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from torch import Tensor

from gandetect.detect import Model

# The mean gray level above which a picture is poison; see `poison` in conftest.py.
POISON = 225


class _Wrapped:
    """A model that answers for another one."""

    def __init__(self, model: Model, *options: Any) -> None:
        self.model, self.options = model, options
        self.name, self.sha256, self.card = model.name, model.sha256, model.card
        self.tile, self.min_side = model.tile, model.min_side
        self.ignores_brightness = model.ignores_brightness
        self.arrays, self.to_bytes = model.arrays, model.to_bytes
        self.probability, self.thresholds = model.probability, model.thresholds

    def __reduce__(self) -> Any:
        return type(self), (self.model, *self.options)

    def logits(self, images: Tensor) -> Tensor:
        return self.model.logits(images)


class Poisonable(_Wrapped):
    """Kills its process when it sees a very bright picture."""

    def logits(self, images: Tensor) -> Tensor:
        if (images.float().mean(dim=(1, 2)) > POISON).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.model.logits(images)


class Slow(_Wrapped):
    """Takes its time: `options` are the seconds for a batch."""

    def logits(self, images: Tensor) -> Tensor:
        time.sleep(self.options[0])
        return self.model.logits(images)


class LosesItsMachine(_Wrapped):
    """Takes down the whole task, not just a supervised process, of any shard that holds the file
    named in `options`."""

    def __init__(self, model: Model, *options: Any) -> None:
        super().__init__(model, *options)
        self.thresholds = self._thresholds

    def _thresholds(self, fpr: float = 0.05, **more: Any) -> Any:
        frame: Any = sys._getframe()
        while frame is not None:
            sources = frame.f_locals.get("sources", ())
            if frame.f_code.co_name == "process_shard" and any(
                source.path.endswith(self.options[0]) for source in sources
            ):
                os.kill(os.getpid(), signal.SIGKILL)
            frame = frame.f_back
        return self.model.thresholds(fpr, **more)
