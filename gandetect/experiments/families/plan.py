"""What the atlas of families trains and how much it measures: plain values, decided beforehand.

Families of one size and kind of image are compared with each other, in a world of their own reals:
a detector of 64 pixels in color has nothing to say of 32 gray ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gandetect.experiments.upsampling.plan import Effort

# Those of this package that draw photographs, the cheapest of each kind first. Perceptrons and
# models of classes want other data, and what draws counted things draws scenes.
FAMILIES = (
    "dcgan",
    "lsgan",
    "wgan-gp",
    "dragan",
    "sngan",
    "autoencoder",
    "vae",
    "vqvae2",
    "stylegan2",
    "progan",
    "stylegan",
    "biggan",
    "unet",
    "cyclegan",
    "gaugan",
    "pixelcnn",
    "pixelrnn",
)
EFFORTS = {
    "smoke": Effort(
        squares=400,
        counts={"train": 60, "validation": 30, "test": 40},
        replicates=100,
        trees=20,
        epochs=1,
        draws=1,
        sizes=(),
        perturbations=(),
    ),
    "run": Effort(
        squares=24_000,
        counts={"train": 1000, "validation": 300, "test": 600},
        replicates=1000,
        trees=200,
        epochs=8,
        draws=1,
        sizes=(),
        perturbations=(),
    ),
}


def families() -> tuple[str, ...]:
    """`FAMILIES`, and what other models are registered that learn from photographs alone."""
    from gandetect.gans.registry import MODELS, model_class

    others = [name for name in MODELS if name not in FAMILIES]
    return (*FAMILIES, *(name for name in others if model_class(name).draws_photographs))


@dataclass(frozen=True)
class World:
    """A kind of image: `size` pixels, `channels`, and how many gray `levels` a channel has."""

    size: int
    channels: int
    levels: int = 256

    @property
    def name(self) -> str:
        """Fit for a folder: `64px`, `32px-gray-16-levels`."""
        parts = [f"{self.size}px"]
        parts += ["gray"] if self.channels == 1 else []
        parts += [f"{self.levels}-levels"] if self.levels < 256 else []
        return "-".join(parts)


@dataclass(frozen=True)
class Options:
    """What the user decides.

    `preset`: of every family and of the effort. `families`: of `families()`. `steps`: of each
    training; None is the preset's. `loaded`: by family, the run's folder or the checkpoint that is
    taken in place of a training. `threads`: of torch; None takes what torch has. `precision`: of
    the training, one of `gans.training.PRECISIONS`.

    Raises ValueError for unknown names and numbers that cannot be.
    """

    preset: str = "run"
    families: tuple[str, ...] = field(default_factory=families)
    seed: int = 0
    steps: int | None = None
    threads: int | None = None
    precision: str = "float32"
    loaded: Mapping[str, str | Path] = field(default_factory=dict)
    effort: Effort = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.preset not in EFFORTS:
            raise ValueError(f"preset {self.preset!r} given; choose from {tuple(EFFORTS)}")
        known = families()
        unknown = sorted(set(self.families) - set(known))
        if unknown:
            raise ValueError(f"families {unknown} given; choose from {known}")
        if strangers := sorted(set(self.loaded) - set(self.families)):
            raise ValueError(f"{strangers} loaded, which are not among the families asked for")
        if len(set(self.families)) < 2:
            raise ValueError(f"families {self.families} given; comparing takes two or more")
        for name in ("steps", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} given; want at least 1")
        object.__setattr__(self, "effort", EFFORTS[self.preset])

    @property
    def ordered(self) -> tuple[str, ...]:
        """The families in the order of their training."""
        return tuple(name for name in families() if name in self.families)

    def to_dict(self) -> dict[str, Any]:
        """The options as plain JSON values, without the effort, which follows from the preset."""
        values = {name: value for name, value in asdict(self).items() if name != "effort"}
        return {**values, "loaded": sorted(self.loaded)}
