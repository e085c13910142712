"""The layers that `fuse` makes: a weight, and a snapshot of it packed as the kernels want it.

A snapshot is a cache and no state: it is no buffer, so that no state_dict, exported program,
broadcast or running average of a model ever holds one. It is taken anew after everything that
torch calls a module for (load_state_dict, moves, copies, pickles). What changes the weight
otherwise is noticed when the layer is called, by the weight's identity, address and version.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from gandetect import ops

from .layers import ConvTranspose2d, UpsampleConv2d

P = TypeVar("P", bound="Prepacked")


class Snapshot(NamedTuple):
    """A packed weight and what it was taken of.

    `alias` keeps the memory at `address`, so that this cannot come back as another weight's.
    """

    handle: Tensor | None
    weight: Tensor
    alias: Tensor
    address: int
    version: int

    def is_of(self, weight: Tensor) -> bool:
        return (
            weight is self.weight
            and weight.data_ptr() == self.address
            and _version(weight) == self.version
        )


class Prepacked(nn.Module):
    """Keeps a snapshot of `weight`, and never uses one that it knows to be stale."""

    weight: Tensor
    _snapshot: Snapshot | None = None

    def pack(self) -> Tensor:
        raise NotImplementedError

    def repack(self) -> None:
        """Take the snapshot anew: after a change of the weight that torch does not count.

        Those are writes through ``weight.data``, numpy or a pointer, writes to a weight that was
        made in inference mode, and any write between two calls of a compiled module.
        """
        self._snapshot = None
        weight = self.weight
        if not _is_packable(weight):
            return
        # Whatever mode the caller is in, the snapshot is for calls outside of it too.
        with torch.inference_mode(False), torch.autocast(weight.device.type, enabled=False):
            handle, alias = self.pack(), weight.detach()
        kept = handle if handle.numel() else None
        self._snapshot = Snapshot(kept, weight, alias, weight.data_ptr(), _version(weight))

    def packed_weight(self) -> Tensor | None:
        # A program that outlives this process must not hold what is valid in this process alone.
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            return None
        weight, snapshot = self.weight, self._snapshot
        is_stale = not torch.compiler.is_compiling() and not (snapshot and snapshot.is_of(weight))
        if is_stale and _is_packable(weight):
            self.repack()
            snapshot = self._snapshot
        # functional_call and its kind put other tensors in the place of the weight for one call.
        return snapshot.handle if snapshot and snapshot.weight is weight else None

    def _apply(self: P, fn: Any, recurse: bool = True) -> P:
        super()._apply(fn, recurse)
        self.repack()
        return self

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        self.repack()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_snapshot"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.repack()


class PrepackedConvTranspose2d(Prepacked, ConvTranspose2d):
    """`ConvTranspose2d` for inference; `repack` tells when it has to be called."""

    def pack(self) -> Tensor:
        return ops.pack_conv_transpose2d(
            self.weight,
            stride=self.stride,
            padding=self.padding,  # type: ignore[arg-type]  # no string: torch refuses those
            dilation=self.dilation,
        )


class PrepackedUpsampleConv2d(Prepacked, UpsampleConv2d):
    """`UpsampleConv2d` for inference; `repack` tells when it has to be called."""

    def pack(self) -> Tensor:
        return ops.pack_upsample_conv2d(self.weight, mode=self.mode)


def _is_packable(weight: Tensor) -> bool:
    """Whether it is the module's own, and has contents."""
    return isinstance(weight, nn.Parameter) and not (weight.is_meta or is_fake(weight))


def _version(weight: Tensor) -> int:
    """Of the writes that torch counts; tensors made in inference mode have no count."""
    return -1 if weight.is_inference() else weight._version
