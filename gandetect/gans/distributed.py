"""Training in several processes: torch's DistributedDataParallel, started by torchrun.

    torchrun --nproc-per-node 2 -m gandetect train dcgan --data PHOTOS/ --out runs/dcgan

Each process draws its own latents and images, gradients are averaged, so that the batch is as many
times larger. Batch normalization sees the process's own part of it.
"""

from __future__ import annotations

import gc
import importlib
import os
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gandetect.gans.model import Batch, GenerativeModel, Phase, Player, Terms

T = TypeVar("T")


class _PhaseTerms(nn.Module):
    """A model's phases as one forward, which is what DistributedDataParallel wraps."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, phase: Phase, batch: Batch) -> Terms:
        return phase.terms(batch)


class Parallel:
    """The processes that train together, on devices of one kind: one, unless torchrun says more.

    `rank`: this process's number; `size`: how many there are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.size > 1 and not torch.distributed.is_initialized():
            # DistributedDataParallel imports it, and its default arguments are the group of then.
            importlib.import_module("torch.distributed.nn.functional")

            backend = "nccl" if device.type == "cuda" else "gloo"
            torch.distributed.init_process_group(backend)

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wrapped(self, model: GenerativeModel, player: Player) -> nn.Module:
        """Something to call with (phase, batch) that averages the player's gradients."""
        terms = _PhaseTerms(model)
        if self.size == 1:
            return terms
        mine = {id(one) for one in player.parameters()}
        # DistributedDataParallel looks after the parameters that want a gradient when it is made.
        for one in model.parameters():
            one.requires_grad_(id(one) in mine)
        # A phase may leave some of a player's parameters out, as R1 does the last bias.
        wrapped = DistributedDataParallel(terms, find_unused_parameters=True)
        for one in model.parameters():
            one.requires_grad_(True)
        return wrapped

    def gathered(self, value: T) -> list[T]:
        """What each process gives, in the order of their numbers; all of them call it."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def any(self, said: bool) -> bool:
        """Whether one of the processes says so; all of them call it."""
        if self.size == 1:
            return said
        told = torch.tensor(int(said), device=self._device)
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        return bool(told)

    def close(self) -> None:
        """Wait for the others; the last thing a process does, nothing wrapped being left.

        Threads of a group that something still holds would outlive the interpreter, and abort the
        process where they come back to it.
        """
        if self.size > 1:
            gc.collect()
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
