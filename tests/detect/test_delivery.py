"""What the pixels tell of an image's delivery, on photographs whose history is known.

The photographs are decimated by two first, which wipes out what happened to them before.
"""

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage
from skimage import data

from gandetect.detect.delivery import (
    DELIVERIES,
    SIZES,
    calibration_class,
    calibration_harm,
    estimate_delivery,
    image_delivery,
    is_resized,
    is_soft,
    looks_enlarged,
    sharpness,
    size_class,
)
from gandetect.detect.jpeg_steps import quantization_table, table_quality
from gandetect.media import read_luma

SIDE = 256
NAMES = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "moon", "rocket",
)  # fmt: skip


def luma(pixels):
    return np.array(Image.fromarray(pixels).convert("L"))


def decimated(pixels):
    """Means of 2x2 pixels of the luma plane or of each color."""
    height, width = (length // 2 * 2 for length in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8).squeeze()


def center(plane, side=SIDE):
    side = min(side, *plane.shape)
    top, left = ((length - side) // 2 for length in plane.shape)
    return plane[top : top + side, left : left + side]


def compressed(pixels, quality=None, **options):
    """`pixels` after JPEG, and the luma table of the file."""
    buffer = io.BytesIO()
    if quality is not None:
        options["quality"] = quality
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    picture = Image.open(buffer)
    return np.array(picture), picture.quantization[0]


def enlarged(plane, factor):
    size = tuple(round(length * factor) for length in plane.shape[::-1])
    picture = Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.rint(np.array(picture)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def planes():
    """Photographs never compressed nor enlarged, (S, S) with S up to 370."""
    return [decimated(luma(getattr(data, name)())) for name in NAMES]


@pytest.fixture(scope="module")
def photographs(planes):
    return [center(plane) for plane in planes]


@pytest.mark.parametrize("quality", [50, 60, 70, 80, 90, 95])
def test_quality_is_read_from_the_pixels(photographs, quality):
    found = [estimate_delivery(compressed(p, quality)[0]).quality for p in photographs]
    assert sum(q is not None and abs(q - quality) <= 1 for q in found) >= 0.95 * len(found)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_grid_and_quality_survive_a_crop(photographs, quality):
    rng = np.random.default_rng(quality)
    right = 0
    for photograph in photographs:
        top, left = (int(n) for n in rng.integers(8, size=2))
        cropped = compressed(photograph, quality)[0][top:, left:]
        found = estimate_delivery(cropped)
        wanted = ((8 - top) % 8, (8 - left) % 8)
        right += found.grid_offset == wanted and abs(found.quality - quality) <= 5
    assert right >= 0.95 * len(photographs)


def test_never_compressed_photographs_show_no_compression(photographs):
    found = [estimate_delivery(photograph) for photograph in photographs]
    assert [f.quality for f in found] == [None] * len(found)
    assert {f.grid_offset for f in found} == {None}


def test_colors_and_a_lossless_copy_keep_the_trace():
    for name in ("astronaut", "chelsea", "coffee"):
        colors = decimated(getattr(data, name)())
        found = estimate_delivery(luma(compressed(colors, 80, subsampling=2)[0]))
        assert (found.quality, found.grid_offset) == (80, (0, 0))


def test_the_last_compression_counts(photographs):
    for photograph in photographs:
        once = compressed(photograph, 70)[0][3:, 5:]
        assert estimate_delivery(compressed(once, 85)[0]).quality == 85


def test_big_images_keep_their_offset_in_the_window():
    big = np.tile(decimated(luma(data.astronaut())), (4, 3))
    cropped = compressed(big, 80)[0][3:, 6:]
    assert estimate_delivery(cropped).grid_offset == (5, 2)


@pytest.mark.parametrize("factor", [1.5, 2.0])
def test_enlargement_is_found(planes, factor):
    found = [estimate_delivery(center(enlarged(plane, factor))).resampling for plane in planes]
    right = [f is not None and abs(f - factor) < 0.02 for f in found]
    assert sum(right) >= 0.9 * len(right)


@pytest.mark.parametrize("quality", [None, 95, 75, 50])
def test_no_enlargement_is_seen_where_there_was_none(photographs, quality):
    images = [p if quality is None else compressed(p, quality)[0] for p in photographs]
    alarms = [estimate_delivery(image).resampling for image in images]
    assert sum(a is not None for a in alarms) <= 0.05 * len(alarms)


def test_enlargement_is_found_under_mild_compression(planes):
    images = [compressed(center(enlarged(plane, 1.5)), 95)[0] for plane in planes]
    found = [estimate_delivery(image) for image in images]
    assert sum(f.resampling is not None for f in found) >= 0.8 * len(found)
    assert {f.quality for f in found} == {95}


def test_blocks_of_another_codec_are_no_enlargement(photographs):
    found = []
    for photograph in photographs:
        buffer = io.BytesIO()
        Image.fromarray(photograph).save(buffer, "WEBP", quality=75)
        found.append(estimate_delivery(luma(np.array(Image.open(buffer)))))
    assert sum(f.blocks and f.resampling is None for f in found) >= 0.8 * len(found)
    assert {f.quality for f in found} == {None}


def test_blur_softens_and_unsharp_masking_sharpens(photographs):
    for photograph in photographs:
        blurred = ndimage.gaussian_filter(photograph, 1.0)
        mask = ImageFilter.UnsharpMask(radius=1, percent=100, threshold=0)
        crisp = np.array(Image.fromarray(photograph).filter(mask))
        low, middle, high = (estimate_delivery(x) for x in (blurred, photograph, crisp))
        assert low.sharpness < middle.sharpness < high.sharpness
        assert low.finish == "softened"
        assert middle.finish != "softened"


def test_finish_of_white_noise_and_of_blurred_noise():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    assert estimate_delivery(noise).finish == "sharpened"
    assert estimate_delivery(noise).sharpness == pytest.approx(0.5, abs=0.02)
    assert estimate_delivery(ndimage.gaussian_filter(noise, 2.0)).finish == "softened"


def test_the_header_gives_the_quality_exactly():
    gray = np.zeros((32, 32), np.uint8)
    for quality in range(1, 101):
        table = compressed(gray, quality)[1]
        assert list(quantization_table(quality).ravel()) == list(table)
        assert (table_quality(table).quality, table_quality(table).standard) == (quality, True)


def test_the_header_goes_before_the_pixels(photographs):
    pixels = compressed(photographs[0], 75)[0]
    assert estimate_delivery(pixels, quantization_table(90).ravel()).quality == 90


def test_a_nonstandard_table_gets_the_nearest_quality(photographs):
    table = [int(step) + 2 * (i % 2) for i, step in enumerate(quantization_table(80).ravel())]
    for photograph in photographs:
        pixels, stored = compressed(photograph, qtables=[table])
        header, found = estimate_delivery(pixels, stored), estimate_delivery(pixels)
        assert not header.standard_table
        assert not found.standard_table
        assert abs(found.quality - header.quality) <= 5


@pytest.mark.parametrize("side", [32, 33, 40, 63])
def test_small_images_get_their_quality_and_no_wild_factor(photographs, side):
    for photograph in photographs:
        found = estimate_delivery(compressed(center(photograph, side), 80)[0])
        assert found.quality is None or abs(found.quality - 80) <= 5
        assert found.resampling is None


def test_the_means_of_flat_blocks_are_no_evidence():
    levels = np.random.default_rng(0).integers(1, 16, (4, 4)).astype(np.uint8)
    assert estimate_delivery(np.kron(levels, np.ones((64, 64), np.uint8))).quality is None


def test_a_flat_image_tells_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimate_delivery(np.full((64, 64), 128, np.uint8))
    assert (found.quality, found.resampling, found.sharpness) == (None, None, 0.0)


def test_what_was_blurred_or_enlarged_is_soft_and_photographs_are_not(photographs):
    def soft(change):
        return np.mean([is_soft(change(one)) for one in photographs])

    assert soft(lambda one: one) <= 0.1
    assert soft(lambda one: ndimage.gaussian_filter(one, 1.0)) >= 0.9
    assert soft(lambda one: ndimage.gaussian_filter(one, 2.0)) == 1
    assert soft(lambda one: enlarged(center(one, 128), 2.0)) >= 0.8
    # Compression does not hide it.
    assert soft(lambda one: compressed(ndimage.gaussian_filter(one, 1.0), 75)[0]) >= 0.9


@pytest.mark.parametrize("kind", [Image.Resampling.LANCZOS, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("factor", [1.25, 1.5])
def test_what_was_enlarged_is_known_by_its_line_where_it_is_not_soft(photographs, factor, kind):
    def resized(plane):
        picture = Image.fromarray(center(plane, 128))
        return np.array(picture.resize((round(picture.width * factor),) * 2, kind))

    enlarged_ones = [resized(one) for one in photographs]
    assert np.mean([is_resized(one, "lossless") for one in enlarged_ones]) >= 0.8
    assert np.mean([looks_enlarged(one, "lossless") for one in enlarged_ones]) >= 0.9
    # JPEG weakens the line.
    if factor == 1.5:
        after = [compressed(one, 90)[0] for one in enlarged_ones]
        assert np.mean([is_resized(one, "JPEG high") for one in after]) > 0.5
    assert not any(is_resized(one, "JPEG low") for one in enlarged_ones)


def test_photographs_and_doubled_ones_are_not_called_resized(photographs):
    planes = [center(one) for one in photographs]
    assert not any(is_resized(one, "lossless") for one in planes)
    for quality, compression in ((95, "JPEG high"), (75, "JPEG mid")):
        after = [compressed(one, quality)[0] for one in planes]
        assert not any(is_resized(one, compression) for one in after)
    doubled = [enlarged(center(one, 128), 2.0) for one in photographs]
    assert not any(is_resized(one, "lossless") for one in doubled)


def test_the_class_of_a_resized_file_is_that_of_soft_ones(photographs):
    crisp = max(photographs, key=sharpness)
    picture = Image.fromarray(center(crisp, 128)).resize((192, 192), Image.Resampling.LANCZOS)
    assert not is_soft(np.array(picture))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    file = buffer.getvalue()
    assert image_delivery(read_luma(file), file) == "soft"


def test_any_type_of_plane_is_as_soft():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128))
    assert not is_soft(noise.astype(np.float32))
    assert is_soft(ndimage.gaussian_filter(noise.astype(np.float32), 2.0))


@pytest.mark.parametrize(
    ("side", "wanted"),
    [(32, "64"), (127, "64"), (128, "128"), (256, "256"), (511, "256"), (512, "512+")],
)
def test_size_classes(side, wanted):
    assert size_class(side) == wanted


def test_every_class_has_its_level_of_harm():
    harm = calibration_harm()
    assert set(harm) == {calibration_class(d, s) for d in DELIVERIES for s in SIZES}
    assert harm["JPEG low 64"] > harm["JPEG low 256"] > harm["lossless 256"]


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((64, 64), np.float32),
        np.zeros((3, 64, 64), np.uint8),
        np.zeros((31, 64), np.uint8),
    ],
)
def test_other_planes_are_refused(plane):
    with pytest.raises(ValueError, match=r"want \(H, W\) uint8"):
        estimate_delivery(plane)


@pytest.mark.parametrize("quality", [0, 101])
def test_other_qualities_are_refused(quality):
    with pytest.raises(ValueError, match="want 1 to 100"):
        quantization_table(quality)


@pytest.mark.parametrize("table", [[1] * 63, [0] * 64])
def test_other_tables_are_refused(table):
    with pytest.raises(ValueError, match="want 64 steps"):
        table_quality(table)
