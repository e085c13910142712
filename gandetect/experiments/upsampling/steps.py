"""Steps that are made once: a run that was killed goes on with the step it was killed in.

Each step writes one file, whole or not at all, with a digest of what it was made from. Where that
is the same, the file is read in the place of the work.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gandetect import __version__
from gandetect.tensorfile import canonical, content_digest, pack, unpack, write_whole

_KEY = "gandetect_step"
# Raised where a step's result means something else than it did.
_VERSION = 1


class Steps:
    """The steps of the experiment in `folder`. `seconds`: what each took, when it was made."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.seconds: dict[str, float] = {}
        self._digests: dict[str, str] = {}

    def document(self, name: str, inputs: Any, compute: Callable[[], Any]) -> Any:
        """What `compute()` gives, as JSON has it; from the file where that has the same `inputs`.

        `inputs`: JSON values that decide the result. Raises ValueError where the result holds a
        number that is none.
        """
        path, key = self.folder / f"{name}.json", _digest(inputs)
        found = _read_document(path)
        if found is None or found["inputs"] != key:
            begun = time.monotonic()
            result = compute()
            found = {"inputs": key, "seconds": time.monotonic() - begun, "result": result}
            _write(path, json.dumps(found, indent=1, allow_nan=False).encode())
            found = json.loads(path.read_text(encoding="utf-8"))
        self.seconds[name] = found["seconds"]
        self._digests[name] = _digest([key, found["result"]])
        return found["result"]

    def tensors(
        self, name: str, inputs: Any, compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The same for a step that gives tensors."""
        path, key = self.folder / f"{name}.safetensors", _digest(inputs)
        found = _read_tensors(path, key)
        if found is None:
            begun = time.monotonic()
            result = {which: value.contiguous() for which, value in compute().items()}
            card: dict[str, Any] = {"inputs": key, "seconds": time.monotonic() - begun}
            _write(path, pack(result, card, _KEY))
            found = result, card
        tensors, card = found
        self.seconds[name] = card["seconds"]
        self._digests[name] = content_digest(tensors, {"inputs": key})
        return tensors

    def digest(self, *names: str) -> list[str]:
        """What the results of the steps `names` are recognized by, as inputs of later ones.

        Raises KeyError for one that was not taken.
        """
        return [self._digests[name] for name in names]


def _digest(inputs: Any) -> str:
    told = canonical([_VERSION, __version__, inputs])
    return hashlib.sha256(told.encode()).hexdigest()


def _read_document(path: Path) -> dict[str, Any] | None:
    """The step's file; None where there is none or it is damaged, so that it is made anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    whole = isinstance(found, dict) and set(found) == {"inputs", "seconds", "result"}
    return found if whole else None


def _read_tensors(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    try:
        tensors, card = unpack(path.read_bytes(), _KEY, "step", str(path))
    except (FileNotFoundError, ValueError):
        return None
    return (tensors, card) if card.get("inputs") == key else None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
