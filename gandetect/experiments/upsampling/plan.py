"""What the experiment trains and how much it measures: plain values, decided before anything runs.

Every generator is the same SNGAN, from the same data, seed and schedule; only its up-sampling
differs. Detectors, splits and sizes are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

REAL = "real"
SPLITS = ("train", "validation", "test")
# The most wanted first: a run that is cut short has trained these.
MODES = ("conv_transpose", "bed_of_nails", "pixel_shuffle", "nearest", "bilinear", "bicubic")
SPECTRAL = ("loss", "discriminator")
PLAIN, SPECTRALLY_TRAINED, REPEAT = "plain", "spectral", "repeat"


@dataclass(frozen=True)
class Generator:
    """One generator of the experiment.

    `spectral`: as in `AdversarialConfig`. `base`: the name of the plain generator that it differs
    from in its training alone; None for a plain one.
    """

    name: str
    up: str
    seed: int
    spectral: str = "none"
    base: str | None = None

    @property
    def role(self) -> str:
        """PLAIN, SPECTRALLY_TRAINED, or REPEAT: a plain one with another seed."""
        if self.base is None:
            return PLAIN
        return REPEAT if self.spectral == "none" else SPECTRALLY_TRAINED

    def to_dict(self) -> dict[str, Any]:
        """The generator as plain JSON values."""
        return {**asdict(self), "role": self.role}


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    `squares`: cut from the photographs, about. `counts`: images of a class in each split, at most.
    `replicates`: of the bootstrap. `trees`: of
    a forest. `epochs`: of the networks. `sizes`, `draws`: of the learning curve.
    """

    squares: int
    counts: Mapping[str, int]
    replicates: int
    trees: int
    epochs: int
    draws: int
    sizes: tuple[int, ...] = (16, 20, 100, 1000)
    perturbations: tuple[str, ...] = ("jpeg-90", "jpeg-75", "blur-1", "resize-0.75", "resize-1.5")

    def to_dict(self) -> dict[str, Any]:
        """The effort as plain JSON values."""
        return asdict(self)


EFFORTS = {
    "smoke": Effort(
        squares=600,
        counts={"train": 100, "validation": 40, "test": 60},
        replicates=200,
        trees=20,
        epochs=2,
        draws=2,
        sizes=(16, 20, 100),
        perturbations=("jpeg-75", "resize-0.75"),
    ),
    "run": Effort(
        squares=24_000,
        counts={"train": 2000, "validation": 500, "test": 1000},
        replicates=1000,
        trees=200,
        epochs=8,
        draws=5,
    ),
}


@dataclass(frozen=True)
class Options:
    """What the user decides.

    `preset`: of the SNGAN and of the effort. `seeds`: how many times each plain generator is
    trained. `steps`: of the training; None is the preset's. `modes`: up-samplers of the plain
    generators. `spectral_modes`: those that are also trained with the spectral loss and with the
    spectral discriminator. `threads`: of torch and of the forests; None takes what torch has.
    `precision`: of the training, one of `gans.training.PRECISIONS`.

    Raises ValueError for unknown names, and where a detector could not be tried on another
    up-sampler or a spectrally trained generator not be compared with a plain one.
    """

    preset: str = "run"
    seed: int = 0
    seeds: int = 1
    steps: int | None = None
    modes: tuple[str, ...] = MODES
    spectral_modes: tuple[str, ...] = ("conv_transpose",)
    threads: int | None = None
    precision: str = "float32"
    effort: Effort = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.preset not in EFFORTS:
            raise ValueError(f"preset {self.preset!r} given; choose from {tuple(EFFORTS)}")
        unknown = sorted({*self.modes, *self.spectral_modes} - set(MODES))
        if unknown:
            raise ValueError(f"up-samplers {unknown} given; choose from {MODES}")
        if len(set(self.modes)) < 2:
            raise ValueError(f"modes {self.modes} given; comparing takes two or more")
        without = sorted(set(self.spectral_modes) - set(self.modes))
        if without:
            raise ValueError(f"spectral modes {without} are not among the modes {self.modes}")
        for name in ("seeds", "steps", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} given; want at least 1")
        object.__setattr__(self, "effort", EFFORTS[self.preset])

    def to_dict(self) -> dict[str, Any]:
        """The options as plain JSON values, without the effort, which follows from the preset."""
        return {name: value for name, value in asdict(self).items() if name != "effort"}


def generators(options: Options) -> tuple[Generator, ...]:
    """The generators in the order of their training: plain, spectrally trained, repeats."""
    modes = [mode for mode in MODES if mode in options.modes]
    plain = [Generator(mode, mode, options.seed) for mode in modes]
    spectral = [
        Generator(f"{mode}+{kind}", mode, options.seed, kind, mode)
        for mode in modes
        if mode in options.spectral_modes
        for kind in SPECTRAL
    ]
    repeats = [
        Generator(f"{mode}#{number}", mode, options.seed + number, base=mode)
        for number in range(1, options.seeds)
        for mode in modes
    ]
    return (*plain, *spectral, *repeats)
