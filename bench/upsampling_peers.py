"""Candidates for one case of the up-sampling benchmark: ours, and what a user has today.

The ratios' reference is eager torch, NCHW, batch normalization in eval mode. Every other peer with
weights has the normalization folded, as ours has, but torch.compile, which gets the module itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from upsampling_layers import Chain, Enlarged, Layer, Moving, channels_last

from gandetect import ops

OURS = (
    "gandetect",
    "gandetect, packed",
    "gandetect, channels_last",
    "gandetect, packed, channels_last",
)
EAGER = "eager"
FROZEN = "torch.compile, frozen"
# Not what the op does, but what it could at best be as fast as.
YARDSTICKS = ("memcpy", "clone", "torch.zeros")
FREEZING = {"TORCHINDUCTOR_FREEZING": "1"}
# Far above rounding, far below a wrong result.
PEER_LIMIT = 1e-4
PREPACKED_OPS = ("mkldnn._convolution_transpose_pointwise", "mkldnn._convolution_pointwise")
PLAIN_OPS = ("extern_kernels.convolution", "aten.convolution")


@dataclass
class Candidates:
    """`missing`: why a peer is not there. `code`: what torch.compile generated, counted."""

    runs: dict[str, Any] = field(default_factory=dict)
    yardsticks: dict[str, Callable[[], Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    code: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, name: str, make: Callable[[], Callable[[], Any]]) -> None:
        """A peer that cannot run is part of the result; one of ours that cannot is an error."""
        try:
            run = make()
            run()
        except Exception as error:
            if name in OURS:
                raise
            self.missing[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        else:
            self.runs[name] = run


def bound(run: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Callable[[], Any]:
    return lambda: run(*inputs)


def candidates(layer: Layer, n: int, compile_too: bool) -> Candidates:
    """For the forward pass, under inference_mode; torch.compile for the threads set now."""
    found = Candidates()
    plain = layer.inputs(n)
    last = tuple(channels_last(x) for x in plain)
    add_ours(found, layer, plain, last)
    found.add(EAGER, lambda: bound(layer.module, plain))
    if layer.folded is layer.module:
        found.missing["eager, folded"] = "there is no batch normalization to fold"
    else:
        found.add("eager, folded", lambda: bound(layer.folded, plain))
    arranged = copy.deepcopy(layer.folded).to(memory_format=torch.channels_last)
    found.add("eager, channels_last", lambda: bound(arranged, last))
    add_prepacked(found, layer, n, last)
    for name, run in layer.by_hand(n).items():
        found.add(name, lambda run=run: bound(run, plain))
    for name, run in layer.by_hand_channels_last(n).items():
        found.add(name, lambda run=run: bound(run, last))
    add_compiled(found, layer, plain, compile_too)
    if isinstance(layer, Moving):
        found.yardsticks = layer.yardsticks(n)
    return found


def add_ours(
    found: Candidates, layer: Layer, plain: tuple[Tensor, ...], last: tuple[Tensor, ...]
) -> None:
    in_last = getattr(layer, "ours_channels_last", layer.ours)
    found.add("gandetect", lambda: bound(layer.ours, plain))
    if layer.has_layout:
        found.add("gandetect, channels_last", lambda: bound(in_last, last))
    else:
        found.missing["gandetect, channels_last"] = "an image of one pixel has no layout of its own"
    if not layer.has_weights:
        return
    handle = layer.pack()
    found.add("gandetect, packed", lambda: lambda: layer.ours(*plain, packed=handle))
    if layer.has_layout:
        found.add("gandetect, packed, channels_last", lambda: lambda: in_last(*last, packed=handle))


def add_prepacked(found: Candidates, layer: Layer, n: int, last: tuple[Tensor, ...]) -> None:
    name = "prepacked oneDNN"
    if not layer.has_weights:
        found.missing[name] = "there are no weights to pack"
        return

    def make() -> Callable[[], Any]:
        run = layer.prepacked(n)
        assert run is not None
        return bound(run, last)

    found.add(name, make)


# torch.compile


def add_compiled(
    found: Candidates, layer: Layer, plain: tuple[Tensor, ...], compile_too: bool
) -> None:
    names = ("torch.compile", FROZEN)
    if not compile_too:
        found.missing |= dict.fromkeys(names, "left out by --no-compile")
        return
    torch._dynamo.reset()
    found.add(names[0], lambda: compiled(found, names[0], layer.module, plain))
    if layer.has_weights:
        found.add(FROZEN, lambda: compiled(found, FROZEN, layer.folded, plain))
    else:
        found.missing[FROZEN] = "there are no weights to freeze"


def compiled(
    found: Candidates, name: str, module: nn.Module, inputs: tuple[Tensor, ...]
) -> Callable[[], Any]:
    """Freezing is in force only where the environment asks for it as the process starts; there,
    `options` switches it off for one module, which then is what torch.compile makes by default."""
    from torch._inductor import config
    from torch._inductor.utils import run_and_get_code

    if not config.freezing:
        raise RuntimeError(f"this process was started without {FREEZING}")
    is_frozen = name == FROZEN
    # A copy, because what is compiled is kept with the module's code object and guarded by it.
    run = torch.compile(
        copy.deepcopy(module), dynamic=False, options={"freezing": is_frozen}, fullgraph=True
    )
    _, sources = run_and_get_code(run, *inputs)
    text = "\n".join(sources)
    counted = {
        "prepacked": sum(text.count(op + ".default(") for op in PREPACKED_OPS),
        "plain": sum(text.count(op + "(") for op in PLAIN_OPS),
    }
    found.code[name] = counted
    if is_frozen and not (counted["prepacked"] and not counted["plain"]):
        raise RuntimeError(f"freezing is not in force: the generated code calls {counted}")
    if not is_frozen and counted["prepacked"]:
        raise RuntimeError(f"the default is frozen: the generated code calls {counted}")
    return bound(run, inputs)


# Agreement


def exact(layer: Layer, n: int) -> Tensor:
    """What the module as written gives in float64."""
    inputs = (x.double() if x.is_floating_point() else x for x in layer.inputs(n))
    with torch.inference_mode():
        return copy.deepcopy(layer.module).double()(*inputs)


def error_of(actual: Tensor, wanted: Tensor) -> float:
    """Largest error relative to the largest value; infinite where there is no number."""
    error = float((actual.double() - wanted).abs().max() / wanted.abs().max())
    return error if error == error else float("inf")


def errors_of(found: Candidates, wanted: Tensor, limit: float) -> dict[str, float]:
    """Of every candidate; SystemExit where ours is beyond `limit` or a peer is wrong."""
    errors = {name: error_of(run(), wanted) for name, run in found.runs.items()}
    refuse_beyond(errors, limit)
    return errors


def refuse_beyond(errors: dict[str, float], limit: float) -> None:
    for name, error in errors.items():
        if error > (limit if name in OURS else PEER_LIMIT):
            raise SystemExit(f"{name} is off by {error:.2e}; stopped, nothing is written")


# Training


class Step:
    """Forward, backward to x, weight and bias, and an update, so that no packed weight lasts.

    Returns its output and the three gradients, of weights that the update has not yet touched.
    """

    rate = 1e-7

    def __init__(
        self, forward: Callable[[Tensor, Tensor, Tensor], Tensor], parameters: list[Tensor]
    ) -> None:
        self.forward = forward
        self.leaves = [p.detach().clone().requires_grad_() for p in parameters]
        with torch.no_grad():
            like = forward(*self.leaves)
        self.reaching = noise_like(like)

    def __call__(self) -> tuple[Tensor, ...]:
        output = self.forward(*self.leaves)
        gradients = torch.autograd.grad(output, self.leaves, self.reaching)
        with torch.no_grad():
            for leaf, gradient in zip(self.leaves[1:], gradients[1:], strict=True):
                leaf.sub_(gradient, alpha=self.rate)
        return output.detach(), *gradients


def noise_like(x: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(17)
    return torch.randn(x.shape, generator=generator).to(
        memory_format=torch.channels_last if not x.is_contiguous() else torch.contiguous_format
    )


@dataclass
class Trained:
    """A layer with one convolution, as functions of (x, weight, bias)."""

    layer: Chain | Enlarged

    def parameters(self, n: int) -> list[Tensor]:
        conv = self.layer.convs[0] if isinstance(self.layer, Chain) else self.layer.conv
        assert conv.bias is not None
        return [self.layer.inputs(n)[0], conv.weight.detach(), conv.bias.detach()]

    def ours(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        layer = self.layer
        if isinstance(layer, Chain):
            return ops.conv_transpose2d(
                x, weight, bias, stride=2, padding=1, activation=layer.stages[0].activation
            )
        return ops.upsample_conv2d(
            x,
            weight,
            bias,
            mode=layer.mode,
            padding=layer.kernel // 2,
            activation=layer.activation,
            negative_slope=0.2,
        )

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Without the activation."""
        if isinstance(self.layer, Chain):
            return nn.functional.conv_transpose2d(x, weight, bias, 2, 1)
        larger = self.layer.larger(x)
        return nn.functional.conv2d(larger, weight, bias, padding=self.layer.kernel // 2)

    def eager(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = self.linear(x, weight, bias)
        return y.relu_() if self.slope == 0 else nn.functional.leaky_relu_(y, self.slope)

    @property
    def slope(self) -> float:
        return 0.0 if isinstance(self.layer, Chain) else 0.2


def training_candidates(trained: Trained, n: int, compile_too: bool) -> Candidates:
    found = Candidates()
    plain = trained.parameters(n)
    last = [channels_last(p) if p.dim() == 4 else p for p in plain]
    found.add("gandetect", lambda: Step(trained.ours, plain))
    found.add("gandetect, channels_last", lambda: Step(trained.ours, [last[0], *plain[1:]]))
    found.add(EAGER, lambda: Step(trained.eager, plain))
    found.add("eager, channels_last", lambda: Step(trained.eager, last))
    found.missing |= {
        "gandetect, packed": "a packed weight is a snapshot, and every step changes the weight",
        "eager, folded": "a normalization that is trained is not folded; the layers have none",
        FROZEN: "freezing is for inference",
        "prepacked oneDNN": "it has no gradient",
    }
    if compile_too:
        torch._dynamo.reset()
        run = torch.compile(trained.eager, dynamic=False, options={"freezing": False})
        found.add("torch.compile", lambda: Step(run, plain))
    else:
        found.missing["torch.compile"] = "left out by --no-compile"
    return found


def training_errors(
    trained: Trained, n: int, found: Candidates
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Of each candidate's output, and of its gradient of x, weight and bias, against float64.

    The gradient behind the activation is cut where the candidate's own output was: what rounding
    puts on the other side of zero is not an error of the gradient.
    """
    errors: dict[str, float] = {}
    parts = ("x", "weight", "bias")
    of_gradients: dict[str, dict[str, float]] = {part: {} for part in parts}
    for name, step in found.runs.items():
        # The exact result belongs to the weights as they are before the update.
        leaves = [leaf.detach().double().requires_grad_() for leaf in step.leaves]
        output, *gradients = step()
        line = trained.linear(*leaves)
        cut = torch.where(output > 0, 1.0, trained.slope).double()
        wanted = torch.autograd.grad(line, leaves, step.reaching.double() * cut)
        errors[name] = error_of(output, nn.functional.leaky_relu(line.detach(), trained.slope))
        for part, actual, exactly in zip(parts, gradients, wanted, strict=True):
            of_gradients[part][name] = error_of(actual, exactly)
    return errors, of_gradients
