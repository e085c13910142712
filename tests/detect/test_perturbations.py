"""Every step of the robustness grid does what its name says, on the plane that comes out of it."""

from __future__ import annotations

import io
import re

import av
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from gandetect.detect import perturbations
from gandetect.detect.perturbations import GRID, ORIGINAL, encode_h264

STEPS = {one.name: one for one in GRID}
# The luminance table of the JPEG standard (Annex K), of which every quality is a multiple.
STANDARD = np.fromstring(
    """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80
    62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98
    112 100 103 99""",
    dtype=int,
    sep=" ",
)


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    """(511, 413): odd sides, more than one block of everything."""
    return torch.from_numpy(data.camera()[:511, :413].copy())


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    pixels = 128 + 30 * np.random.default_rng(0).standard_normal((512, 512))
    return torch.from_numpy(pixels.round().clip(0, 255).astype(np.uint8))


def standard_table(quality: int) -> list[int]:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((STANDARD * scale + 50) // 100, 1, 255).tolist()


def jpeg_with_table(plane: torch.Tensor, table: list[int]) -> torch.Tensor:
    """`plane` through a JPEG written with this very table, which is read back from the file."""
    buffer = io.BytesIO()
    Image.fromarray(plane.numpy()).save(buffer, "JPEG", qtables=[table])
    with Image.open(buffer) as written:
        assert list(written.quantization[0]) == table
        return torch.from_numpy(np.array(written))


def decoded(stream: bytes) -> np.ndarray:
    """The only frame of an H.264 stream, by another way than the package's."""
    with av.open(io.BytesIO(stream), format="h264") as container:
        (frame,) = container.decode(video=0)
        return frame.to_ndarray()


def rings(side: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The frequency of each coefficient, and some rings of frequencies, in cycles per pixel."""
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    return radius, [abs(radius - f) < 0.01 for f in (0.02, 0.05, 0.08, 0.12, 0.2, 0.3, 0.45)]


def gain(before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    """By how much amplitudes changed on each ring; what is new and unrelated drops out."""
    x, y = (np.fft.fft2(plane.numpy().astype(float)) for plane in (before, after))
    _, chosen = rings(len(before))
    return np.array([(y * x.conj())[r].real.sum() / (abs(x[r]) ** 2).sum() for r in chosen])


def wave(frequency: float, side: int = 256) -> torch.Tensor:
    line = 128 + 100 * np.cos(2 * np.pi * frequency * np.arange(side))
    return torch.from_numpy(np.tile(line, (side, 1)).round().astype(np.uint8))


def test_the_grid_is_that_of_the_protocol_in_its_order():
    assert list(STEPS) == [
        "none",
        *("jpeg-95", "jpeg-90", "jpeg-85", "jpeg-75", "jpeg-50", "jpeg-30"),
        *("blur-1", "blur-2", "blur-4", "sharpen-0.5", "sharpen-1.5"),
        *("resize-0.5", "resize-0.75", "resize-1.5"),
        *("crop", "noise-4", "q50+blur2", "web", "hard"),
        *("crf-18", "crf-23", "crf-28", "crf-35", "crf-40"),
    ]
    assert len(STEPS) == len(GRID)


@pytest.mark.parametrize("name", [name for name in STEPS if name != "none"])
def test_each_step_changes_the_plane_the_same_way_every_time(photograph, name):
    before = photograph.clone()
    first, second = (STEPS[name].apply(photograph) for _ in range(2))
    assert torch.equal(photograph, before)
    assert first.dtype == torch.uint8
    assert first.ndim == 2
    assert first.shape != photograph.shape or not torch.equal(first, photograph)
    assert torch.equal(first, second)


def test_none_leaves_the_plane_alone(photograph):
    assert ORIGINAL.apply(photograph) is photograph


@pytest.mark.parametrize("quality", perturbations.JPEG_QUALITIES)
def test_jpeg_is_written_with_the_tables_of_its_quality(photograph, quality):
    wanted = jpeg_with_table(photograph, standard_table(quality))
    assert torch.equal(STEPS[f"jpeg-{quality}"].apply(photograph), wanted)


@pytest.mark.parametrize("sigma", perturbations.BLUR_SIGMAS)
def test_blur_attenuates_as_the_gaussian_of_its_width(noise, sigma):
    measured = gain(noise, STEPS[f"blur-{sigma:g}"].apply(noise))
    radius, chosen = rings(len(noise))
    gaussian = np.exp(-2 * (np.pi * sigma * radius) ** 2)
    np.testing.assert_allclose(measured, [gaussian[ring].mean() for ring in chosen], atol=0.02)


@pytest.mark.parametrize("amount", perturbations.SHARPEN_AMOUNTS)
def test_sharpening_adds_what_a_gaussian_takes_away(noise, amount):
    # Of little contrast, so that nothing is clipped.
    faint = (noise.float() / 8 + 112).round().to(torch.uint8)
    measured = gain(faint, STEPS[f"sharpen-{amount:g}"].apply(faint))
    radius, chosen = rings(len(faint))
    wanted = 1 + amount * (1 - np.exp(-2 * (np.pi * radius) ** 2))
    np.testing.assert_allclose(measured, [wanted[ring].mean() for ring in chosen], atol=0.03)


@pytest.mark.parametrize("factor", perturbations.RESIZE_FACTORS)
def test_resize_gives_the_size_asked_for(photograph, factor):
    resized = STEPS[f"resize-{factor:g}"].apply(photograph)
    assert tuple(resized.shape) == (round(511 * factor), round(413 * factor))


@pytest.mark.parametrize("factor", [0.5, 0.75])
def test_reducing_keeps_what_the_new_size_can_hold_and_no_more(factor):
    kept = STEPS[f"resize-{factor:g}"].apply(wave(0.125))[8:-8, 8:-8].numpy()
    gone = STEPS[f"resize-{factor:g}"].apply(wave(0.47))[8:-8, 8:-8].numpy()
    assert kept.std() > 0.9 * 100 / 2**0.5
    # Lanczos is no ideal low-pass: 0.47 is just above the limit of three quarters the size.
    assert gone.std() < 0.15 * 100 / 2**0.5
    spectrum = abs(np.fft.rfft(kept[0] - kept[0].mean()))
    found = spectrum.argmax() / kept.shape[1]
    assert found == pytest.approx(0.125 / factor, abs=0.01)


def test_enlarging_adds_no_frequency_above_the_old_limit(noise):
    enlarged = STEPS["resize-1.5"].apply(noise).numpy().astype(float)
    power = abs(np.fft.fft2(enlarged - enlarged.mean())) ** 2
    f = abs(np.fft.fftfreq(len(enlarged)))
    above = np.maximum(f[:, None], f[None]) > 0.4
    below = np.maximum(f[:, None], f[None]) < 0.25
    assert power[above].mean() < 0.01 * power[below].mean()


def test_crop_is_the_middle_and_moves_the_blocks(photograph):
    cropped = STEPS["crop"].apply(photograph)
    removed = np.subtract(photograph.shape, cropped.shape)
    assert (removed == removed[0]).all()
    margin = removed[0] // 2
    assert margin % 2 == 1
    assert 0.7 < cropped.shape[1] / photograph.shape[1] < 0.8
    assert torch.equal(cropped, photograph[margin : 511 - margin, margin : 413 - margin])


def test_noise_has_its_deviation_and_is_another_one_for_each_image():
    flat = torch.full((256, 256), 128, dtype=torch.uint8)
    other = torch.full((256, 256), 127, dtype=torch.uint8)
    first, second = (STEPS["noise-4"].apply(plane).numpy().astype(float) for plane in (flat, other))
    rounding = 1 / 12
    assert first.std() == pytest.approx((4**2 + rounding) ** 0.5, rel=0.02)
    assert first.mean() == pytest.approx(128, abs=0.1)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02
    beside = np.corrcoef(first[:, :-1].ravel(), first[:, 1:].ravel())[0, 1]
    assert abs(beside) < 0.02


def test_q50_blur2_is_blurred_and_then_compressed(photograph):
    wanted = jpeg_with_table(STEPS["blur-2"].apply(photograph), standard_table(50))
    assert torch.equal(STEPS["q50+blur2"].apply(photograph), wanted)


@pytest.mark.parametrize(("name", "longest", "quality"), [("web", 768, 60), ("hard", 512, 40)])
def test_web_and_hard_bring_the_longest_side_down_and_compress(name, longest, quality):
    large = torch.from_numpy(np.tile(data.camera(), (2, 3))[:900, :1500].copy())
    wide = STEPS[name].apply(large)
    assert tuple(wide.shape) == (round(900 * longest / 1500), longest)
    assert tuple(STEPS[name].apply(large.T.contiguous()).shape) == tuple(wide.shape)[::-1]
    small = large[:200, :300].contiguous()
    wanted = jpeg_with_table(small, standard_table(quality))
    assert torch.equal(STEPS[name].apply(small), wanted)


@pytest.mark.parametrize("crf", perturbations.H264_CRFS)
def test_the_encoder_got_the_rate_factor_and_the_plane_is_what_it_wrote(photograph, crf):
    stream = encode_h264(photograph, crf)
    settings = re.search(rb"x264 - core.*?options: ([^\0]*)", stream)[1].decode()
    assert f" crf={crf}.0 " in settings
    plane = decoded(stream)[:511, :413]
    np.testing.assert_array_equal(STEPS[f"crf-{crf}"].apply(photograph).numpy(), plane)


def test_the_error_grows_with_the_rate_factor_and_stays_that_of_one_frame(photograph):
    errors = [
        float((STEPS[f"crf-{crf}"].apply(photograph).float() - photograph).square().mean() ** 0.5)
        for crf in perturbations.H264_CRFS
    ]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]
    assert 0.5 < errors[0] < 5


def test_the_stream_holds_one_intra_frame(photograph):
    with av.open(io.BytesIO(encode_h264(photograph, 28)), format="h264") as container:
        frames = list(container.decode(video=0))
    assert [frame.pict_type for frame in frames] == [av.video.frame.PictureType.I]


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"'blur-9'.*choose from none, jpeg-95"):
        perturbations.named("none", "blur-9")
