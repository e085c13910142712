"""What decides a model before it is trained: plain values that a checkpoint can carry as JSON."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

from gandetect.gans.upsampling import UP
from gandetect.ops.conventions import member

SPECTRAL = ("none", "loss", "discriminator")
# A checkpoint is data from elsewhere: no number in it may make a network that fills the memory.
_MOST = {"size": 1024, "channels": 512, "latent": 8192, "batch": 65536}
_MOST_OTHERS = 2**31
_MOST_WIDTH, _MOST_LAYERS = 2048, 32

C = TypeVar("C", bound="Config")


@dataclass(frozen=True)
class Config:
    """The part that every model has; each adds its own fields.

    `size`, `channels`: of the images, (N, channels, size, size). `latent`: length of z.
    `up`: how the generator up-samples, one of `ups`; `up_last`: its last up-sampling, None for the
    same. `ups`: `upsampling.UP`, and what a model has of its own. `batch`: images of a batch;
    `steps`: iterations of the training loop. `ema`: decay of the running average of the weights
    that samples are drawn with; 0 for none.
    """

    size: int = 64
    channels: int = 3
    latent: int = 128
    up: str = "nearest"
    up_last: str | None = None
    batch: int = 64
    steps: int = 5000
    ema: float = 0.999
    ups: ClassVar[tuple[str, ...]] = UP

    def __post_init__(self) -> None:
        _check_numbers(self)
        member("up", self.up, self.ups)
        if self.up_last is not None:
            member("up_last", self.up_last, self.ups)
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema} given; want 0 <= ema < 1")

    @property
    def last(self) -> str:
        """The last up-sampling."""
        return self.up_last or self.up

    def of_steps(self: C, steps: int) -> C:
        """The same of another number of iterations."""
        return replace(self, steps=steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values that `from_dict` takes back."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """The configuration that `to_dict` wrote.

        Raises ValueError for names that this model does not have and for values of another kind.
        """
        known = {one.name for one in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"{cls.__name__} has no {unknown}; it has {sorted(known)}")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        defaults = cls()
        for name, value in given.items():
            _check_kind(cls.__name__, name, value, getattr(defaults, name))
        return cls(**given)


def check_widths(name: str, widths: tuple[int, ...]) -> None:
    """Raise ValueError where `widths` are no numbers of channels for one layer or more."""
    if not 1 <= len(widths) <= _MOST_LAYERS or not 1 <= min(widths) <= max(widths) <= _MOST_WIDTH:
        raise ValueError(
            f"{name}={reprlib.repr(widths)} given; want 1 to {_MOST_LAYERS} widths from 1 to "
            f"{_MOST_WIDTH}"
        )


def _check_kind(owner: str, name: str, value: Any, default: Any) -> None:
    """Refuse a value that is of another kind than the default, which may be an optional name."""
    if isinstance(default, tuple) and isinstance(value, tuple):
        # Every entry is of the kind of the first.
        for one in value:
            _check_kind(owner, name, one, default[0])
        return
    wanted = (str, type(None)) if default is None else type(default)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return
    if not isinstance(value, wanted) or isinstance(value, bool) != isinstance(default, bool):
        kind = "a name" if default is None else type(default).__name__
        raise ValueError(f"{owner}: {name}={value!r} given; want {kind}")


def _check_numbers(config: Config) -> None:
    """Refuse negative, endless and absurdly large numbers, also those inside tuples."""
    for name, value in asdict(config).items():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, (str, bool, type(None))):
                continue
            most = _MOST.get(name, _MOST_OTHERS)
            if not 0 <= one <= most:
                raise ValueError(f"{name}={value!r} given; want numbers from 0 to {most}")
    for name in ("size", "channels", "batch", "steps"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name}={getattr(config, name)} given; want at least 1")
