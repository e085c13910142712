"""The CUDA glue as a whole, over the shim, against the reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import simt_oracle
import torch
from simt_build import Builder
from simt_glue import load_glue

from gandetect.ops import conventions, reference

NAMES = ("bins", "rows", "columns", "dc")


@pytest.fixture(scope="module")
def ops(builder: Builder):
    return load_glue(builder)


def assert_close(got, want, name: str, tolerance: float) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype), name
    assert got.is_contiguous()
    scale = want.abs().max().clamp(min=1e-30) if want.numel() else 1.0
    worst = ((got - want).abs() / (want.abs() + 1e-3 * scale)).max() if want.numel() else 0.0
    assert worst <= tolerance, f"{name}: {worst:.2e} relative"


CASES = list(itertools.product(sorted(conventions.CONVENTIONS), ("uint8", "float32", "float64")))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("convention", "dtype"), CASES)
def test_spectral_means_equal_the_reference(ops, convention: str, dtype: str, seed: int) -> None:
    rng = np.random.default_rng([21, seed, *convention.encode()])
    n, height, width = (int(x) for x in rng.integers((1, 4, 4), (9, 40, 40)))
    shape = (n, int(rng.choice([1, 3])), height, width)
    pixels = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    images = pixels.to(getattr(torch, dtype))
    chosen = conventions.CONVENTIONS[convention]
    plan = conventions.make_plan(height, width, convention, "corner")
    value = chosen.value if seed % 2 else conventions.VALUES["log"]
    hann = seed in (1, 2)
    arguments = (plan.maps, plan.inverse_counts, plan.folded, chosen.round_gray)
    arguments += (chosen.input_gain, chosen.input_offset, hann)
    arguments += (value.mode, value.gain, value.eps, seed != 3, seed != 4, True)
    got = ops.spectral_means(images, *arguments)
    want = reference.spectral_means(images, *arguments)
    for name, a, b in zip(NAMES, got, want, strict=True):
        if hann and name == "dc" and value.mode >= conventions.LOG:
            continue  # without its mean an image has rounding errors at DC, and they have no log
        assert_close(a, b, name, 1e-9 if dtype == "float64" else 2e-3)


def in_float64(argument):
    is_real = isinstance(argument, torch.Tensor) and argument.is_floating_point()
    return argument.double() if is_real else argument


def backward_call(rng: np.random.Generator, convention: str, dtype: str, seed: int) -> tuple:
    """Arguments of spectral_means_backward; some of the gradients are missing."""
    n, height, width = (int(x) for x in rng.integers((1, 4, 4), (9, 40, 40)))
    channels, kind = int(rng.choice([1, 3])), getattr(torch, dtype)
    images = torch.from_numpy(rng.uniform(0, 255, (n, channels, height, width))).to(kind)
    if seed % 2:
        images = images.to(memory_format=torch.channels_last)
    chosen = conventions.CONVENTIONS[convention]
    plan = conventions.make_plan(height, width, convention, "corner")
    value = list(conventions.VALUES.values())[seed] if seed < 3 else chosen.value
    lengths = (len(plan.inverse_counts), height // 2 + 1, width // 2 + 1, 1)
    gradients = [torch.from_numpy(rng.standard_normal((n, k))).to(kind) for k in lengths]
    gradients[3] = gradients[3][:, 0]
    reaching = [None if seed == i else g for i, g in enumerate(gradients)]
    arguments = (plan.maps, plan.inverse_counts, plan.folded, chosen.round_gray)
    arguments += (chosen.input_gain, chosen.input_offset, seed in (1, 4))
    return images, *arguments, value.mode, value.gain, value.eps, *reaching


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("convention", sorted(conventions.CONVENTIONS))
def test_the_gradient_equals_the_reference(ops, convention: str, dtype: str, seed: int) -> None:
    rng = np.random.default_rng([24, seed, *convention.encode()])
    arguments = backward_call(rng, convention, dtype, seed)
    got = ops.spectral_means_backward(*arguments)
    want = reference.spectral_means_backward(*map(in_float64, arguments))
    assert (got.shape, got.dtype, got.is_contiguous()) == (want.shape, arguments[0].dtype, True)
    # A log has the largest slope where a coefficient is the smallest, and float32 rounds that one.
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    worst = (got - want).flatten(1).norm(dim=1) / want.flatten(1).norm(dim=1)
    assert worst.max() <= tolerance


def test_a_gradient_of_nothing_is_zero(ops) -> None:
    arguments = backward_call(np.random.default_rng(25), "jung", "float32", 5)
    assert not ops.spectral_means_backward(*arguments[:11], *[None] * 4).any()


def test_gradients_need_not_be_contiguous(ops) -> None:
    *arguments, bins, rows, columns, dc = backward_call(
        np.random.default_rng(26), "durall", "float32", 5
    )
    apart = [q.mT.contiguous().mT for q in (bins, rows, columns)]
    got = ops.spectral_means_backward(*arguments, *apart, torch.stack([dc, dc], 1)[:, 0])
    assert torch.equal(got, ops.spectral_means_backward(*arguments, bins, rows, columns, dc))


def test_a_batch_is_never_copied(ops) -> None:
    """What is allocated follows from the chunk, here one image, and not from the batch."""
    images = torch.randint(0, 256, (50, 64, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    plan = conventions.make_plan(64, 64, "centered", "corner")
    rest = (plan.maps, plan.inverse_counts, True, False, 1.0, 0.0, True, 0, 1.0, 0.0)
    with torch.profiler.profile(profile_memory=True) as profile:
        ops.spectral_means(images, *rest, True, False, False)
    events = profile.profiler.kineto_results.events()
    allocated = [event.nbytes() for event in events if event.name() == "[memory]"]
    spectrum = 64 * 33 * 8
    assert 64 * 64 * 4 <= max(allocated) <= 2 * spectrum


@pytest.mark.parametrize("seed", range(12))
def test_average_and_spread_equal_the_reference(ops, seed: int) -> None:
    rng = np.random.default_rng([22, seed])
    n, height, width = (int(x) for x in rng.integers((1, 1, 1), (4, 40, 40)))
    kind = ("dc", "half", "middle", "full")[seed % 4]
    maps, counts, folded = simt_oracle.random_maps(rng, height, width, kind)
    folded = folded and kind == "dc"  # the reference takes the flag at its word
    plan = (torch.from_numpy(maps), torch.from_numpy(counts), width, folded)
    dtype = (torch.float32, torch.float64)[seed // 4 % 2]
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    plane = torch.from_numpy(rng.standard_normal((n, *maps.shape[1:]))).to(dtype)
    averaged = ops.azimuthal_average(plane.mT.contiguous().mT, *plan)
    assert_close(averaged, reference.azimuthal_average(plane, *plan), "average", tolerance)
    spread = ops.azimuthal_spread(averaged, *plan)
    assert_close(spread, reference.azimuthal_spread(averaged, *plan), "spread", tolerance)


@pytest.mark.parametrize("convention", ["centered", "power"])
def test_the_mean_of_bytes_stays_out_of_the_transform(ops, convention: str) -> None:
    """A bright image of little contrast: beside its mean a float32 transform would round it off."""
    noise = np.random.default_rng(23).integers(249, 252, (5, 3, 32, 32), dtype=np.uint8)
    chosen = conventions.CONVENTIONS[convention]
    plan = conventions.make_plan(32, 32, convention, "corner")
    rest = (plan.maps, plan.inverse_counts, plan.folded, chosen.round_gray, chosen.input_gain)
    rest += (chosen.input_offset, False, 0, 1.0, 0.0, True, True, True)
    images = torch.from_numpy(noise)
    gray = reference.gray_planes(images, chosen.round_gray, torch.float64)[:, None]
    gray = gray * chosen.input_gain + chosen.input_offset
    want = reference.spectral_means(gray, *rest[:3], False, 1.0, 0.0, *rest[6:])
    for name, a, b in zip(NAMES, ops.spectral_means(images, *rest), want, strict=True):
        worst = ((a - b) / b).abs().max()
        assert worst < 2e-5, f"{name}: {worst:.2e} relative"


def test_slices_of_larger_batches_need_no_copy_by_the_caller(ops) -> None:
    images = torch.randint(0, 256, (6, 4, 40, 50), dtype=torch.uint8)[1:5, :3, 3:23, 5:40]
    plan = conventions.make_plan(20, 35, "centered", "corner")
    rest = (plan.maps, plan.inverse_counts, True, False, 1.0, 0.0, False, 0, 1.0, 0.0)
    got = ops.spectral_means(images, *rest, True, True, True)
    want = ops.spectral_means(images.contiguous(), *rest, True, True, True)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


def test_empty_batches(ops) -> None:
    plan = conventions.make_plan(8, 8, "centered", "corner")
    rest = (plan.maps, plan.inverse_counts, True, False, 1.0, 0.0, False, 0, 1.0, 0.0)
    images = torch.zeros(0, 1, 8, 8)
    results = ops.spectral_means(images, *rest, True, False, True)
    assert [tuple(r.shape) for r in results] == [(0, 6), (0, 0), (0, 5), (0,)]
    gradients = (results[0], None, results[2], results[3])
    assert ops.spectral_means_backward(images, *rest, *gradients).shape == images.shape


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": torch.zeros(1, 2, 8, 8)}, "1 or 3 channels"),
        ({"images": torch.zeros(1, 1, 8, 10)}, "maps do not belong"),
        ({"images": torch.zeros(1, 1, 8, 8, dtype=torch.int32)}, "uint8, float32 or float64"),
        ({"maps": torch.zeros(1, 8, 5)}, "maps must be int32"),
        ({"maps": torch.zeros(3, 8, 5, dtype=torch.int32)}, r"maps must be \(1 or 2, H, V\)"),
        ({"counts": torch.zeros(6)}, "inverse_counts must be float64"),
        ({"value": 4}, "value must be"),
        ({"gain": 0.0}, "input_gain must not be 0"),
    ],
)
def test_direct_calls_are_checked(ops, change: dict, words: str) -> None:
    plan = conventions.make_plan(8, 8, "centered", "corner")
    call = {"images": torch.zeros(1, 1, 8, 8), "maps": plan.maps, "counts": plan.inverse_counts}
    call |= {"folded": True, "round_gray": False, "gain": 1.0, "offset": 0.0, "hann": False}
    call |= {"value": 0, "value_gain": 1.0, "eps": 0.0, "a": True, "r": True, "c": True} | change
    with pytest.raises(RuntimeError, match=words):
        ops.spectral_means(*call.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"images": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)},
            "images must be float32 or float64",
        ),
        ({"bins": torch.zeros(1, 6, dtype=torch.float64)}, "gradient_azimuthal must have the type"),
        ({"bins": torch.zeros(1, 7)}, "gradient_azimuthal does not belong"),
        ({"rows": torch.zeros(5, 1)}, "gradient_rows does not belong"),
        ({"columns": torch.zeros(())}, "gradient_columns does not belong"),
        ({"dc": torch.zeros(2)}, "gradient_at_dc does not belong"),
        ({"images": torch.zeros(1, 1, 8, 10)}, "maps do not belong"),
    ],
)
def test_direct_calls_of_the_gradient_are_checked(ops, change: dict, words: str) -> None:
    plan = conventions.make_plan(8, 8, "centered", "corner")
    call = {"images": torch.zeros(1, 1, 8, 8), "maps": plan.maps, "counts": plan.inverse_counts}
    call |= {"folded": True, "round_gray": False, "gain": 1.0, "offset": 0.0, "hann": False}
    call |= {"value": 0, "value_gain": 1.0, "eps": 0.0}
    call |= {"bins": None, "rows": None, "columns": None, "dc": None} | change
    with pytest.raises(RuntimeError, match=words):
        ops.spectral_means_backward(*call.values())
