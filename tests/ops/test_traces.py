"""What looks into pixels: against float64, over threads and batches, and what makes no sense."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import fft
from torch import Tensor
from upsampling_oracle import assert_agree

from gandetect import ops
from gandetect.ops import _ext, traces_reference

ROUNDING = 0.5
# Responses of whole gray levels are exact.
ERRORS = {torch.uint8: 2e-6, torch.float32: 1e-5}
# Of one, two and four rows or columns, some of which no tap uses.
FILTERS = torch.tensor(
    [
        [[1, -1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[-1, 0, 0, 0], [3, 0, 0, 0], [-3, 0, 0, 0], [1, 0, 0, 0]],
        [[-1, 2, -1, 0], [2, -4, 2, 0], [-1, 2, -1, 0], [0, 0, 0, 0]],
        [[0.25, 0, 0, -1], [0, 0.5, 0, 0], [0, 0, 0, 0], [0, -2, 0, 1.25]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ]
)
# (images, height, width): less than a vector, more than products are kept before they are
# normalized at every level, what no vector divides.
SIZES = ((2, 7, 7), (3, 8, 19), (1, 33, 40), (2, 64, 64), (1, 9, 2100), (1, 130, 67))
FILTERED = ("phase_means", "row_log_means")


def images_of(size: tuple[int, int, int], dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, size, generator=generator)
    if dtype == torch.uint8:
        return levels.to(dtype)
    return levels.to(dtype) + torch.rand(size, generator=generator).to(dtype)


def responses_of(images: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """(N, h, w) in float64, of all rows and columns that have the taps that are not 0."""
    places = np.argwhere(taps)
    reach = places.max(axis=0) if len(places) else np.zeros(2, int)
    height, width = np.array(images.shape[1:]) - reach
    total = np.zeros((len(images), height, width))
    for y, x in places:
        total += taps[y, x] * images[:, y : y + height, x : x + width]
    return total


def phase_means_of(images: np.ndarray, taps: np.ndarray) -> np.ndarray:
    r = responses_of(images, taps)
    r = r[:, : r.shape[1] // 4 * 4, : r.shape[2] // 4 * 4]
    size = np.abs(r) + ROUNDING
    means = np.empty((len(r), 2, 4, 4))
    for a, b in itertools.product(range(4), range(4)):
        means[:, 0, a, b] = r[:, a::4, b::4].mean(axis=(1, 2)) / size.mean(axis=(1, 2))
        means[:, 1, a, b] = np.log(size[:, a::4, b::4]).mean(axis=(1, 2))
    return means


def row_log_means_of(images: np.ndarray, taps: np.ndarray) -> np.ndarray:
    rows = images.shape[1] - len(taps) + 1
    return np.log(np.abs(responses_of(images, taps)[:, :rows]) + ROUNDING).mean(axis=2)


WANTED = {"phase_means": phase_means_of, "row_log_means": row_log_means_of}


def wanted_of(name: str, images: Tensor) -> Tensor:
    planes, filters = images.double().numpy(), FILTERS.double().numpy()
    return torch.from_numpy(np.stack([WANTED[name](planes, one) for one in filters], axis=1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", FILTERED)
def test_accuracy(name, size, dtype):
    images = images_of(size, dtype)
    wanted = wanted_of(name, images)
    actual = getattr(ops, name)(images, FILTERS, rounding=ROUNDING)
    assert (actual.dtype, actual.shape) == (torch.float32, wanted.shape)
    assert (actual - wanted).abs().max() <= ERRORS[dtype]
    by_torch = getattr(traces_reference, name)(images, FILTERS, ROUNDING)
    assert (actual - by_torch).abs().max() <= 2 * ERRORS[dtype]


@pytest.mark.parametrize("name", FILTERED)
def test_huge_and_tiny_values(name):
    """A product of sizes would leave the range of floats; its significands do not."""
    for scale in (1e-30, 1e30):
        images = images_of((1, 16, 300), torch.float32) * scale
        rounding = scale
        actual = getattr(ops, name)(images, FILTERS[:3], rounding=rounding)
        wanted = getattr(ops, name)(images / scale, FILTERS[:3], rounding=1.0).double()
        if name == "phase_means":
            wanted[:, :, 1] += np.log(scale)
        else:
            wanted += np.log(scale)
        assert (actual - wanted).abs().max() <= 2e-5


@pytest.mark.parametrize("name", FILTERED)
def test_other_types_and_views_are_measured_as_they_are(name):
    function = getattr(ops, name)
    plain = images_of((2, 24, 20), torch.float32)
    wanted = function(plain, FILTERS)
    larger = torch.zeros(4, 48, 40)
    larger[::2, ::2, ::2] = plain
    for view in (larger[::2, ::2, ::2], plain.transpose(1, 2).contiguous().transpose(1, 2)):
        assert torch.equal(function(view, FILTERS), wanted)
    assert torch.equal(function(plain.double(), FILTERS.double()), wanted)


@pytest.mark.parametrize("name", FILTERED)
def test_an_image_is_measured_alike_whatever_else_is_there(name):
    images = images_of((5, 40, 36), torch.uint8)
    function = getattr(ops, name)
    whole = function(images, FILTERS)
    for n, image in enumerate(images):
        assert torch.equal(function(image[None], FILTERS)[0], whole[n])
    for f, one in enumerate(FILTERS):
        assert torch.equal(function(images, one[None])[:, 0], whole[:, f])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", FILTERED)
def test_what_is_no_number_stays_in_its_image(name, bad):
    images = images_of((3, 20, 24), torch.float32)
    images[1, 9, 10] = bad
    means = getattr(ops, name)(images, FILTERS[:4])
    assert means[::2].isfinite().all()
    logs = means[1, :, 1] if name == "phase_means" else means[1]
    # Of every filter that has taps, some.
    assert logs.isnan().flatten(1).any(dim=1).all()
    by_torch = getattr(traces_reference, name)(images, FILTERS[:4], ROUNDING)
    assert torch.equal(means.isnan(), by_torch.isnan())


@pytest.mark.parametrize("name", FILTERED)
def test_no_image_and_no_filter(name):
    function = getattr(ops, name)
    some = images_of((2, 12, 12), torch.uint8)
    assert function(some[:0], FILTERS).shape[:2] == (0, len(FILTERS))
    assert function(some, FILTERS[:0]).shape[:2] == (2, 0)


# Steps of JPEG


def plane_of(height: int = 64, width: int = 72, seed: int = 0) -> Tensor:
    """Blocks of every contrast."""
    noise = images_of((1, height, width), torch.uint8, seed)[0].double() - 128
    return (128 + noise * torch.linspace(0, 1, width)).round().to(torch.uint8)


def grid(plane: Tensor, top: int = 0, left: int = 0) -> Tensor:
    rows, columns = (
        torch.arange(first, side - 7, 8, dtype=torch.int32)
        for first, side in zip((top, left), plane.shape, strict=True)
    )
    return torch.cartesian_prod(rows, columns)


def evidence_of(bins: int, steps: int) -> Tensor:
    return torch.randn(bins, steps, generator=torch.Generator().manual_seed(3))


def coefficients_of(plane: Tensor, origins: Tensor) -> np.ndarray:
    """(B, 64) in float64."""
    values = plane.double().numpy()
    blocks = [values[y : y + 8, x : x + 8] for y, x in origins.tolist()]
    return np.stack([fft.dctn(block, norm="ortho").ravel() for block in blocks])


def odds_of(plane: Tensor, origins: Tensor, evidence: Tensor, per_unit: float) -> tuple:
    """Odds (O, Q, 64), and the sums of the sizes of their terms; of coefficients near the edge of a
    bin, which may fall into either, the grid and place."""
    weights = evidence.double().numpy()
    bins, steps = weights.shape
    odds = np.zeros((len(origins), steps, 64))
    sizes, near = np.zeros_like(odds), np.zeros((len(origins), 64), bool)
    for o, of_grid in enumerate(origins):
        places = np.abs(coefficients_of(plane, of_grid)) * per_unit + 0.5 + 2**-10
        near[o] = (np.abs(places - np.rint(places)) < 2e-4 * per_unit).any(axis=0)
        for block in np.floor(places).astype(int):
            for g in np.flatnonzero(block < bins):
                odds[o, :, g] += weights[block[g]]
                sizes[o, :, g] += np.abs(weights[block[g]])
    return odds, sizes, near


# (bins, steps, bins per unit): those of a search, of a fit, and what no vector divides.
@pytest.mark.parametrize("table", [(49, 24, 2.0), (513, 128, 4.0), (7, 3, 0.5), (200, 17, 1.0)])
def test_odds_against_float64(table):
    bins, steps, per_unit = table
    plane, evidence = plane_of(), evidence_of(bins, steps)
    # 55 blocks each, an odd number.
    origins = torch.stack([grid(plane, top, left)[:55] for top, left in ((0, 0), (3, 5), (7, 1))])
    odds, sizes, near = odds_of(plane, origins, evidence, per_unit)
    assert near.mean() < 0.5
    sure = np.broadcast_to(~near[:, None], odds.shape)
    for name, function in (("op", ops), ("reference", traces_reference)):
        given = (plane, origins, evidence)
        if function is ops:
            actual = ops.jpeg_step_log_odds(*given, per_unit=per_unit)
        else:
            actual = traces_reference.jpeg_step_log_odds(*given, per_unit)
        assert actual.dtype == torch.float32
        error = np.abs(actual.double().numpy() - odds)
        assert (error[sure] <= 1e-6 * sizes[sure]).all(), name


def test_the_steps_of_a_quantized_plane_have_the_highest_odds():
    """Evidence that counts whole multiples finds the step of every coefficient."""
    step = 12
    rng = np.random.default_rng(0)
    levels = step * rng.integers(-3, 4, (64, 8, 8))
    blocks = np.stack([fft.idctn(block, norm="ortho") for block in levels]) + 128
    plane = np.rint(blocks).clip(0, 255).astype(np.uint8)
    plane = plane.reshape(8, 8, 8, 8).swapaxes(1, 2).reshape(64, 64)
    sizes, steps = torch.arange(129)[:, None] / 2, torch.arange(1, 33)
    off = (sizes - steps * (sizes / steps).round()).abs()
    evidence = torch.where(sizes > 2, steps.float().log() * (off < 1.5) - (off >= 1.5) * 2.0, 0.0)
    tensor = torch.from_numpy(plane)
    shifted = torch.stack([grid(tensor)[:49], grid(tensor, 4, 3)[:49]])
    odds = ops.jpeg_step_log_odds(tensor, shifted, evidence, per_unit=2.0)
    assert (odds[0, :, 1:].argmax(dim=0) == step - 1).float().mean() >= 0.95
    assert odds[0].amax(dim=0).sum() > 3 * odds[1].amax(dim=0).sum()


def test_odds_do_not_depend_on_the_order_nor_on_other_grids():
    plane, evidence = plane_of(), evidence_of(49, 24)
    origins = torch.stack([grid(plane, top, 0)[:50] for top in range(5)])
    whole = ops.jpeg_step_log_odds(plane, origins, evidence, per_unit=2.0)
    for o, of_grid in enumerate(origins):
        shuffled = of_grid[torch.randperm(50, generator=torch.Generator().manual_seed(o))]
        alone = ops.jpeg_step_log_odds(plane, shuffled[None], evidence, per_unit=2.0)
        assert torch.equal(alone[0], whole[o])
    assert ops.jpeg_step_log_odds(plane.double().to(torch.uint8).T.contiguous().T, origins,
                                  evidence, per_unit=2.0).equal(whole)  # fmt: skip


def test_no_grid_no_block_and_no_step():
    plane, evidence = plane_of(), evidence_of(9, 4)
    origins = grid(plane)[None]

    def odds(places: Tensor, table: Tensor) -> Tensor:
        return ops.jpeg_step_log_odds(plane, places, table, per_unit=1.0)

    assert odds(origins[:0], evidence).shape == (0, 4, 64)
    assert odds(origins, evidence[:, :0]).shape == (1, 0, 64)
    assert torch.equal(odds(origins[:, :0], evidence), torch.zeros(1, 4, 64))
    assert torch.equal(odds(origins, evidence[:0]), torch.zeros(1, 4, 64))


# All


def calls() -> dict[str, tuple]:
    images, plane = images_of((3, 37, 45), torch.float32), plane_of()
    origins = torch.stack([grid(plane, top, 2)[:50] for top in range(7)])
    return {
        "phase_means": (images, FILTERS, ROUNDING),
        "row_log_means": (images, FILTERS, ROUNDING),
        "jpeg_step_log_odds": (plane, origins, evidence_of(49, 24), 2.0),
    }


@pytest.mark.parametrize("name", calls())
def test_bits_do_not_depend_on_threads(name):
    op, arguments, before = (
        getattr(torch.ops.gandetect, name),
        calls()[name],
        torch.get_num_threads(),
    )
    try:
        torch.set_num_threads(1)
        wanted = op(*arguments)
        for count in (2, 3, 5):
            torch.set_num_threads(count)
            assert torch.equal(op(*arguments), wanted)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not _ext.available(), reason="the kernels are not compiled")
@pytest.mark.parametrize("name", calls())
def test_opcheck(name):
    """What the dispatcher asks of an op without a gradient."""
    tests = ("test_schema", "test_faketensor")
    op = getattr(torch.ops.gandetect, name)
    torch.library.opcheck(op, calls()[name], test_utils=tests)


@pytest.mark.parametrize("name", calls())
def test_arguments_stay_as_they_are_and_no_gradient_comes(name):
    arguments = [one.clone() if isinstance(one, Tensor) else one for one in calls()[name]]
    *tensors, number = arguments
    for one in tensors:
        if one.is_floating_point():
            one.requires_grad_()
    before = [one.detach().clone() for one in tensors]
    keyword = "per_unit" if name == "jpeg_step_log_odds" else "rounding"
    result = getattr(ops, name)(*tensors, **{keyword: number})
    assert not result.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))
    assert_agree(result, getattr(torch.ops.gandetect, name)(*before, number), 1e-7, name)


PLANE = plane_of()
ORIGINS = grid(PLANE)[None]
WRONG_FILTERING = (
    (torch.ones(4, 9), FILTERS, 0.5, ValueError, r"images is \(4, 9\); it must be \(N, H, W\)"),
    (None, FILTERS, 0.5, TypeError, "images is a NoneType; it must be a tensor"),
    (torch.ones(1, 9, 9).int(), FILTERS, 0.5, TypeError, "must be uint8 or floating"),
    (torch.ones(1, 9, 9), FILTERS[0], 0.5, ValueError, r"it must be \(F, h, w\)"),
    (torch.ones(1, 9, 9), FILTERS.int(), 0.5, TypeError, "filters is torch.int32; it must be flo"),
    (torch.ones(1, 9, 9), FILTERS[:, :0], 0.5, ValueError, "they must have a tap"),
    (torch.ones(1, 9, 9), FILTERS, 0.0, ValueError, "rounding is 0.0; it must be a positive"),
    (torch.ones(1, 9, 9), FILTERS, float("nan"), ValueError, "rounding is nan"),
    (torch.ones(1, 9, 9), FILTERS, 1e-40, ValueError, "rounding is 1e-40"),
    (torch.ones(1, 3, 9), FILTERS, 0.5, ValueError, "images of 3x9 given; these filters need"),
)
WRONG_ODDS = (
    (PLANE.float(), ORIGINS, TypeError, "plane is torch.float32; it must be torch.uint8"),
    (PLANE[None], ORIGINS, ValueError, r"it must be \(H, W\)"),
    (PLANE, ORIGINS.long(), TypeError, "origins is torch.int64; it must be torch.int32"),
    (PLANE, ORIGINS[0], ValueError, r"it must be \(O, B, 2\)"),
    (PLANE, ORIGINS[..., :1], ValueError, r"it must be \(O, B, 2\)"),
    (PLANE, ORIGINS - 1, ValueError, "blocks beyond a plane of 64x72 given; they must leave room"),
    (PLANE, ORIGINS + 1, ValueError, "blocks beyond a plane of 64x72 given"),
    (PLANE[:, :64], ORIGINS.flip(2), ValueError, "blocks beyond a plane of 64x64 given"),
)


@pytest.mark.parametrize(("images", "filters", "rounding", "error", "said"), WRONG_FILTERING)
@pytest.mark.parametrize("name", FILTERED)
def test_errors_of_filtering(name, images, filters, rounding, error, said):
    with pytest.raises(error, match=said):
        getattr(ops, name)(images, filters, rounding=rounding)


@pytest.mark.parametrize(("plane", "origins", "error", "said"), WRONG_ODDS)
def test_errors_of_odds(plane, origins, error, said):
    with pytest.raises(error, match=said):
        ops.jpeg_step_log_odds(plane, origins, evidence_of(9, 4), per_unit=1.0)


@pytest.mark.parametrize("per_unit", [0, -1.0, float("inf"), 10**400, "2"])
def test_errors_of_units(per_unit):
    with pytest.raises(ValueError, match=r"per_unit is .*; it must be a positive number"):
        ops.jpeg_step_log_odds(PLANE, ORIGINS, evidence_of(9, 4), per_unit=per_unit)


@pytest.mark.skipif(not _ext.available(), reason="the kernels are not compiled")
def test_kernels_refuse_what_the_functions_would():
    op = torch.ops.gandetect
    for name in FILTERED:
        with pytest.raises(RuntimeError, match="are too small"):
            getattr(op, name)(torch.ones(1, 3, 9), FILTERS, 0.5)
        with pytest.raises(RuntimeError, match="rounding must be a positive float32"):
            getattr(op, name)(torch.ones(1, 9, 9), FILTERS, 0.0)
    for per_unit in (-1.0, 0.0, float("nan"), float("inf")):
        with pytest.raises(RuntimeError, match="per_unit must be a positive float32"):
            op.jpeg_step_log_odds(PLANE, ORIGINS, evidence_of(9, 4), per_unit)
    for wrong in (ORIGINS - 1, ORIGINS + 1):
        with pytest.raises(RuntimeError, match="does not lie in the plane"):
            op.jpeg_step_log_odds(PLANE, wrong, evidence_of(9, 4), 1.0)
