"""The leak audit refuses classes that their files give away, and passes those delivered alike."""

import io

import numpy as np
import pytest
from PIL import Image

from gandetect.detect.audit import LeakError, audit, describe
from gandetect.detect.features import FeatureSpec
from gandetect.detect.simulate import simulate
from gandetect.detect.training import Dataset, fit_model, load_folder


def write(images, folder, suffix, **options):
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{folder.name}{number}.{suffix}", **options)


def load(real, generated):
    dataset = Dataset()
    for label, folder in enumerate((real, generated)):
        load_folder(dataset, folder, label, FeatureSpec(), 64)
    return dataset


@pytest.fixture
def leaking(real_images, generated_images, tmp_path):
    write(real_images[:20], tmp_path / "real", "jpg", quality=90)
    write(generated_images[:20], tmp_path / "generated", "png")
    return load(tmp_path / "real", tmp_path / "generated")


def test_png_against_jpeg_is_refused_with_the_reason(leaking):
    with pytest.raises(LeakError, match=r"metadata alone .*(container|channels|quant|subs)"):
        fit_model(leaking, FeatureSpec(), name="leak", tile=64)


def test_the_override_fits_and_records_the_leak(leaking):
    fit = fit_model(leaking, FeatureSpec(), name="leak", tile=64, allow_leak=True)
    assert fit.model.card["training"]["audit"]["leaks"]


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"quality": 60}, "quantization_luma"),
        ({"progressive": True}, "progressive"),
        ({"icc_profile": b"x" * 200}, "icc"),
    ],
)
def test_a_difference_in_jpeg_settings_is_found(real_images, tmp_path, changed, column):
    write(real_images[:20], tmp_path / "real", "jpg", **{"quality": 90})
    write(real_images[20:40], tmp_path / "generated", "jpg", **{"quality": 90, **changed})
    dataset = load(tmp_path / "real", tmp_path / "generated")
    found = audit(dataset.rows, [s.label for s in dataset.samples])
    assert found.leaks
    assert found.columns[column] == 1


def test_files_written_alike_pass(real_images, generated_images, tmp_path):
    write(real_images[:40], tmp_path / "real", "jpg", quality=90)
    write(generated_images[:40], tmp_path / "generated", "jpg", quality=90)
    dataset = load(tmp_path / "real", tmp_path / "generated")
    labels = [s.label for s in dataset.samples]
    assert not audit(dataset.rows, labels, brightness_counts=False).leaks


def test_brightness_counts_where_the_features_would_use_it(real_images, tmp_path):
    write(real_images[:20], tmp_path / "real", "png")
    write(real_images[20:40] // 2, tmp_path / "generated", "png")
    dataset = load(tmp_path / "real", tmp_path / "generated")
    fit_model(dataset, FeatureSpec(), name="cancels", tile=64)
    with pytest.raises(LeakError, match="brightness alone"):
        fit_model(dataset, FeatureSpec(remove_mean=False), name="does not", tile=64)


def test_simulated_pairs_share_their_delivery_and_pass(photographs):
    rows, labels, groups = [], [], []
    for pair in simulate(photographs, pairs=10, side=160, seed=0):
        assert pair.real.shape == pair.generated.shape
        for label, image in enumerate((pair.real, pair.generated)):
            data = encoded(image.numpy(), pair.delivery.quality)
            rows.append(describe(data, image))
            labels.append(label)
            groups.append(pair.source)
    found = audit(rows, labels, groups, brightness_counts=False)
    assert not found.leaks
    assert found.brightness.value < 0.6
    delivered = {"width", "height", "container_JPEG", "quantization_luma", "subsampling"}
    assert all(found.columns[name] == 0.5 for name in delivered)


def encoded(image: np.ndarray, quality: int | None) -> bytes:
    buffer = io.BytesIO()
    options = {"format": "PNG"} if quality is None else {"format": "JPEG", "quality": quality}
    Image.fromarray(image).save(buffer, **options)
    return buffer.getvalue()
