"""Checkpoints: everything that training needs to go on as if it had never stopped.

One file (`gandetect.tensorfile`): the weights, their running average, what the optimizers
remember, the state of the random numbers, and a card that says which model it is, of which
configuration, seed and step, and what it was trained on. Training that goes on from it gives the
same bits as training that was not interrupted, on one machine with the same number of threads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gandetect.tensorfile import Card, pack, unpack, write_whole

FORMAT_VERSION = 1
MAX_BYTES = 8 * 2**30
KEY = "gandetect_checkpoint"
NAME = "checkpoint.safetensors"
_WANTED = {"model": str, "config": dict, "seed": int, "step": int, "data": dict}
_MOST_STEPS = 2**40
# Of each parameter, by Adam.
_REMEMBERED = {"step", "exp_avg", "exp_avg_sq"}


@dataclass(frozen=True)
class Checkpoint:
    """A card and tensors named `weights.*`, `average.*`, `optimizer.*` and `rng.*`.

    `rng-1.*` are the random numbers of process 1, where several trained.
    """

    card: Card
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors `prefix.*`, without the prefix."""
        cut = len(prefix) + 1
        return {k[cut:]: v for k, v in self.tensors.items() if k.startswith(f"{prefix}.")}

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all."""
        write_whole(path, pack(self.tensors, self.card, KEY))

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read what `save` wrote.

        Raises ValueError where the file is something else, was changed, is of another version, or
        is larger than `MAX_BYTES`; FileNotFoundError where there is none.
        """
        path = Path(path)
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{path}: {path.stat().st_size} bytes; a checkpoint has at most {MAX_BYTES}"
            )
        tensors, card = unpack(path.read_bytes(), KEY, "checkpoint", str(path))
        _check_card(card, path)
        return cls(card, tensors)

    def check_model(
        self, name: str, config: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Raise ValueError where this is a checkpoint of another model or configuration.

        `defaults`: of fields that the configuration did not have yet when this was written; a new
        field's default is what was done before there was one.
        """
        if self.card["model"] != name:
            raise ValueError(
                f"this is a checkpoint of {self.card['model']!r}; {name!r} cannot load it"
            )
        # As JSON has it: tuples are lists there.
        wanted = json.loads(json.dumps(config))
        theirs = {**json.loads(json.dumps(defaults or {})), **self.card["config"]}
        differ = sorted(k for k in set(wanted) | set(theirs) if wanted.get(k) != theirs.get(k))
        if differ:
            told = ", ".join(f"{k}={theirs.get(k)!r} (not {wanted.get(k)!r})" for k in differ)
            raise ValueError(f"this checkpoint of {name!r} was made with {told}")


def _check_card(card: Any, path: Path) -> None:
    """Refuse a card that lacks something or has it of another kind."""
    if not isinstance(card, dict) or card.get("format_version") != FORMAT_VERSION:
        version = card.get("format_version") if isinstance(card, dict) else None
        raise ValueError(f"{path}: version {version}; this gandetect reads {FORMAT_VERSION}")
    for name, kind in _WANTED.items():
        if type(card.get(name)) is not kind:
            raise ValueError(f"{path}: its card lacks {name} as {kind.__name__}")
    if not 0 <= card["step"] <= _MOST_STEPS:
        raise ValueError(f"{path}: its card has step={card['step']}; want 0 to {_MOST_STEPS}")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What `optimizer` remembers of each parameter, named `<number>.<what>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{what}": torch.as_tensor(value).detach().cpu().clone()
        for number, kept in state.items()
        for what, value in kept.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give `optimizer` back what `optimizer_tensors` took; ValueError where it does not fit."""
    groups = optimizer.state_dict()["param_groups"]
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, what = name.partition(".")
        if not number.isdigit() or int(number) >= len(parameters):
            raise ValueError(f"the checkpoint remembers of a parameter {number!r} that is not here")
        wanted = () if what == "step" else parameters[int(number)].shape
        if tensor.shape != wanted or not tensor.is_floating_point():
            raise ValueError(
                f"the checkpoint's {name} is {tensor.dtype} {tuple(tensor.shape)}; want "
                f"{tuple(wanted)}"
            )
        state.setdefault(int(number), {})[what] = tensor
    for index, kept in state.items():
        if kept.keys() != _REMEMBERED:
            raise ValueError(
                f"the checkpoint remembers {sorted(kept)} of parameter {index}; want "
                f"{sorted(_REMEMBERED)}"
            )
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load a state_dict strictly; ValueError, saying `what` it is, where it does not fit."""
    if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
        raise ValueError(f"the checkpoint's {what} holds values that are not finite")
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ValueError(f"the checkpoint's {what} does not fit the model: {error}") from error
