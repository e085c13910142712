"""What torch asks of an op: opcheck, fake kernels, compile, export, vmap, autocast, modes."""

from __future__ import annotations

import contextlib

import pytest
import torch
from ops_table import ALL_OPS, AZIMUTHAL_AVERAGE, SPECTRAL_MEANS, as_tuple

from gandetect import ops

SMALL = ((6, 8), (5, 7))


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_opcheck(case, requires_grad):
    for dtype in (torch.float32, torch.float64):
        for first, *rest in list(case.samples(dtype, SMALL))[::19]:
            torch.library.opcheck(case.op, (first.clone().requires_grad_(requires_grad), *rest))


def test_opcheck_uint8():
    for arguments in list(SPECTRAL_MEANS.samples(torch.uint8, SMALL))[::19]:
        torch.library.opcheck(SPECTRAL_MEANS.op, arguments)


def profile(images: torch.Tensor) -> torch.Tensor:
    return ops.spectral_profile(images, value="log", normalize="first")


@pytest.mark.slow
def test_compile_and_export():
    compiled = torch.compile(profile, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for n in (3, 5):
            images = torch.rand(n, 16, 16)
            torch.testing.assert_close(compiled(images), profile(images))
    images = torch.rand(2, 16, 16, requires_grad=True)
    (wanted,) = torch.autograd.grad(profile(images).sum(), images)
    (actual,) = torch.autograd.grad(compiled(images).sum(), images)
    torch.testing.assert_close(actual, wanted)

    class Module(torch.nn.Module):
        def forward(self, images):
            return profile(images)

    exported = torch.export.export(Module(), (torch.rand(2, 16, 16),))
    images = torch.rand(2, 16, 16)
    torch.testing.assert_close(exported.module()(images), profile(images))


@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_vmap(case):
    for first, *rest in list(case.samples(torch.float64, SMALL))[::7]:
        stacked = torch.stack([first, 2 * first, first + 1], dim=1)
        mapped = as_tuple(
            torch.func.vmap(lambda x, rest=rest: case.op(x, *rest), in_dims=1)(stacked)
        )
        for i in range(3):
            for m, w in zip(mapped, as_tuple(case.op(stacked[:, i], *rest)), strict=True):
                torch.testing.assert_close(m[i], w)


def test_vmap_over_a_plan_is_refused():
    plane, maps, *rest = next(AZIMUTHAL_AVERAGE.samples(torch.float64, SMALL))
    with pytest.raises(ValueError, match="does not map over its plan"):
        torch.func.vmap(lambda m: AZIMUTHAL_AVERAGE.op(plane, m, *rest))(maps[None])


@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_autocast_computes_in_float32(case):
    first, *rest = next(case.samples(torch.float32, SMALL))
    with torch.autocast("cpu", torch.bfloat16):
        results = as_tuple(case.op(first.bfloat16(), *rest))
    assert {r.dtype for r in results} == {torch.float32}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_modes(mode):
    images = torch.rand(2, 16, 16)
    wanted = ops.spectral_profile(images)
    with mode():
        torch.testing.assert_close(ops.spectral_profile(images), wanted)


@contextlib.contextmanager
def fake():
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.parametrize(
    ("side", "mode"),
    [(37, torch.inference_mode), (38, lambda: torch.device("meta")), (39, fake)],
    ids=["inference", "meta", "fake"],
)
def test_a_mode_leaves_nothing_behind_in_the_caches(side, mode):
    """Whoever asks for a geometry first, a later backward works: no other test uses these sizes."""

    def run(images: torch.Tensor) -> torch.Tensor:
        first = ops.spectral_profile(images, resample=side)
        return first.sum() + ops.azimuthal_average(images, convention="durall").sum()

    images = torch.rand(1, side, side, requires_grad=True)
    with mode():
        run(torch.empty(1, side, side))
    run(images).backward()
    assert type(images.grad) is torch.Tensor
    assert bool(images.grad.isfinite().all())


@pytest.mark.parametrize("strict", [False, True])
def test_export_of_a_size_never_seen_before(strict):
    side = 41 + strict

    class Module(torch.nn.Module):
        def forward(self, images):
            return ops.spectral_profile(images, "durall", resample=9)

    exported = torch.export.export(Module(), (torch.rand(2, side, side),), strict=strict)
    images = torch.rand(2, side, side)
    torch.testing.assert_close(exported.module()(images), Module()(images))


@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_meta(case):
    for arguments in list(case.samples(torch.float32, SMALL))[::7]:
        on_meta = [a.to("meta") if isinstance(a, torch.Tensor) else a for a in arguments]
        results, wanted = as_tuple(case.op(*on_meta)), as_tuple(case.op(*arguments))
        for m, w in zip(results, wanted, strict=True):
            assert m.is_meta
            assert (m.shape, m.dtype, m.stride()) == (w.shape, w.dtype, w.stride())


def test_forward_mode_says_that_it_is_not_there():
    with torch.autograd.forward_ad.dual_level():
        images = torch.autograd.forward_ad.make_dual(torch.rand(1, 8, 8), torch.rand(1, 8, 8))
        with pytest.raises((NotImplementedError, RuntimeError), match=r"(?i)forward"):
            ops.spectral_profile(images)
