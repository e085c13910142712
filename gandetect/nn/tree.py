"""What is known of a tree of modules as a whole: which of its parts `fuse` may replace."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from .folding import has_hooks, is_constant_in_eval


class Tree:
    """Objections to replacing a part of `root`, by what it is and by who else uses it."""

    def __init__(self, root: nn.Module) -> None:
        # Kept, so that no id is given to another object while the tree is in use.
        self._modules = [module for _, module in root.named_modules(remove_duplicate=False)]
        self._places = Counter(map(id, self._modules))
        self._owners = Counter(
            id(tensor) for module in root.modules() for tensor in _own_tensors(module)
        )

    def objection(self, module: nn.Module) -> str:
        """Why this layer must stay as it is, or nothing."""
        tensors = [*module.parameters(), *module.buffers()]
        kinds = {type(tensor) for tensor in tensors} - {nn.Parameter, Tensor}
        dtypes = {tensor.dtype for tensor in tensors} - {torch.int64, torch.float32, torch.float64}
        if reason := self.objection_to_moving(module):
            return reason
        if any(self._owners[id(tensor)] > 1 for tensor in tensors):
            return "it shares a tensor with another layer"
        if not is_constant_in_eval(module):
            return "it has a parametrization other than weight or spectral norm"
        if module.training:
            return "it stays in training mode"
        return f"it holds {', '.join(map(str, kinds or dtypes))}" if kinds or dtypes else ""

    def objection_to_moving(self, module: nn.Module) -> str:
        """Why this module must stay in its place, whatever it holds, or nothing."""
        is_stateless = next(iter((*module.children(), *_own_tensors(module))), None) is None
        if self._places[id(module)] > 1 and not is_stateless:
            return "it is used in several places"
        if "forward" in vars(module):
            return "its forward was replaced"
        return "it has hooks" if has_hooks(module) else ""


def _own_tensors(module: nn.Module) -> list[Tensor]:
    own = (*module._parameters.values(), *module._buffers.values())
    return [tensor for tensor in own if tensor is not None]
