"""Image files drawn from a checkpoint: named by seed and number, in parts that add up to a whole.

Image i of a seed is the same whoever draws it, so a run that was killed goes on with the files that
are missing, and shards on several machines give together what one run gives. Each file says in its
metadata which checkpoint, seed and number it is; `generated.json` says it of the folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.conditions import Conditions, conditions_of
from gandetect.gans.inference import for_inference
from gandetect.gans.model import GenerativeModel
from gandetect.gans.registry import load_model
from gandetect.gans.sampling import TOGETHER, check_latents, interpolated, sample, save_grid
from gandetect.ops.conventions import member
from gandetect.tensorfile import write_whole

FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
LISTING = "generated.json"
IN_GRID = 64
WAYS, STEPS = 8, 8
_KEY = "gandetect"
# (what, done, total)
Progress = Callable[[str, int, int], None]
Facts = dict[str, Any]


@dataclass(frozen=True)
class Writing:
    """How images become files: `format` of `FORMATS`, `quality` of the lossy ones, and whether
    `metadata` say what an image is. Without, nothing but the pixels tells them from other files."""

    format: str = "png"
    quality: int = 95
    metadata: bool = True

    def __post_init__(self) -> None:
        member("format", self.format, tuple(FORMATS))
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality={self.quality} given; want 1 to 100")

    def encoded(self, image: Tensor, facts: Facts) -> bytes:
        """The file of `image` (1 or 3, H, W) uint8."""
        picture = as_picture(image)
        out = io.BytesIO()
        told: dict[str, Any] = {}
        if self.metadata:
            told = {"pnginfo": _texts(facts)} if self.format == "png" else {"exif": _exif(facts)}
        if self.format != "png":
            told["quality"] = self.quality
        picture.save(out, FORMATS[self.format], **told)
        return out.getvalue()


@dataclass(frozen=True)
class Generated:
    """What a run left: how many files it `made` and how many it found and `kept`."""

    model: str
    checkpoint_sha256: str
    seed: int
    made: int
    kept: int


def generate(
    source: str | Path,
    folder: str | Path,
    count: int,
    *,
    seed: int = 0,
    shard: tuple[int, int] = (1, 1),
    writing: Writing | None = None,
    labels: Sequence[int] | None = None,
    conditions: Mapping[str, Tensor] | None = None,
    truncation: float | None = None,
    grid: str | Path | None = None,
    between: str | Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Generated:
    """Write images 0 to `count` - 1 of `seed` from the checkpoint or run `source` to `folder`.

    `shard` (i, n): the i-th of n parts, which are disjoint and together the whole. `labels`: the
    classes of a conditional model, image i has the one at i modulo their number; None for all its
    classes in turn. `conditions`: what else its `draw` takes, rows that images have in turn.
    `truncation`: of models that have one; None is the configuration's.
    `grid`: a file for a sheet of the first `IN_GRID` images; `between`: one for a sheet of ways
    from image to image through the latents, a row each. Files that are there and whole are kept.
    One machine, device and number of threads gives the same bytes.

    Raises ValueError where `source` is no checkpoint, `folder` holds other images or an argument
    cannot be; OSError where a file cannot be written.
    """
    writing = writing or Writing()
    number, parts = shard
    if count < 1 or not 1 <= number <= parts or seed < 0:
        raise ValueError(
            f"count={count}, shard={number}/{parts}, seed={seed} given; want at least 1 image, "
            "shard 1/n to n/n and a seed from 0 up"
        )
    model, facts, training = opened(source)
    if between is not None:
        check_latents(model)
    asked = conditions_of(model, labels, conditions, truncation)
    if truncation is not None:
        # Refused before the folder is claimed for it.
        draw(model, range(1), seed, asked)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    series = _Series(for_inference(model.to(device)), folder, seed, writing, facts, asked)
    series.claim(count, training)
    made = kept = 0
    for begin in range((number - 1) * TOGETHER, count, parts * TOGETHER):
        if progress:
            progress("drawing images", begin // parts, -(-count // parts))
        new, old = series.write(range(begin, min(begin + TOGETHER, count)))
        made, kept = made + new, kept + old
    if grid is not None:
        save_grid(draw(series.model, range(min(IN_GRID, count)), seed, asked), grid)
    if between is not None:
        ways = asked.of(range(WAYS))
        save_grid(interpolated(series.model, WAYS, STEPS, seed=seed, **ways), between, STEPS)
    return Generated(facts["model"], facts["checkpoint_sha256"], seed, made, kept)


def opened(source: str | Path) -> tuple[GenerativeModel, Facts, Facts]:
    """The model of a checkpoint or run; its name and the SHA-256 of the file; how it was trained.

    Raises ValueError where it is no checkpoint or was replaced meanwhile.
    """
    path = Path(source)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint; give a run of `gandetect train`, or a file")
    digest = _sha256(path)
    model, card = load_model(path), Checkpoint.load(path).card
    if _sha256(path) != digest:
        raise ValueError(f"{path}: training replaced it while it was read; try again")
    facts = {"model": model.name, "checkpoint_sha256": digest}
    return model, facts, {key: card[key] for key in ("seed", "step", "data")}


def draw(model: GenerativeModel, numbers: range, seed: int, conditions: Conditions) -> Tensor:
    """Images `numbers` of `seed`, each as its conditions say: (N, C, S, S) uint8."""
    asked = conditions.of(numbers)
    return sample(model, len(numbers), seed=seed, first=numbers.start, **asked)


def as_picture(image: Tensor) -> Image.Image:
    """(1 or 3, H, W) uint8 as a gray or RGB picture."""
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def read_facts(path: str | Path) -> Facts | None:
    """What an image file says of its making; None where it says nothing or is damaged.

    The whole picture is decoded, so that facts are given of whole files alone.
    """
    try:
        with Image.open(path, formats=list(FORMATS.values())) as picture:
            picture.load()
            said = picture.info.get(_KEY) or picture.getexif().get(
                ExifTags.Base.ImageDescription, ""
            )
            facts = json.loads(said)
    except Exception:
        # Pillow raises whatever a damaged file makes it trip over.
        return None
    return facts if isinstance(facts, dict) else None


class _Series:
    """The images of one model and seed as files of one folder."""

    def __init__(
        self,
        model: GenerativeModel,
        folder: Path,
        seed: int,
        writing: Writing,
        facts: Facts,
        conditions: Conditions,
    ) -> None:
        self.model, self.folder, self.seed, self.writing = model, folder, seed, writing
        self.facts, self.conditions = facts, conditions
        self.is_known = False

    def claim(self, count: int, training: Facts) -> None:
        """Write `generated.json`; ValueError where the folder holds other images."""
        path = self.folder / LISTING
        said = {
            **self.facts,
            "config": self.model.config.to_dict(),
            "training": training,
            "seed": self.seed,
            "conditions": self.conditions.told(),
            "format": self.writing.format,
            "quality": None if self.writing.format == "png" else self.writing.quality,
            "metadata": self.writing.metadata,
            "files": self._name("NUMBER"),
            "gandetect": version("gandetect"),
        }
        known = _read_listing(path)
        # JSON has no tuples.
        said = json.loads(json.dumps(said))
        others = sorted(key for key in said if known and known.get(key) != said[key])
        if others:
            raise ValueError(
                f"{self.folder}: holds images of another {', '.join(others)}, see {LISTING}; "
                "give another folder"
            )
        self.is_known = known is not None
        most = max(count, int((known or {}).get("count", 0)))
        if known is None or known["count"] != most:
            write_whole(path, (json.dumps({**said, "count": most}, indent=1) + "\n").encode())

    def write(self, numbers: range) -> tuple[int, int]:
        """Make the missing ones of images `numbers`; how many were made and how many were there."""
        missing = [number for number in numbers if not self._is_whole(number)]
        if missing:
            images = draw(self.model, numbers, self.seed, self.conditions)
            for number in missing:
                data = self.writing.encoded(images[number - numbers.start], self._facts(number))
                _put(self.folder / self._name(number), data)
        return len(missing), len(numbers) - len(missing)

    def _is_whole(self, number: int) -> bool:
        path = self.folder / self._name(number)
        if not path.exists():
            return False
        if self.writing.metadata:
            return read_facts(path) == self._facts(number)
        return self.is_known and _decodes(path)

    def _facts(self, number: int) -> Facts:
        told = self.conditions.facts(number)
        return {**self.facts, "seed": self.seed, "number": number, **told}

    def _name(self, number: int | str) -> str:
        told = number if isinstance(number, str) else f"{number:08d}"
        suffix = {"jpeg": "jpg"}.get(self.writing.format, self.writing.format)
        return f"seed{self.seed}-{told}.{suffix}"


def _read_listing(path: Path) -> Facts | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("count"), int):
        raise ValueError(f"{path}: not written by gandetect; give another folder")
    return found


def _texts(facts: Facts) -> PngInfo:
    info = PngInfo()
    info.add_text("Software", f"gandetect {version('gandetect')}")
    info.add_text(_KEY, json.dumps(facts))
    return info


def _exif(facts: Facts) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = f"gandetect {version('gandetect')}"
    exif[ExifTags.Base.ImageDescription] = json.dumps(facts)
    return exif


def _decodes(path: Path) -> bool:
    try:
        with Image.open(path, formats=list(FORMATS.values())) as picture:
            picture.load()
    except Exception:
        return False
    return True


def _put(path: Path, data: bytes) -> None:
    """Whole or not at all when the program is killed.

    The disk is not waited for, which would cost more than the drawing: a run that goes on decodes
    what it finds.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 24):
            digest.update(part)
    return digest.hexdigest()
