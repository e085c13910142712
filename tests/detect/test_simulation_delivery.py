"""Deliveries do what they say to both images of a pair, and hide what the real one was before."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gandetect.detect.features import FeatureSpec, extract
from gandetect.detect.simulate import (
    Compression,
    Delivery,
    Resize,
    compress,
    deliver,
    draw_delivery,
    original_crop,
)
from gandetect.detect.tiles import cut_tiles
from gandetect.media import read_luma

PLAIN = Delivery(scale=1.0, side=128, top=0.5, left=0.5, filter="box")


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(data.astronaut()[:128, 128:256])


def error(picture, *compressions):
    delivered = deliver(picture, replace(PLAIN, compressions=compressions))
    return float((delivered.float() - deliver(picture, PLAIN).float()).square().mean())


def drawn(count=300, height=480, width=640):
    return [draw_delivery(height, width, 384, np.random.default_rng(i)) for i in range(count)]


def test_lossless_is_the_luma_of_the_pixels(picture):
    np.testing.assert_array_equal(deliver(picture, PLAIN).numpy(), np.asarray(picture.convert("L")))
    gray = picture.convert("L")
    np.testing.assert_array_equal(deliver(gray, PLAIN).numpy(), np.asarray(gray))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_jpeg_is_the_file_as_screening_reads_it(picture, subsampling):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60, subsampling=subsampling)
    delivery = replace(PLAIN, compressions=(Compression("jpeg", 60, subsampling),))
    assert torch.equal(deliver(picture, delivery), read_luma(buffer.getvalue()).pixels)


@pytest.mark.parametrize(
    ("codec", "good", "bad"), [("jpeg", 95, 50), ("webp", 95, 50), ("h264", 16, 32)]
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_worse_quality_is_farther_from_the_image(picture, codec, good, bad, mode):
    picture = picture.convert(mode)
    small, large = (error(picture, Compression(codec, quality)) for quality in (good, bad))
    assert 0 < small < 20
    assert large > 2 * small


def test_the_same_compression_gives_the_same_pixels(picture):
    for codec in ("jpeg", "webp", "h264"):
        delivery = replace(PLAIN, compressions=(Compression(codec, 30),))
        assert torch.equal(deliver(picture, delivery), deliver(picture, delivery))


@pytest.mark.parametrize("first", ["jpeg", "webp", "h264"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_two_compressions_come_one_after_the_other(picture, first, mode):
    picture = picture.convert(mode)
    poor, fine = Compression(first, 40), Compression("jpeg", 98, "4:4:4")
    assert error(picture, poor, fine) == pytest.approx(error(picture, poor), rel=0.15)
    assert error(picture, poor, fine) > 3 * error(picture, fine)


def test_resizing_comes_before_compression(picture):
    delivery = replace(PLAIN, resize=Resize(96, "lanczos"), compressions=(Compression("jpeg", 80),))
    resized = picture.resize((96, 96), Image.Resampling.LANCZOS)
    expected = deliver(resized, replace(PLAIN, side=96, compressions=delivery.compressions))
    assert torch.equal(deliver(picture, delivery), expected)
    assert delivery.delivered_side == 96


def test_sharpening_raises_the_high_frequencies_by_what_it_says(picture):
    gray = picture.convert("L")
    plain, sharp = (
        torch.fft.rfft2(deliver(gray, replace(PLAIN, sharpness=value)).float()).abs()
        for value in (0.0, 0.6)
    )
    band = (slice(48, 80), slice(48, None))
    ratio = sharp[band].square().mean() / plain[band].square().mean()
    assert 0.5 * float(torch.log(ratio)) == pytest.approx(0.58, abs=0.06)


def test_names_are_those_of_the_last_compression():
    first = Compression("h264", 20)
    names = {
        (): ("lossless", None),
        (Compression("jpeg", 75),): ("JPEG 75 to 98", 75),
        (first, Compression("jpeg", 74)): ("JPEG 50 to 74", 74),
        (Compression("webp", 80),): ("WebP", None),
        (Compression("jpeg", 90), first): ("H.264", None),
    }
    for compressions, expected in names.items():
        delivery = replace(PLAIN, compressions=compressions)
        assert (delivery.name, delivery.quality) == expected


def test_every_kind_is_drawn():
    deliveries = drawn()
    assert {d.name for d in deliveries} == {
        "lossless", "JPEG 75 to 98", "JPEG 50 to 74", "WebP", "H.264"
    }  # fmt: skip
    assert {len(d.compressions) for d in deliveries} == {0, 1, 2}
    assert 20 < sum(d.resize is not None for d in deliveries) < 80
    assert 100 < sum(d.sharpness != 0 for d in deliveries) < 200


def test_most_are_reduced_by_two_and_native_pixels_end_as_jpeg():
    deliveries = drawn()
    assert sum(d.scale <= 0.5 for d in deliveries) > 0.6 * len(deliveries)
    native = [d for d in deliveries if d.scale == 1]
    assert native
    assert all(d.quality is not None and d.quality <= 90 for d in native)


def test_crops_fit_and_are_whole_blocks():
    for height, width in ((64, 500), (100, 90), (480, 640), (3000, 2000)):
        for delivery in drawn(60, height, width):
            assert 64 <= delivery.side <= delivery.scale * min(height, width)
            assert delivery.side % 8 == delivery.delivered_side % 8 == 0
            assert delivery.delivered_side >= 64


def test_a_photograph_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 64"):
        draw_delivery(40, 400, 128, np.random.default_rng(0))


def test_a_crop_lies_where_it_says():
    ramp = Image.fromarray(np.arange(200, dtype=np.uint8)[None].repeat(200, axis=0))
    crop = original_crop(ramp, replace(PLAIN, scale=0.5, side=64, left=0.25))
    # 128 of 200 pixels, beginning at a quarter of the 72 left over; each of two.
    np.testing.assert_allclose(np.asarray(crop)[0, :3], [18.5, 20.5, 22.5], atol=0.5)


def test_compress_is_jpeg_of_the_luma():
    pixels = torch.from_numpy(data.camera()[:100, :120].copy())
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "JPEG", quality=70)
    expected = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    np.testing.assert_array_equal(compress(pixels, 70).numpy(), expected)


def leaves(count, side):
    """Photographs that never were files: rectangles of all sizes one over another, and grain."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        image = np.full((side, side), 128.0)
        for _ in range(1500):
            height, width = (int(4 / rng.uniform(0.008, 1) ** 0.9) for _ in range(2))
            y, x = rng.integers(-8, side, 2)
            image[max(y, 0) : y + height, max(x, 0) : x + width] = rng.uniform(20, 235)
        grain = rng.normal(0, 3, image.shape)
        yield (image + grain).clip(0, 255).round().astype(np.uint8)


def as_jpeg(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())))


def history_auc(delivery_of):
    """AUC, cross-validated by source, of telling photographs that were JPEG files from those that
    never were, after the same deliveries: what is left to learn of a photograph's history."""
    features, labels, groups = [], [], []
    for source, clean in enumerate(leaves(24, 512)):
        for number in range(4):
            delivery = delivery_of(np.random.default_rng([source, number]))
            for label, image in enumerate((as_jpeg(clean, 75), clean)):
                crop = original_crop(Image.fromarray(image), delivery)
                tiles = cut_tiles(deliver(crop, delivery), 64)
                features.append(extract(tiles, FeatureSpec()).mean(dim=0).numpy())
                labels.append(label)
                groups.append(source)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    scores = cross_val_predict(
        model, np.stack(features), labels, groups=groups, cv=GroupKFold(6), method="predict_proba"
    )
    return roc_auc_score(labels, scores[:, 1])


def test_deliveries_hide_that_the_real_image_was_a_jpeg():
    assert history_auc(lambda rng: draw_delivery(512, 512, 256, rng)) < 0.62


def test_the_history_would_show_if_pixels_were_kept():
    assert history_auc(lambda rng: replace(PLAIN, side=256, top=rng.random())) > 0.9
