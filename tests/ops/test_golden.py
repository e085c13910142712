"""Published features of one fixed image, to the last printed digit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gandetect import ops


def pattern(height: int, width: int) -> torch.Tensor:
    """I[y, x] = (7x + 13y + xy) mod 256."""
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    return ((7 * x + 13 * y + x * y) % 256)[None]


DURALL = {
    (8, 8): (3, [110.833604, 86.238967, 79.940884], [], 92.337818),
    (16, 16): (
        9,
        [141.485569, 141.415837, 126.316624, 126.695697, 120.476354],
        [119.513562, 121.211298, 123.717081],
        126.165744,
    ),
    (15, 15): (
        8,
        [147.594790, 139.313198, 128.743880, 122.392039, 117.511129],
        [112.341572, 115.477332, 122.283717],
        125.707207,
    ),
    (16, 12): (
        8,
        [140.603584, 127.658926, 122.917852, 114.955829, 114.761474],
        [114.537917, 114.786305, 118.269978],
        121.061483,
    ),
    (128, 128): (
        88,
        [173.725171, 171.597065, 170.236699, 167.902916, 167.144652],
        [186.661359, 192.521345, 190.730133],
        176.248168,
    ),
    (218, 178): (
        139,
        [163.965602, 168.887769, 172.464302, 172.122538, 165.142481],
        [194.976928, 193.719931, 194.857610],
        183.539547,
    ),
}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 6e-7), (torch.uint8, 6e-3)])
@pytest.mark.parametrize("size", DURALL)
def test_durall(size, dtype, tolerance):
    length, first, last, mean = DURALL[size]
    profile = ops.spectral_profile(pattern(*size).to(dtype), "durall")[0]
    assert profile.shape == (length,)
    np.testing.assert_allclose(profile[: len(first)], first, atol=tolerance, rtol=0)
    if last:
        np.testing.assert_allclose(profile[-len(last) :], last, atol=tolerance, rtol=0)
    assert float(profile.mean()) == pytest.approx(mean, abs=tolerance)


def test_durall_of_a_constant_image():
    profile = ops.spectral_profile(torch.full((1, 16, 16), 77.0, dtype=torch.float64), "durall")
    np.testing.assert_allclose(profile[0, 1:], 20 * np.log(1e-8), atol=1e-6)


JUNG = {
    (8, 8): ([1.0, 0.574007, 0.332318, 0.245371, 0.177547, 0.0], []),
    (16, 16): (
        [1.0, 0.412249, 0.352513, 0.216948, 0.133378, 0.131484],
        [0.140786, 0.116413, 0.263264],
    ),
    (64, 64): ([1.0, 0.0, 0.162991, 0.207013], [0.206307, 0.315661, 0.280891]),
    (128, 128): ([1.0, 0.053182, 0.039431, 0.034108], [0.266376, 0.153798, 0.052249]),
}
JUNG_LENGTHS = {(8, 8): 6, (16, 16): 12, (64, 64): 46, (128, 128): 91, (256, 256): 182}


@pytest.mark.parametrize("size", JUNG)
def test_jung(size):
    first, last = JUNG[size]
    by_float = ops.spectral_profile(pattern(*size).double() / 255, "jung")[0]
    by_uint8 = ops.spectral_profile(pattern(*size).to(torch.uint8), "jung")[0]
    for profile, tolerance in ((by_float, 6e-7), (by_uint8, 1e-5)):
        np.testing.assert_allclose(profile[: len(first)], first, atol=tolerance, rtol=0)
        if last:
            np.testing.assert_allclose(profile[-len(last) :], last, atol=tolerance, rtol=0)


def test_jung_lengths():
    for (height, width), length in JUNG_LENGTHS.items():
        assert ops.profile_length(height, width, "jung") == length


def test_power():
    small = ops.spectral_profile(pattern(8, 8).double() / 127.5 - 1, "power")[0]
    np.testing.assert_allclose(small, [0.41916377, 0.06188095, 0.04183702], atol=6e-9)
    medium = ops.spectral_profile(pattern(16, 16).to(torch.uint8), "power")[0]
    np.testing.assert_allclose(medium[:3], [1.05219146, 1.33708789, 0.26938058], rtol=1e-5)
    assert float(medium.mean()) == pytest.approx(0.36141661, rel=1e-5)
    large = ops.spectral_profile(pattern(128, 128).double() / 127.5 - 1, "power")[0]
    np.testing.assert_allclose(large[:3], [0.14024731, 0.12379456, 0.13476879], atol=6e-9)
    np.testing.assert_allclose(large[-3:], [0.70226825, 1.05664531, 1.02366023], atol=6e-9)
    assert float(large.mean()) == pytest.approx(0.34151411, abs=6e-9)


CENTERED = {
    ((16, 12), "power"): (
        11,
        [530104576, 11109261.2, 2371426.94, 745203.687, 458385.817, 518400],
        [44397696, 3939296.39, 1493029.33],
        [36008288, 2584235.82, 667520],
    ),
    ((16, 12), "magnitude"): (
        11,
        [23024, 2669.22712, 1179.05063, 659.647744, 676.885511, 720],
        [2323.65619, 1268.75162, 751.530467],
        [2685.18643, 915.389379, 571.283832],
    ),
    ((16, 12), "log"): (
        11,
        [200.885849, 147.41969, 128.651873, 124.404005, 130.345419, 131.585024],
        [125.583313, 133.15783, 114.650012],
        [142.577127, 124.782996, 114.736943],
    ),
    ((15, 15), "power"): (
        10,
        [751911241, 13839217.6, 3418524.1, 914745.855, 243553.58, 342983.383],
        [50563975, 3930763.5, 1756483.49],
        [52979367, 3867004.98, 1073103.69],
    ),
}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 6e-9), (torch.uint8, 1e-5)])
@pytest.mark.parametrize(("size", "value"), CENTERED)
def test_centered(size, value, dtype, tolerance):
    length, azimuthal, rows, columns = CENTERED[size, value]
    a, r, c = ops.spectral_profile(
        pattern(*size).to(dtype), value=value, projections=("azimuthal", "rows", "columns")
    )
    assert a.shape == (1, length)
    assert r.shape == (1, size[0] // 2 + 1)
    assert c.shape == (1, size[1] // 2 + 1)
    np.testing.assert_allclose([*a[0, :4], *a[0, -2:]], azimuthal, rtol=tolerance)
    np.testing.assert_allclose(r[0, :3], rows, rtol=tolerance)
    np.testing.assert_allclose(c[0, :3], columns, rtol=tolerance)


RESAMPLED = {
    ((128, 128), 80): (
        [1, 0.987047, 0.977378, 0.963780, 0.963761],
        [1.073594, 1.104594, 1.097884],
        1.014552,
    ),
    ((128, 128), 300): (
        [1, 0.994958, 0.991334],
        [1.116779, 1.113130, 1.097884],
        1.014292,
    ),
    ((218, 178), 80): ([1, 1.047152, 1.025099], [1.175610, 1.188297, 1.188405], None),
}


@pytest.mark.parametrize(("size", "points"), RESAMPLED)
def test_resampled(size, points):
    first, last, mean = RESAMPLED[size, points]
    profile = ops.spectral_profile(
        pattern(*size).double(), "durall", resample=points, normalize="first"
    )[0]
    np.testing.assert_allclose(profile[: len(first)], first, atol=6e-7)
    np.testing.assert_allclose(profile[-3:], last, atol=6e-7)
    if mean:
        assert float(profile.mean()) == pytest.approx(mean, abs=6e-7)


def test_upconv_min_max():
    profile = ops.spectral_profile(
        pattern(128, 128).double() / 127.5 - 1, "durall", normalize="minmax"
    )[0]
    np.testing.assert_allclose(profile[:4], [0.259313, 0.175453, 0.121846, 0.029880], atol=6e-7)
    np.testing.assert_allclose(profile[-2:], [1, 0.929415], atol=6e-7)
    assert float(profile.mean()) == pytest.approx(0.358735, abs=6e-7)


def test_lengths():
    durall = {32: 20, 64: 43, 128: 88, 224: 156, 256: 179, 299: 209, 512: 360, 1024: 722}
    centered = {64: 46, 128: 91, 224: 159, 256: 182, 512: 363, 1024: 725}
    for side, length in durall.items():
        assert ops.profile_length(side, side, "durall") == length
    for side, length in centered.items():
        assert ops.profile_length(side, side) == length
    assert ops.profile_length(218, 178, "durall") == 139
    assert ops.profile_length(720, 1280, "durall") == 732
    assert ops.profile_length(1080, 1920, "durall") == 1099
    assert ops.profile_length(1080, 1920) == 1102


def test_last_bins_hold_partial_arcs():
    for side in (256, 512, 1024):
        assert ops.azimuthal_counts(side, side)[-4:].tolist() == [28, 8, 4, 1]
    for side in (64, 224):
        assert ops.azimuthal_counts(side, side)[-4:].tolist() == [16, 20, 4, 1]
    assert ops.azimuthal_counts(1080, 1920)[-4:].tolist() == [26, 20, 10, 1]
