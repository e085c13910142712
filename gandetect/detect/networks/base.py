"""What every detector network shares: its settings, its input, its logit, and loading it safely.

A network takes luma tiles as they are scored, (N, S, S) in 0..255, and looks at them through its
own first step (pixels, residual, spectrum). So training, scoring and the model file need to know
nothing of it but its name and its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# A card that asks for more is refused before anything is built.
MAX_SETTING = 4096


class Network(nn.Module):
    """A detector of tiles. Subclasses name the `settings` that rebuild them, all JSON numbers.

    `forward(tiles)`: logits (N,) of tiles (N, S, S), uint8 or floating in 0..255; above 0 is
    generated. Constants that are not learned must not be buffers: they would not be in the model
    file.
    """

    settings: dict[str, Any]

    def forward(self, tiles: Tensor) -> Tensor:
        raise NotImplementedError

    def losses(self, tiles: Tensor, targets: Tensor) -> Tensor:
        """What training lowers, (N,); here the logistic loss of targets (N,) of 0 and 1."""
        return F.binary_cross_entropy_with_logits(self(tiles), targets.float(), reduction="none")


def as_input(tiles: Tensor) -> Tensor:
    """Tiles (N, S, S) in 0..255 as the first layer wants them: (N, 1, S, S) float in [-1, 1]."""
    return (tiles[:, None].float() - 127.5) / 127.5


def rebuild(
    kind: type[Network], settings: Mapping[str, Any], arrays: Mapping[str, Tensor]
) -> Network:
    """The network of `settings` with the weights `arrays`, for scoring.

    Raises ValueError where a setting is out of bounds or the arrays are not exactly its weights.
    Nothing of the size that the settings claim is allocated before that is known.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"settings {settings!r}; want names and numbers")
    for name, value in settings.items():
        check_setting(name, value)
    try:
        with torch.device("meta"):
            network = kind(**settings)
    except TypeError as error:
        raise ValueError(
            f"settings {sorted(settings)} do not fit {kind.__name__}: {error}"
        ) from None
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in arrays.items()}
    if wanted != given:
        wrong = sorted(name for name in {*wanted, *given} if wanted.get(name) != given.get(name))
        raise ValueError(f"weights {wrong} are missing, surplus or of another shape")
    network.load_state_dict(dict(arrays), assign=True)
    return network.eval().requires_grad_(False)


def check_setting(name: str, value: Any) -> None:
    """Refuse what no network has, by ValueError."""
    values = value if isinstance(value, (list, tuple)) else [value]
    numbers = all(isinstance(v, (bool, int, float)) and 0 <= v <= MAX_SETTING for v in values)
    if not numbers or len(values) > 64:
        raise ValueError(f"setting {name}={value!r}; want numbers from 0 to {MAX_SETTING}")
