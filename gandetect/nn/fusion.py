"""`fuse`: a trained generator, copied for inference with its layers merged.

A merged layer starts with what has the weight (and the up-sampling before it) and takes in the
layers that follow, one by one, for as long as they can be part of it: see `Draft`. Only layers
that `Tree` has no objection to are touched, and only neighbors in an ``nn.Sequential`` are merged,
because only there does the order of the children say what is computed.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations as type_of

from .draft import KINDS, UPSAMPLINGS, Draft, Named
from .tree import Tree

DROPPED = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def fuse(module: nn.Module, *, verbose: bool = False) -> nn.Module:
    """A copy of a trained generator for inference, with its up-sampling layers merged.

    Merged are, where they are neighbors in an ``nn.Sequential``: a transposed convolution, an
    up-sampling (nearest, bilinear, bicubic, bed of nails) and the convolution after it, or a
    convolution and the pixel shuffle after it, each with the batch norm and the activation (ReLU,
    leaky ReLU, tanh, sigmoid) that follow. Batch norms with running statistics are folded in
    float64, weight and spectral norms of merged layers computed once, identities and dropouts
    dropped. Everything else is copied as it is: other modules, and those with hooks, with other
    parametrizations, that are used twice or share tensors, or that are neither float32 nor float64.

    Parameters
    ----------
    module : any module; it is not changed.
    verbose : print the `fusion_report`.

    Returns
    -------
    A module in eval mode whose parameters require no gradient; gradients flow to its input. A
    merged layer has the name of the layer whose weight it holds.

    Notes
    -----
    The tests enforce, relative to the largest value, 2e-6 against the module in eval mode and
    float64.
    A Sequential is taken to be run as a whole: a module that reads what is between two of its
    children finds merged layers there. Positions are kept in those that a module of your own holds,
    with an ``nn.Identity`` where a layer was merged.
    Compiles and exports; weights that change later: see `PrepackedConvTranspose2d.repack`. Takes
    its own checkpoints and not the original's, whose norms are not folded.

    Raises
    ------
    TypeError: what is no module.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module is a {type(module).__name__}; it must be a torch.nn.Module")
    # A copy made in inference mode could never take part in a gradient.
    with torch.inference_mode(False), torch.no_grad():
        duplicate = _copied(module).eval().requires_grad_(False)
        fused = Fusion(Tree(duplicate)).of("", duplicate, run_whole=True)
    if verbose:
        print(fusion_report(fused))
    return fused


def fusion_report(module: nn.Module) -> str:
    """What `fuse` merged into which layer, a line each, and what it left of the kinds it knows."""
    tree, lines = Tree(module), []
    for path, layer in module.named_modules():
        name = f"{path or '(root)'}: {type_of(layer).__name__}"
        sources = getattr(layer, "fused_from", ())
        if sources:
            lines.append(f"{name} from {', '.join(sources)}")
        elif type_of(layer) in (*UPSAMPLINGS, *KINDS) and type_of(layer) is not nn.Conv2d:
            reason = tree.objection(layer) or "no convolution of zero padding next to it"
            lines.append(f"{name} left as it is ({reason})")
    return "\n".join(lines) or "nothing to fuse"


class Fusion:
    """Merges layers within one tree of modules, which is the caller's to change."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def of(self, name: str, module: nn.Module, *, run_whole: bool) -> nn.Module:
        """What takes the module's place.

        run_whole: nobody but torch looks at the children of this module, if it is a Sequential.
        """
        draft = self._draft([(name, module)])
        merged = draft.built() if draft else None
        if merged is not None:
            return merged
        if type(module) is nn.Sequential and not self._tree.objection_to_moving(module):
            self._merge_neighbors(module, keeps_positions=not run_whole)
            return module
        for key, child in module._modules.items():
            if child is not None:
                module._modules[key] = self.of(key, child, run_whole=False)
        return module

    def _merge_neighbors(self, sequence: nn.Sequential, *, keeps_positions: bool) -> None:
        waiting = [named for named in sequence._modules.items() if not self._is_dropped(named[1])]
        merged: dict[str, nn.Module] = {}
        while waiting:
            draft = self._draft(waiting)
            layer = draft.built() if draft else None
            if draft and layer:
                merged[draft.name] = layer
                del waiting[: len(draft.parts)]
            else:
                name, module = waiting.pop(0)
                merged[name] = self.of(name, module, run_whole=True)
        for name in list(sequence._modules):
            if name in merged or keeps_positions:
                sequence._modules[name] = merged.get(name, nn.Identity().eval())
            else:
                del sequence._modules[name]

    def _draft(self, layers: list[Named]) -> Draft | None:
        """The longest merged layer that starts with the first of these."""
        free = itertools.takewhile(lambda named: not self._tree.objection(named[1]), layers)
        head = list(itertools.islice(free, 2))
        draft = Draft.begun(head) if head else None
        if draft:
            following = itertools.chain(head[len(draft.parts) :], free)
            while (named := next(following, None)) and draft.takes(named):
                pass
        return draft

    def _is_dropped(self, module: nn.Module) -> bool:
        return type(module) in DROPPED and not self._tree.objection(module)


def _copied(module: nn.Module) -> nn.Module:
    """A deep copy, of the weights too that torch's older weight norm left in the autograd graph."""
    known: dict[int, Any] = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(module, known)
