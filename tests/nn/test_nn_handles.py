"""A packed weight is never stale: not after anything that torch does to a module or its weight."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from nn_generators import relative_error, settled
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gandetect import nn as gnn
from gandetect import ops

pytestmark = pytest.mark.usefixtures("handles_are_believed")

X = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(5))


def a_module(seed=0):
    torch.manual_seed(seed)
    return settled(
        nn.Sequential(
            nn.ConvTranspose2d(4, 6, 4, 2, 1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(6, 3, 3),
        ),
        seed,
    )


def plain(fused):
    """The same layers without handles."""
    up = gnn.ConvTranspose2d(4, 6, 4, 2, 1, activation="relu")
    convolution = gnn.UpsampleConv2d(6, 3, 3)
    layers = nn.Sequential(up, convolution).to(fused[0].weight.dtype)
    layers.load_state_dict(dict(zip(layers.state_dict(), fused.state_dict().values(), strict=True)))
    return layers


def assert_fresh(fused, call=None):
    x = X.to(fused[0].weight.dtype)
    assert relative_error((call or fused)(x), plain(fused)(x)) < 2e-6


def saved_whole(fused):
    file = io.BytesIO()
    torch.save(fused, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda fused: pickle.loads(pickle.dumps(fused)),
    "save": saved_whole,
    "double": lambda fused: copy.deepcopy(fused).double(),
    "half": lambda fused: copy.deepcopy(fused).half().float(),
    "channels_last": lambda fused: fused.to(memory_format=torch.channels_last),
    "apply": lambda fused: fused.apply(
        lambda module: module.weight.mul_(2) if hasattr(module, "weight") else None
    ),
    "meta": lambda fused: fused.to("meta").to_empty(device="cpu").apply(filled),
}


def filled(module):
    if hasattr(module, "weight"):
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias)


@pytest.mark.parametrize("name", COPIES)
def test_copies_and_moves(name):
    fused = COPIES[name](gnn.fuse(a_module()))
    assert_fresh(fused)
    with torch.no_grad():
        fused[0].weight.add_(1)
    assert_fresh(fused)


@pytest.mark.parametrize("assign", [False, True])
def test_load_state_dict(assign):
    fused, other = gnn.fuse(a_module()), gnn.fuse(a_module(1))
    fused.load_state_dict(other.state_dict(), assign=assign)
    assert torch.equal(fused(X), other(X))
    with torch.inference_mode():
        fused.load_state_dict(gnn.fuse(a_module(2)).state_dict(), assign=assign)
        assert_fresh(fused)


@pytest.mark.parametrize("compiled", [False, True])
def test_handles_are_used(compiled):
    """A write that nobody can notice is not noticed: what these tests assume of their kernels."""
    torch._dynamo.reset()
    fused = gnn.fuse(a_module())
    call = torch.compile(fused, fullgraph=True, backend="aot_eager") if compiled else fused
    before = call(X)
    fused[0].weight.data.mul_(2)
    assert torch.equal(call(X), before)


def test_checkpoints_hold_no_handle():
    fused = gnn.fuse(a_module())
    assert list(fused.state_dict()) == ["0.weight", "0.bias", "4.weight", "4.bias"]
    assert not list(fused.buffers())


def test_pickles_hold_no_handle():
    fused = gnn.fuse(a_module())
    size = sum(parameter.nbytes for parameter in fused.parameters())
    assert len(pickle.dumps(fused)) < size + 8000


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_writes_that_torch_counts(mode):
    fused = gnn.fuse(a_module())
    for write in (
        lambda weight: weight.mul_(3),
        lambda weight: weight.copy_(torch.ones_like(weight)),
        lambda weight: weight[0].zero_(),
    ):
        with mode():
            write(fused[0].weight)
            assert_fresh(fused)


def test_another_parameter_or_other_memory():
    fused = gnn.fuse(a_module())
    fused[0].weight = nn.Parameter(torch.randn(4, 6, 4, 4))
    assert_fresh(fused)
    for _ in range(3):  # an address that comes back is another weight's
        fused[0].weight.data = torch.randn(4, 6, 4, 4)
        fused[0].weight.data = torch.randn(4, 6, 4, 4)
        assert_fresh(fused)


def test_repack_after_a_write_that_torch_does_not_count():
    fused = gnn.fuse(a_module())
    fused[0].weight.data.mul_(2)
    fused[0].repack()
    assert_fresh(fused)


def test_an_optimizer():
    fused = gnn.fuse(a_module()).requires_grad_(True)
    optimizer = torch.optim.Adam(fused.parameters(), lr=0.1)
    for _ in range(2):
        fused(X).square().sum().backward()
        optimizer.step()
        assert_fresh(fused)


def test_weights_that_stand_in_for_one_call():
    fused, other = gnn.fuse(a_module()), gnn.fuse(a_module(1))
    for values in (
        dict(other.named_parameters()),
        {name: value.clone() for name, value in other.named_parameters()},
    ):
        assert torch.equal(torch.func.functional_call(fused, values, (X,)), other(X))
        assert_fresh(fused)


def test_an_ensemble_under_vmap():
    members = [gnn.fuse(a_module(seed)) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(members)
    base = members[0]

    def call(parameters, buffers, x):
        return torch.func.functional_call(base, (parameters, buffers), (x,))

    found = torch.vmap(call, in_dims=(0, 0, None))(parameters, buffers, X)
    for y, member in zip(found, members, strict=True):
        assert relative_error(y, member(X)) < 2e-6


def test_weights_made_in_inference_mode():
    with torch.inference_mode():
        fused = gnn.fuse(a_module())
        fused[0].weight = nn.Parameter(torch.randn(4, 6, 4, 4), requires_grad=False)
        assert_fresh(fused)
        copied = copy.deepcopy(fused)
    with torch.no_grad():
        assert_fresh(fused)
        assert_fresh(copied)


def test_packed_outside_of_the_callers_modes(monkeypatch):
    """Under autocast there would be no kernel to pack for, and later calls would do without."""
    seen = []

    def pack(weight, **_):
        seen.append(torch.is_autocast_enabled("cpu") or torch.is_inference_mode_enabled())
        return torch.zeros(1, dtype=torch.uint8)

    monkeypatch.setattr(ops, "pack_conv_transpose2d", pack)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        gnn.fuse(a_module())
    assert seen == [False]


def test_weights_without_contents():
    fused = gnn.fuse(a_module())
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert copy.deepcopy(fused)(torch.empty(2, 4, 6, 6)).shape == (2, 3, 22, 22)
    assert copy.deepcopy(fused).to("meta")[0].weight.is_meta
    assert_fresh(fused)


def test_built_without_fuse():
    layer = gnn.PrepackedConvTranspose2d(4, 6, 4, 2, 1)
    wanted = nn.functional.conv_transpose2d(X, layer.weight, layer.bias, 2, 1)
    assert relative_error(layer(X), wanted) < 2e-6


def test_compiled_modules_follow_what_torch_does_to_them():
    torch._dynamo.reset()
    fused, other = gnn.fuse(a_module()), gnn.fuse(a_module(1))
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    assert_fresh(fused, compiled)
    fused.load_state_dict(other.state_dict())
    assert_fresh(fused, compiled)
    fused.load_state_dict(gnn.fuse(a_module(2)).state_dict(), assign=True)
    assert_fresh(fused, compiled)
    with torch.no_grad():
        fused[0].weight.mul_(2)
    fused[0].repack()
    assert_fresh(fused, compiled)


def test_compiled_stand_ins():
    torch._dynamo.reset()
    fused, other = gnn.fuse(a_module()), gnn.fuse(a_module(1))

    @torch.compile(fullgraph=True, backend="aot_eager")
    def call(parameters, x):
        return torch.func.functional_call(fused, parameters, (x,))

    assert_fresh(other, lambda x: call(dict(other.named_parameters()), x))
    assert_fresh(fused, lambda x: call(dict(fused.named_parameters()), x))
